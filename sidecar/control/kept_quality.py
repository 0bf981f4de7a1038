"""Quality over a restart: what was counted of outcomes, and up to which join, so that only later ones are counted anew.

Keeps: both counts and the number are of one moment. A snapshot that cannot be used, or none, means counting all
outcomes on disk. Does not: read the disk (`app/carrying_on` does). Called by: the deployment's watch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from sidecar.observe.quality import QualityObserver

NAME = "quality"
_FORMAT: Literal[1] = 1
# Curves of scores that are all different take megabytes: they are written so seldom that this is what the disk gets.
_BYTES_PER_S, _LONGEST_S = 200_000.0, 300.0


class _Kept(msgspec.Struct, frozen=True):
    format: Literal[1]
    seq: int
    threshold: float
    generation: int
    champion: str
    quality: bytes
    paired: bytes


class _Numbered(msgspec.Struct, frozen=True):
    seq: int


def seq_of(snapshot: bytes) -> int:
    """The newest join that a snapshot knows of. Raises ValueError."""
    return msgspec.msgpack.decode(snapshot, type=_Numbered).seq


class KeptQuality:
    """`seq`: the newest join that was counted; None while outcomes from before this run are not counted yet.

    `saved_seq`: up to which the newest snapshot on disk knows of them; later joins must stay there.
    """

    def __init__(self) -> None:
        self.seq: int | None = None
        self.saved_seq: int | None = None
        self._made: tuple[int, int] | None = None
        self._next_at = 0.0

    def counted(self, seq: int) -> None:
        """A join was counted; 0 for one without a number."""
        if self.seq is not None:
            self.seq = max(self.seq, seq)

    def snapshot(
        self,
        quality: QualityObserver,
        paired: QualityObserver,
        threshold: float,
        generation: int,
        champion: str,
        now: float,
    ) -> bytes | None:
        """None while there is nothing whole to keep, or it is too soon after a large one."""
        if self.seq is None or self._next_at - _LONGEST_S <= now < self._next_at:
            return None
        kept = _Kept(_FORMAT, self.seq, threshold, generation, champion, quality.snapshot(), paired.snapshot())
        blob = msgspec.msgpack.encode(kept)
        self._made = self.seq, len(blob)
        return blob

    def saved(self, now: float) -> None:
        """The last snapshot, if there is one that was not before, is on disk."""
        if self._made is not None:
            self.saved_seq, size_bytes = self._made
            self._made = None
            self._next_at = now + min(_LONGEST_S, size_bytes / _BYTES_PER_S)

    def hurry(self) -> None:
        """The next snapshot is the last one."""
        self._next_at = 0.0

    def restore(
        self,
        snapshot: bytes,
        quality: QualityObserver,
        paired: QualityObserver,
        threshold: float,
        generation: int | None,
        changed: Iterable[str],
    ) -> None:
        """Takes it up: of the pairs only what belongs to the `generation`, and no `changed` challenger's.

        Raises ValueError, and all is to be counted anew.
        """
        kept = msgspec.msgpack.decode(snapshot, type=_Kept)  # msgspec's errors are ValueErrors as well
        if kept.threshold != threshold:
            return
        quality.restore(kept.quality)
        if kept.generation == generation:
            paired.restore(kept.paired)
            for version in changed:
                paired.forget_pair(kept.champion, version)
        self.seq = self.saved_seq = kept.seq
