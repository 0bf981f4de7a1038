"""Whether what was mirrored also arrived, and whether what was dropped was dropped at random.

Invariant: counts add. A copy that ended and whose exchange never reached control is lost: evidence that nobody sees is
missing. Copies on their way are not, so the least that was missing within the last minute counts.
Does not judge. Used by the comparison observer.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from sidecar.records import Prediction, ShadowCounts
from sidecar.reports import Copies
from sidecar.stats.independence import log_e_dependent

CELLS = 20
_WINDOW_S = 60.0
_MOST_LOOKS = 600
_MOST_LOG_E = 690.0
_SIDES = {"1": CELLS - 1, "true": CELLS - 1, "0": 0, "false": 0}
# These copies were answered, and are in `answered`; the other kinds of errors are not.
_ANSWERED = frozenset({"status_4xx", "status_5xx"})


class ArrivalsDocument(msgspec.Struct, frozen=True):
    """Arrivals as they are stored."""

    ended: int = 0
    arrived: int = 0
    sent: list[int] = msgspec.field(default_factory=lambda: [0] * CELLS)
    dropped: list[int] = msgspec.field(default_factory=lambda: [0] * CELLS)


class Arrivals:
    """Of one challenger; scores are the champion's, a request counts once."""

    def __init__(self) -> None:
        self._ended = self._arrived = 0
        self._sent, self._dropped = [0] * CELLS, [0] * CELLS
        self._looks: deque[tuple[float, int]] = deque(maxlen=_MOST_LOOKS)

    def arrived(self, champion: Prediction | None) -> None:
        """A copy's exchange is here."""
        self._arrived += 1
        cell = _cell(champion)
        if cell is not None:
            self._sent[cell] += 1

    def passed_over(self) -> None:
        """A copy's exchange is here that is no evidence: it is not lost either."""
        self._arrived += 1

    def go_on_from(self, other: Arrivals) -> None:
        """Copies are on their way whatever is evidence: what ended and arrived goes on as in `other`."""
        self._ended, self._arrived, self._looks = other._ended, other._arrived, other._looks.copy()

    def dropped(self, champion: Prediction | None) -> None:
        """An exchange came whose copy was due and never sent."""
        cell = _cell(champion)
        if cell is not None:
            self._dropped[cell] += 1

    def ended(self, delta: Copies | ShadowCounts, now: float) -> None:
        """Copies that ended by a worker's counters."""
        self._ended += delta.answered
        self._ended += sum(count for kind, count in delta.errors.items() if kind not in _ANSWERED)
        self._looks.append((now, self._ended - self._arrived))

    def lost(self) -> int:
        """Copies that ended and never arrived."""
        if not self._looks:
            return max(0, self._ended - self._arrived)
        newest = self._looks[-1][0]
        return max(0, min(missing for at, missing in self._looks if at >= newest - _WINDOW_S))

    def drops_e(self) -> float:
        """E-value against "whether a copy was dropped does not depend on the champion's score"."""
        return math.exp(min(log_e_dependent(self._dropped, self._sent), _MOST_LOG_E))

    def merge(self, other: Arrivals) -> None:
        """Adds another one, which stays as it is."""
        self._looks.clear()
        self._ended += other._ended
        self._arrived += other._arrived
        self._sent = [mine + theirs for mine, theirs in zip(self._sent, other._sent, strict=True)]
        self._dropped = [mine + theirs for mine, theirs in zip(self._dropped, other._dropped, strict=True)]

    def to_document(self) -> ArrivalsDocument:
        """All of it, for the snapshot."""
        return ArrivalsDocument(self._ended, self._arrived, list(self._sent), list(self._dropped))

    @classmethod
    def from_document(cls, document: ArrivalsDocument) -> Arrivals:
        """Reads a document back; ValueError where it contradicts itself."""
        if not len(document.sent) == len(document.dropped) == CELLS or min(*document.sent, *document.dropped) < 0:
            raise ValueError("the counts of copies are damaged")
        arrivals = cls()
        arrivals._ended, arrivals._arrived = document.ended, document.arrived
        arrivals._sent, arrivals._dropped = list(document.sent), list(document.dropped)
        return arrivals


def _cell(said: Prediction | None) -> int | None:
    """The cell of a request's mean score, else of its first label where there are two classes."""
    if said is None:
        return None
    scores = [score for score in said.scores or () if 0.0 <= score <= 1.0]
    if scores:
        return min(int(sum(scores) / len(scores) * CELLS), CELLS - 1)
    return _SIDES.get(said.labels[0]) if said.labels else None
