"""Rows on which champion and challenger decide differently and whose outcome nobody knows yet: label these first.

Only rows on which two versions differ say which of them is better; where few do, labelling those alone costs a small
part of the labels. Invariant: at most LIMIT rows a challenger, a sample of all that differ that depends on their ids
alone, so whoever labels from the top labels at random. No feature value is kept. Used by the deployment's watch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from sidecar.reports import LabelWanted, LabelWants

LIMIT = 500


_ABOVE_ALL = "g"  # every digest


class LabelQueueDocument(msgspec.Struct, frozen=True):
    """A queue as it is stored."""

    rows: list[LabelWanted]
    differing: int
    last: str = _ABOVE_ALL


class LabelQueue:
    """Of one challenger."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], LabelWanted] = {}
        self._differing = 0
        self._last = _ABOVE_ALL  # nothing was left out yet

    def offer(self, request_id: str, row: int, at: float, champion: str, challenger: str) -> None:
        """A row as champion and challenger decide it; taken where they do so differently."""
        if champion == challenger:
            return
        self._differing += 1
        order = _order(request_id, row)
        if order < self._last:
            self._rows[request_id, row] = LabelWanted(
                request_id=request_id, row=row, at=at, champion=champion, challenger=challenger, order=order
            )
            self._keep_limit()

    def labelled(self, request_id: str, row: int) -> None:
        """Its outcome came."""
        self._rows.pop((request_id, row), None)

    @property
    def waiting(self) -> int:
        """Rows that are kept and have no outcome."""
        return len(self._rows)

    def report(self, limit: int) -> LabelWants:
        """At most `limit` rows, in the order of the sample."""
        rows = sorted(self._rows.values(), key=lambda wanted: wanted.order)
        return LabelWants(differing=self._differing, waiting=len(rows), items=tuple(rows[:limit]))

    def to_document(self) -> LabelQueueDocument:
        """All of it, for the snapshot."""
        return LabelQueueDocument(list(self._rows.values()), self._differing, self._last)

    @classmethod
    def from_document(cls, document: LabelQueueDocument) -> LabelQueue:
        """Reads a document back."""
        queue = cls()
        queue._rows = {(wanted.request_id, wanted.row): wanted for wanted in document.rows}
        # What was left out before a restart is left out after it, or later rows would be likelier than earlier ones.
        queue._differing, queue._last = document.differing, document.last
        queue._keep_limit()
        return queue

    def _keep_limit(self) -> None:
        """Lets go of the last ones once there are twice as many as are kept, so that it costs little a row."""
        if len(self._rows) > 2 * LIMIT:
            first = sorted(self._rows.values(), key=lambda wanted: wanted.order)[:LIMIT]
            self._rows = {(wanted.request_id, wanted.row): wanted for wanted in first}
            self._last = first[-1].order


class LabelQueues:
    """The queues of one deployment by challenger."""

    def __init__(self) -> None:
        self._queues: dict[str, LabelQueue] = {}

    def offer(self, request_id: str, row: int, at: float, champion: str, decisions: Mapping[str, str]) -> None:
        """A row as all versions decide it (`cohorts.decisions_of`)."""
        mine = decisions.get(champion)
        if mine is None:
            return
        for version, decision in decisions.items():
            if decision != mine and version != champion:
                self.of(version).offer(request_id, row, at, mine, decision)

    def labelled(self, request_id: str, row: int) -> None:
        """Its outcome came."""
        for queue in self._queues.values():
            queue.labelled(request_id, row)

    def of(self, challenger: str) -> LabelQueue:
        """One challenger's."""
        return self._queues.setdefault(challenger, LabelQueue())

    def forget(self, challenger: str) -> None:
        """Its evidence begins anew."""
        self._queues.pop(challenger, None)

    def snapshot(self) -> bytes:
        """Everything, for the store."""
        return msgspec.msgpack.encode({version: queue.to_document() for version, queue in self._queues.items()})

    def restore(self, snapshot: bytes) -> None:
        """Takes a snapshot's place; ValueError, and nothing changed, if it is damaged."""
        stored = msgspec.msgpack.decode(snapshot, type=dict[str, LabelQueueDocument])
        self._queues = {version: LabelQueue.from_document(document) for version, document in stored.items()}


def _order(request_id: str, row: int) -> str:
    """Depends on the id alone, and on nothing that a caller could see coming."""
    return hashlib.blake2b(f"{row}/{request_id}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
