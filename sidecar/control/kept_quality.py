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
    """`seq`: the newest join that was counted; None while outcomes from before this run are not counted yet."""

    def __init__(self) -> None:
        self.seq: int | None = None

    def counted(self, seq: int) -> None:
        """A join was counted; 0 for one without a number."""
        if self.seq is not None:
            self.seq = max(self.seq, seq)

    def snapshot(
        self, quality: QualityObserver, paired: QualityObserver, threshold: float, generation: int, champion: str
    ) -> bytes | None:
        """None while there is nothing whole to keep."""
        if self.seq is None:
            return None
        kept = _Kept(_FORMAT, self.seq, threshold, generation, champion, quality.snapshot(), paired.snapshot())
        return msgspec.msgpack.encode(kept)

    def restore(
        self,
        snapshot: bytes,
        quality: QualityObserver,
        paired: QualityObserver,
        threshold: float,
        generation: int,
        changed: Iterable[str],
    ) -> None:
        """Takes it up; `changed`: challengers that are others than then. ValueError, and all is counted anew."""
        kept = msgspec.msgpack.decode(snapshot, type=_Kept)  # msgspec's errors are ValueErrors as well
        if kept.threshold != threshold:
            return
        quality.restore(kept.quality)
        if kept.generation == generation:
            paired.restore(kept.paired)
            for version in changed:
                paired.forget_pair(kept.champion, version)
        self.seq = kept.seq
