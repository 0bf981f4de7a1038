"""Earlier states of a deployment's evidence, so that a stretch that turns out to be void can be taken out again.

Keeps: few, at ages that about double, so that what is lost with a stretch is about as long as the time since it began;
in memory only, so that after a restart what is older than the first of them goes as a whole. Packed.
Does not: know what the states mean, nor when a stretch is void (`void_stretches`, the watch). Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

PACE_S = 10.0
_OLDEST_S = 40 * 86_400.0


class Checkpoint(msgspec.Struct, frozen=True):
    """What stood at `at`, seconds since the epoch, by name; packed."""

    at: float
    packed: dict[str, bytes]

    @property
    def states(self) -> dict[str, bytes]:
        """As they were given."""
        return {name: zlib.decompress(state) for name, state in self.packed.items()}


class Checkpoints:
    """Of one deployment, oldest first."""

    def __init__(self) -> None:
        self._kept: list[Checkpoint] = []

    def __len__(self) -> int:
        return len(self._kept)

    def due(self, now: float) -> bool:
        """Whether it is time for one. A clock that was set back begins anew."""
        return not self._kept or not 0.0 <= now - self._kept[-1].at < PACE_S

    def add(self, now: float, states: Mapping[str, bytes]) -> None:
        """Keeps what stands now; of those of about one age the oldest and the newest stay."""
        self._kept = [each for each in self._kept if each.at < now and now - each.at <= _OLDEST_S]
        self._kept.append(Checkpoint(now, {name: zlib.compress(state, 1) for name, state in states.items()}))
        ages = [int((now - each.at) / PACE_S).bit_length() for each in self._kept]
        ends = [
            place
            for place, age in enumerate(ages)
            if place in (0, len(ages) - 1) or age != ages[place - 1] or age != ages[place + 1]
        ]
        self._kept = [self._kept[place] for place in ends]

    def before(self, at: float) -> Checkpoint | None:
        """The newest that is not later, and every later one is forgotten."""
        self._kept = [each for each in self._kept if each.at <= at]
        return self._kept[-1] if self._kept else None

    def clear(self) -> None:
        """Evidence begins anew."""
        self._kept = []
