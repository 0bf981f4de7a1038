"""Whether a version that predicts amounts is further off than it used to be: evidence for `outcome.degraded`.

Keeps: the reference is the mean absolute error of the version's own first `REFERENCE_ROWS` outcomes, frozen; a tenth
more of it is lost without a word. A false alarm comes at most once in `_THRESHOLD` blocks on average, at any number of
looks, as far as the central limit theorem holds for blocks of 100; the alarm closes when newer blocks are as good.
Sums so far come exact, so that one amount far out does not swallow those after it: their difference would be noise.
A correction while the reference is gathered is taken up in it. One that takes away more than all that came since can
only be of the reference, which is then gathered anew; other later ones change nothing that was judged.
Does not: match outcomes, know versions, read a clock, keep any amount. Called by control's `truths`.
Source: `stats.mean_risk`, summed over starts as an e-detector (Shin, Ramdas & Rinaldo 2024), as `outcome_risk`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from sidecar.stats.exact_sum import as_float, as_text, from_stored
from sidecar.stats.mean_interval import mean_interval
from sidecar.stats.mean_risk import mean_log_e, mean_lower

REFERENCE_ROWS = 1_000
BLOCK_ROWS = 100
TOLERATED = 0.1  # of the reference's mean absolute error
_THRESHOLD = 1_000.0
_MOST_BLOCKS = 64
_AGES = (1, 2, 4, 8, 16, 32, 64)
_CALM_BLOCKS = 5
_ALPHA = 0.005  # on either side
_FORMAT: Literal[1] = 1


class Errors(msgspec.Struct, frozen=True, array_like=True):
    """Absolute errors that came one after another, as sums; `began_at` seconds since the epoch."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    began_at: float = 0.0

    def plus(self, other: Errors) -> Errors:
        """Both together, from when this one began, or the other where this one is empty."""
        began_at = self.began_at if self.n else other.began_at
        return Errors(self.n + other.n, self.total + other.total, self.squares + other.squares, began_at)

    @property
    def mean(self) -> float:
        """The mean absolute error."""
        return self.total / self.n if self.n else 0.0

    @property
    def size(self) -> float:
        """What one error is like: the root of the mean square."""
        return math.sqrt(self.squares / self.n) if self.n else 0.0

    @property
    def whole(self) -> bool:
        """Whether these can be sums of absolute errors."""
        sums = self.total, self.squares, self.began_at
        return self.n >= 0 and all(map(math.isfinite, sums)) and min(self.total, self.squares) >= 0


class AmountFinding(msgspec.Struct, frozen=True):
    """The newest finding; `loss`: a lower bound on how much larger the error is than the reference's, as a share."""

    error: float
    n: int
    reference_error: float
    reference_n: int
    loss: float
    since: float


class _Snapshot(msgspec.Struct, frozen=True):
    format: Literal[1]
    seen: Errors  # what earlier versions read
    reference: Errors
    waiting: Errors
    blocks: tuple[Errors, ...]
    since: float | None
    exact: tuple[str, str] | None = None  # both sums of `seen`


class AmountRisk:
    """One version's absolute errors over time."""

    def __init__(self) -> None:
        self._seen = (0, 0, 0)
        self._reference = self._waiting = Errors()
        self._blocks: list[Errors] = []
        self._since: float | None = None

    @property
    def finding(self) -> AmountFinding | None:
        """What is worse, while the alarm stands."""
        if self._since is None or not self._blocks:
            return None
        newest, usual = self._newest(self._loudest()), self._reference.mean
        lower = mean_lower(newest.n, newest.total, newest.squares, _ALPHA, scale=max(newest.size, self._reference.size))
        loss = max(lower - self._limit, 0.0) / usual + TOLERATED if usual > 0.0 else 1.0
        return AmountFinding(newest.mean, newest.n, usual, self._reference.n, loss, self._since)

    def look(self, n: int, total: int, squares: int, now: float) -> None:
        """Takes the version's sums so far, of |error| and its square, in `exact_sum`'s units. Corrections count."""
        seen, self._seen = self._seen, (n, total, squares)
        new = Errors(n - seen[0], as_float(total - seen[1]), as_float(squares - seen[2]), now)
        if self._reference.n < REFERENCE_ROWS:
            self._gather(seen, new)
            return
        if new.n <= 0 or not new.whole:  # a correction, or sums that began anew: the next rows count from here
            if new.total + self._newest(_MOST_BLOCKS).plus(self._waiting).total < 0.0:
                # A slip that stood in the reference made errors look small beside it.
                self._reference, self._waiting, self._blocks, self._since = Errors(), Errors(), [], None
            return
        self._waiting = self._waiting.plus(new)
        if self._waiting.n >= BLOCK_ROWS:
            self._blocks.append(self._waiting)
            self._waiting = Errors()
            del self._blocks[:-_MOST_BLOCKS]
            self._judge()

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        return msgspec.msgpack.encode(
            _Snapshot(
                _FORMAT,
                Errors(*_floats(self._seen)),
                self._reference,
                self._waiting,
                tuple(self._blocks),
                self._since,
                (as_text(self._seen[1]), as_text(self._seen[2])),
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=_Snapshot)  # msgspec's errors are ValueErrors as well
        if not all(part.whole for part in (stored.seen, stored.reference, stored.waiting, *stored.blocks)):
            raise ValueError("the sums of errors are damaged")
        total, squares = map(from_stored, stored.exact or (stored.seen.total, stored.seen.squares))
        self._seen = stored.seen.n, total, squares
        self._reference, self._waiting = stored.reference, stored.waiting
        self._blocks, self._since = list(stored.blocks), stored.since

    def _gather(self, seen: tuple[int, int, int], new: Errors) -> None:
        """More rows of the reference, or corrected ones."""
        known = self._reference
        # While all that was seen is in the reference, what is left of it after a correction is known exactly.
        if known.n == seen[0]:
            whole = Errors(*_floats(self._seen), known.began_at or new.began_at)
            if self._seen[0] > 0 and whole.whole:
                self._reference = whole
        elif new.n > 0 and new.whole:
            self._reference = known.plus(new)

    def _judge(self) -> None:
        if self._since is not None:
            newest = self._blocks[-_CALM_BLOCKS:]
            calm = _sum(newest).mean <= self._reference.mean * (1.0 + TOLERATED)
            if len(newest) == _CALM_BLOCKS and newest[0].began_at > self._since and calm:
                self._since, self._blocks = None, newest
            return
        evidence = [self._log_e(age) for age in self._starts()]
        peak = max(evidence)
        if peak + math.log(sum(math.exp(one - peak) for one in evidence)) >= math.log(_THRESHOLD):
            self._since = self._blocks[-self._loudest()].began_at

    @property
    def _limit(self) -> float:
        """The reference's mean error at most, and what is tolerated above it."""
        known = self._reference
        bounds = mean_interval(known.n, known.total, known.squares, scale=known.size, alpha=2.0 * _ALPHA)
        return (bounds[1] if bounds is not None else known.mean) + TOLERATED * known.mean

    def _log_e(self, age: int) -> float:
        newest = self._newest(age)
        scale = max(newest.size, self._reference.size)
        return mean_log_e(newest.n, newest.total, newest.squares, self._limit, scale=scale)

    def _loudest(self) -> int:
        return max(self._starts(), key=self._log_e)

    def _starts(self) -> list[int]:
        return [age for age in _AGES if age <= len(self._blocks)]

    def _newest(self, age: int) -> Errors:
        return _sum(self._blocks[-age:])


def _floats(sums: tuple[int, int, int]) -> tuple[int, float, float]:
    return sums[0], as_float(sums[1]), as_float(sums[2])


def _sum(blocks: Sequence[Errors]) -> Errors:
    whole = Errors()
    for block in blocks:
        whole = whole.plus(block)
    return whole
