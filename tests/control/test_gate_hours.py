from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from sidecar.config_gates import Gates
from sidecar.control import gate_hours
from sidecar.control.decision_expiry import used_bytes
from sidecar.control.decision_tables import gate_hour
from sidecar.control.decisions import Decisions
from sidecar.control.gate_hours import GateHours
from sidecar.decide.evidence_record import record_of
from tests.decide.decide_samples import evidence

HOUR_S = 3_600.0
START = 472_222 * HOUR_S


class Kept:
    """The hours of two challengers under a clock that a test moves."""

    def __init__(self, decisions: Decisions) -> None:
        self.now = START
        self.pairs = 0
        self.challengers = [("fraud", "4"), ("churn", "9")]
        self.decisions = decisions
        self.hours = self.anew()

    def anew(self) -> GateHours:
        """As after a restart."""
        return GateHours(
            self.decisions.database, challengers=lambda: self.challengers, record=self.record, clock=lambda: self.now
        )

    def record(self, deployment: str, challenger: str, now: float) -> dict[str, Any]:
        self.pairs += 1
        return record_of(evidence(deployment=deployment, challenger=challenger, pairs=self.pairs), Gates(), now)

    async def at(self, *hours: float) -> None:
        for hour in hours:
            self.now = START + hour * HOUR_S
            await self.hours.round()

    async def seen(self, since: float = 0.0, challenger: str | None = None) -> list[tuple[float, int]]:
        found, _ = await self.hours.hours("fraud", challenger, START + since * HOUR_S)
        return [((each.at - START) / HOUR_S, each.evidence.comparison.pairs) for each in found]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    decisions = await Decisions.open(tmp_path)
    yield Kept(decisions)
    await decisions.close()


async def test_the_first_look_of_each_hour_is_kept_over_restarts_too(kept: Kept) -> None:
    await kept.at(0.0, 0.125, 0.875, 1.0)
    kept.hours = kept.anew()
    await kept.at(1.5, 2.25)
    assert await kept.seen() == [(0.0, 1), (1.0, 3), (2.25, 7)]
    assert await kept.seen(since=0.5) == [(1.0, 3), (2.25, 7)]
    assert await kept.seen(challenger="9") == []
    assert await kept.hours.kept_since("fraud") == START
    assert await kept.hours.kept_since("other") is None


async def test_a_challenger_that_comes_within_the_hour_is_looked_at_at_once(kept: Kept) -> None:
    await kept.at(0.0)
    kept.challengers.append(("fraud", "5"))
    await kept.at(0.125)
    assert await kept.seen(challenger="5") == [(0.125, 3)]
    assert len(await kept.seen()) == 2


async def test_it_is_bounded_in_days(kept: Kept) -> None:
    last = gate_hours.KEPT_DAYS * 24 + 3.0
    await kept.at(0.0, 2.0, 3.0, last)
    assert [at for at, _ in await kept.seen()] == [3.0, last]


async def test_it_is_bounded_in_bytes_and_the_oldest_go_first(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept.at(0.0)
    ((size,),) = await kept.decisions.database.rows(text("SELECT sum(length(record)) FROM gate_hour"))
    monkeypatch.setattr(gate_hours, "MOST_BYTES", int(size * 3.5))
    await kept.at(*range(1, 8))
    assert [at for at, _ in await kept.seen()] == [5.0, 6.0, 7.0]


async def test_what_another_version_kept_is_counted_and_does_not_stop_the_rest(kept: Kept) -> None:
    await kept.at(0.0, 1.0, 2.0)
    for hour, record in enumerate((b"no zlib", zlib.compress(b"{}"))):
        here = gate_hour.c.hour == int(START // HOUR_S) + hour
        await kept.decisions.database.change(update(gate_hour).where(here).values(record=record))
    found, unreadable = await kept.hours.hours("fraud", None, 0.0)
    assert (len(found), unreadable) == (1, 2)


async def test_hours_take_no_room_from_decisions(kept: Kept) -> None:
    before = await kept.decisions.database.transact(used_bytes)
    kept.challengers += [("fraud", str(number)) for number in range(100, 140)]
    await kept.at(0.0, 1.0)
    ((held,),) = await kept.decisions.database.rows(text("SELECT sum(length(record)) FROM gate_hour"))
    assert held > 50_000
    assert await kept.decisions.database.transact(used_bytes) < before + held / 2
