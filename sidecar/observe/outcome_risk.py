"""Whether a version is wrong more often than it used to be, by outcomes as they come: evidence for `outcome.degraded`.

Keeps: the reference is the version's own first `REFERENCE_ROWS` judged outcomes, frozen; outcomes that a version cannot
be right or wrong about (amounts) do not count. A false alarm comes at most once in `_THRESHOLD` blocks on average, at
any number of looks; the alarm closes when newer blocks are as good as the reference.
Does not: match outcomes, know versions, read a clock. Called by control's `truths`.
Source: `stats.risk` (Podkopaev & Ramdas 2022), summed over starts as an e-detector (Shin, Ramdas & Rinaldo 2024).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from sidecar.stats.confidence import proportion_interval, risk_log_e
from sidecar.stats.risk import rate_lower

REFERENCE_ROWS = 1_000
BLOCK_ROWS = 100
TOLERATED = 0.01  # one point of accuracy may be lost without a word
_THRESHOLD = 1_000.0
_MOST_BLOCKS = 64
_AGES = (1, 2, 4, 8, 16, 32, 64)
_CALM_BLOCKS = 5
_ALPHA = 0.005  # on either side: how good the version was, and how bad it is
_FORMAT: Literal[1] = 1


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Judged outcomes that came one after another; `began_at` seconds since the epoch."""

    began_at: float
    errors: int
    n: int


class Risk(msgspec.Struct, frozen=True):
    """The newest finding; `loss`: a lower bound on how far the error rate lies above the reference's, 0.0 for none."""

    errors: int
    n: int
    reference_errors: int
    reference_n: int
    loss: float
    since: float


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    seen: tuple[int, int]
    reference: tuple[int, int]
    waiting: Block | None
    blocks: tuple[Block, ...]
    since: float | None


class OutcomeRisk:
    """One version's errors over time."""

    def __init__(self) -> None:
        self._seen = (0, 0)
        self._reference = (0, 0)
        self._waiting: Block | None = None
        self._blocks: list[Block] = []
        self._since: float | None = None
        self._limited: tuple[tuple[int, int], float] = ((0, 0), 1.0)
        self._found: Risk | None = None

    @property
    def finding(self) -> Risk | None:
        """What is worse, while the alarm stands."""
        if self._since is None or not self._blocks:
            return None
        if self._found is None:
            errors, n = self._newest(self._loudest())
            loss = max(rate_lower(errors, n, _ALPHA) - self._limit + TOLERATED, 0.0)
            self._found = Risk(errors, n, *self._reference, loss, self._since)
        return self._found

    def look(self, errors: int, judged: int, now: float) -> None:
        """Takes the version's totals so far: wrong ones and all judged ones. Corrections may make them smaller."""
        before_errors, before = self._seen
        self._seen = (errors, judged)
        new_errors, new = errors - before_errors, judged - before
        if new <= 0 or not 0 <= new_errors <= new:
            return  # a correction, or a count that began anew: the next rows count from here
        if self._reference[1] < REFERENCE_ROWS:
            self._reference = self._reference[0] + new_errors, self._reference[1] + new
            return
        waiting = self._waiting or Block(now, 0, 0)
        self._waiting = Block(waiting.began_at, waiting.errors + new_errors, waiting.n + new)
        if self._waiting.n >= BLOCK_ROWS:
            self._blocks.append(self._waiting)
            self._waiting = None
            del self._blocks[:-_MOST_BLOCKS]
            self._judge()

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        return msgspec.msgpack.encode(
            _Snapshot(_FORMAT, self._seen, self._reference, self._waiting, tuple(self._blocks), self._since)
        )

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)  # msgspec's errors are ValueErrors as well
        pairs = [stored.reference, *((block.errors, block.n) for block in stored.blocks)]
        if any(not 0 <= errors <= n for errors, n in pairs):
            raise ValueError("a version has more errors than judged outcomes")
        self._seen, self._reference = stored.seen, stored.reference
        self._waiting, self._blocks, self._since = stored.waiting, list(stored.blocks), stored.since
        self._found = None

    def _judge(self) -> None:
        self._found = None
        if self._since is not None:
            newest = self._blocks[-_CALM_BLOCKS:]
            errors, n = self._newest(_CALM_BLOCKS)
            usual = self._reference[0] / self._reference[1] + TOLERATED
            if len(newest) == _CALM_BLOCKS and newest[0].began_at > self._since and errors / n <= usual:
                self._since, self._blocks = None, newest
        elif _log_sum([self._log_e(age) for age in self._starts()]) >= math.log(_THRESHOLD):
            self._since = self._blocks[-self._loudest()].began_at

    @property
    def _limit(self) -> float:
        """The reference's error rate at most, and what is tolerated above it."""
        if self._limited[0] != self._reference:
            upper = proportion_interval(*self._reference, _ALPHA)[1]
            self._limited = self._reference, min(upper + TOLERATED, 1.0 - TOLERATED)
        return self._limited[1]

    def _log_e(self, age: int) -> float:
        return risk_log_e(*self._newest(age), self._limit)

    def _loudest(self) -> int:
        return max(self._starts(), key=self._log_e)

    def _starts(self) -> list[int]:
        return [age for age in _AGES if age <= len(self._blocks)]

    def _newest(self, age: int) -> tuple[int, int]:
        newest = self._blocks[-age:]
        return sum(block.errors for block in newest), sum(block.n for block in newest)


def _log_sum(logs: list[float]) -> float:
    peak = max(logs)
    return peak + math.log(sum(math.exp(log - peak) for log in logs))
