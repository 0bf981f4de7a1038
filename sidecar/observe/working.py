"""Whether a version works, as the settings define it: a metric and the least that it may be, by outcomes as they come.

Keeps: "does not work" is said wrongly at most once in `_THRESHOLD` blocks on average, at any number of looks; it ends
when newer blocks are good enough. Every metric is turned into an error of rows that lies from 0 to 1: F1 by the share
J = tp / (tp + fp + fn) = F1 / (2 - F1).
Does not: match outcomes, know versions, read a clock. Called by the deployment's watch.
Source: `stats.confidence.risk_log_e`, which holds for any loss from 0 to 1 (a**x b**(1-x) <= x a + (1-x) b), summed
over starts as an e-detector (Shin, Ramdas & Rinaldo 2024).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from sidecar.stats.confidence import risk_log_e
from sidecar.stats.quality import QualityCounts
from sidecar.stats.risk import rate_lower

Metric = Literal["accuracy", "precision", "recall", "f1", "brier"]
BLOCK_ROWS = 50
_THRESHOLD = 1_000.0
_MOST_BLOCKS = 64
_AGES = (1, 2, 4, 8, 16, 32, 64)
_CALM_BLOCKS = 5
_ALPHA = 0.01
_BILLION = 1e9


class Shortfall(msgspec.Struct, frozen=True):
    """`value` of the metric over the newest `n` rows that count for it, `bound` the best that it can be by these."""

    value: float
    bound: float
    n: int
    since: float


class _Block(msgspec.Struct, frozen=True, array_like=True):
    began_at: float
    errors: float
    n: int


class _Snapshot(msgspec.Struct, frozen=True):
    metric: str
    threshold: float
    seen: tuple[float, int]
    waiting: _Block | None
    blocks: list[_Block]
    since: float | None


class Working:
    """One version's metric over time. `threshold`: at least this, of brier at most."""

    def __init__(self, metric: Metric, threshold: float) -> None:
        self._metric: Metric = metric
        self._threshold = threshold
        least = threshold / (2.0 - threshold) if metric == "f1" else threshold
        self._limit = threshold if metric == "brier" else 1.0 - least
        self._seen = (0.0, 0)
        self._waiting: _Block | None = None
        self._blocks: list[_Block] = []
        self._since: float | None = None

    def look(self, counts: QualityCounts, now: float) -> None:
        """Takes up the version's counts so far. Corrections may make them smaller."""
        errors, n = _errors(self._metric, counts)
        before_errors, before = self._seen
        self._seen = (errors, n)
        new_errors, new = errors - before_errors, n - before
        if new <= 0 or not -1e-6 <= new_errors <= new:
            return  # a correction, or a count that began anew: the next rows count from here
        waiting = self._waiting or _Block(now, 0.0, 0)
        self._waiting = _Block(waiting.began_at, waiting.errors + max(0.0, new_errors), waiting.n + new)
        if self._waiting.n >= BLOCK_ROWS:
            self._blocks.append(self._waiting)
            self._waiting = None
            del self._blocks[:-_MOST_BLOCKS]
            self._judge()

    @property
    def shortfall(self) -> Shortfall | None:
        """What is missing, while it is."""
        if self._since is None or not self._blocks:
            return None
        errors, n = self._newest(self._loudest())
        lower = rate_lower(errors, n, _ALPHA)
        return Shortfall(self._value(errors / n), self._value(lower), n, self._since)

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        return msgspec.msgpack.encode(
            _Snapshot(self._metric, self._threshold, self._seen, self._waiting, self._blocks, self._since)
        )

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot of the same definition up; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)  # msgspec's errors are ValueErrors as well
        if (stored.metric, stored.threshold) != (self._metric, self._threshold):
            return
        if any(not 0.0 <= block.errors <= block.n for block in stored.blocks):
            raise ValueError("a version has more errors than judged outcomes")
        self._seen, self._waiting, self._blocks = stored.seen, stored.waiting, stored.blocks
        self._since = stored.since

    def _judge(self) -> None:
        if self._since is not None:
            errors, n = self._newest(_CALM_BLOCKS)
            newest = self._blocks[-_CALM_BLOCKS:]
            if len(newest) == _CALM_BLOCKS and newest[0].began_at > self._since and errors / n <= self._limit:
                self._since, self._blocks = None, newest
            return
        logs = [self._log_e(age) for age in self._starts()]
        peak = max(logs)
        if peak + math.log(sum(math.exp(log - peak) for log in logs)) >= math.log(_THRESHOLD):
            self._since = self._blocks[-self._loudest()].began_at

    def _log_e(self, age: int) -> float:
        return risk_log_e(*self._newest(age), self._limit)

    def _loudest(self) -> int:
        return max(self._starts(), key=self._log_e)

    def _starts(self) -> list[int]:
        return [age for age in _AGES if age <= len(self._blocks)]

    def _newest(self, age: int) -> tuple[float, int]:
        newest = self._blocks[-age:]
        return sum(block.errors for block in newest), sum(block.n for block in newest)

    def _value(self, error: float) -> float:
        """The metric for a share of errors."""
        if self._metric == "brier":
            return error
        share = 1.0 - error
        return 2.0 * share / (1.0 + share) if self._metric == "f1" else share


def _errors(metric: Metric, counts: QualityCounts) -> tuple[float, int]:
    """Summed errors and rows of a metric."""
    wrong, tp = counts.fp + counts.fn, counts.tp
    match metric:
        case "accuracy":
            return float(counts.n - counts.correct), counts.n
        case "precision":
            return float(counts.fp), tp + counts.fp
        case "recall":
            return float(counts.fn), tp + counts.fn
        case "f1":
            return float(wrong), tp + wrong
        case "brier":
            return counts.brier_billionths / _BILLION, counts.scored
