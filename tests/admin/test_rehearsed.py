"""Rehearsals as pictures."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.admin.rehearsed import rehearsal_view
from sidecar.recorded import Rehearsal, Rehearsed, RehearsedHour
from sidecar.reports import Verdict

HOUR = 3_600.0
DAY = 24 * HOUR


def rehearsal(looks: Sequence[tuple[float, Verdict, tuple[str, ...]]]) -> Rehearsal:
    """One day, looks at these hours."""
    items = tuple(
        RehearsedHour(at=at * HOUR, champion="3", verdict=verdict, blocking=blocking) for at, verdict, blocking in looks
    )
    told = Rehearsed(
        challenger="4", hours=len(items), passed=0, failed=0, insufficient=0, first_pass=None, promoted=None,
        gates={"pairs": {"pass": len(items)}, "off": {"off": len(items)}, "outcome": {"insufficient": len(items)}},
        items=items,
    )  # fmt: skip
    return Rehearsal(
        deployment="fraud", since=0.0, until=DAY, kept_since=0.0, hours=len(items), unreadable=0, formulas="",
        settings={}, challengers=(told,), moves=(),
    )  # fmt: skip


def test_hours_of_one_verdict_are_one_stretch_and_a_gap_stays_empty() -> None:
    waiting: tuple[str, ...] = ("outcome",)
    looks: list[tuple[float, Verdict, tuple[str, ...]]] = [
        (0, "insufficient", waiting), (1, "insufficient", waiting), (6, "insufficient", waiting),
        (7, "pass", ()), (8, "pass", ()), (23.5, "fail", ("errors",)),
    ]  # fmt: skip
    found = rehearsal_view(rehearsal(looks), "4")
    hours = [
        (stretch.verdict, round(stretch.x * 0.24, 2), round(stretch.width * 0.24, 2)) for stretch in found.stretches
    ]
    assert hours == [("insufficient", 0, 2), ("insufficient", 6, 1), ("pass", 7, 2), ("fail", 23.5, 0.5)]
    assert [(change.at, change.verdict, change.blocking) for change in found.changes] == [
        (23.5 * HOUR, "fail", ("errors",)), (7 * HOUR, "pass", ()), (0.0, "insufficient", waiting)
    ]  # fmt: skip
    assert found.gates == (("outcome", (0, 0, 6, 0)), ("pairs", (6, 0, 0, 0))), "what stood in the way comes first"


def test_long_histories_stay_short_and_unknown_versions_have_none() -> None:
    flipping = rehearsal([(at / 4, "pass" if at % 2 else "fail", ()) for at in range(90)])
    found = rehearsal_view(flipping, "4")
    assert (len(found.changes), found.hidden) == (8, 82)
    assert all(stretch.x >= 0 and stretch.x + stretch.width <= 100.001 for stretch in found.stretches)
    nobody = rehearsal_view(flipping, "9")
    assert (nobody.told, nobody.stretches, nobody.changes) == (None, (), ())
