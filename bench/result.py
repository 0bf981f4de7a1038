"""What a row of the bench found: findings against targets, tables, bars, a note, and the machine's noise meanwhile.

Pure: rows make these, `report` and `chart` show them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.spread import Spread


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One target and what was reached.

    Attributes:
        measure: what was measured, of which contender.
        against: the peer of a ratio, else empty.
        reached: None when it could not be measured; `skipped` then tells why.
        limit: the most that it may be, or with `at_least` the least.
        unit: as it follows a number: `×`, ` MiB`.
    """

    measure: str
    limit: float
    reached: Spread | None = None
    against: str = ""
    at_least: bool = False
    unit: str = "×"
    digits: int = 2
    skipped: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median is within the target; None when nobody knows."""
        if self.reached is None:
            return None
        return self.reached.median >= self.limit if self.at_least else self.reached.median <= self.limit


class Table(msgspec.Struct, frozen=True):
    """Cells as text, a heading above each column."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Bar(msgspec.Struct, frozen=True):
    """A contender's value; `ours` are drawn in another colour than the peers'."""

    name: str
    value: Spread
    ours: bool


class Panel(msgspec.Struct, frozen=True):
    """Bars of one unit."""

    title: str
    bars: Sequence[Bar]
    digits: int = 1


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that a row found. `elsewhere` has the share of the measured core that strangers took, for each run."""

    title: str
    findings: Sequence[Finding]
    tables: Sequence[Table] = ()
    panels: Sequence[Panel] = ()
    note: str = ""
    elsewhere: Sequence[float] = ()
