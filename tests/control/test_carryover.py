from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sidecar.control.carryover import Snapshot
from sidecar.control.store import StoreError
from sidecar.standing import Alarm
from tests.control.store_samples import NOW, deed, opened, run_sql

ALARM = Alarm(
    id="fraud/amount/1",
    deployment="fraud",
    kind="drift.detected",
    severity="warning",
    says="amount moved",
    action="look",
    since=NOW,
    owner="risk",
    acknowledged=False,
)


async def test_the_serial_grows_over_restarts(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert [await store.carryover.reserve_serials(count) for count in (1, 5, 10)] == [1, 6, 16]
    async with opened(tmp_path) as store:
        assert await store.carryover.reserve_serials(2) == 18


async def test_an_alarm_keeps_its_id_when_its_kind_changes(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(ALARM, kind="data.broken")
    async with opened(tmp_path) as store:
        await store.carryover.save_alarm(ALARM)
        await store.carryover.save_alarm(broken)
    async with opened(tmp_path) as store:
        assert await store.carryover.alarms(ended_after=NOW) == (broken,)
        assert await store.carryover.alarm(ALARM.id) == broken
        assert await store.carryover.alarm("another") is None


async def test_alarms_that_ended_long_ago_are_left_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number, ended in enumerate((None, NOW - 10, NOW + 10)):
            await store.carryover.save_alarm(msgspec.structs.replace(ALARM, id=str(number), ended=ended))
        assert [alarm.id for alarm in await store.carryover.alarms(ended_after=NOW)] == ["0", "2"]


async def test_an_acknowledgement_is_written_with_its_audit_entry(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        entry = await store.acknowledge(
            msgspec.structs.replace(ALARM, acknowledged=True), deed(None, action="acknowledge")
        )
        assert entry.action == "acknowledge"
        found = await store.carryover.alarm(ALARM.id)
        assert found is not None
        assert found.acknowledged
        assert (await store.verify()).entries == 1


async def test_snapshots_replace_each_other_by_name(tmp_path: Path) -> None:
    first = [Snapshot("fraud", name, b"\x00\xff", NOW) for name in ("drift", "comparison/4")]
    async with opened(tmp_path) as store:
        await store.carryover.save_snapshots(first)
        await store.carryover.save_snapshots([Snapshot("fraud", "drift", b"new", NOW + 1)])
        await store.carryover.save_snapshots([Snapshot("other", "drift", b"x", NOW)])
    async with opened(tmp_path) as store:
        assert await store.carryover.snapshots("fraud") == {
            "drift": Snapshot("fraud", "drift", b"new", NOW + 1),
            "comparison/4": first[1],
        }
        assert await store.carryover.snapshots("nobody") == {}


@pytest.mark.parametrize("document", ["'nonsense'", "'{}'", "x'ff'", "7"])
async def test_an_alarm_that_cannot_be_read_is_said(tmp_path: Path, document: str) -> None:
    async with opened(tmp_path) as store:
        await store.carryover.save_alarm(ALARM)
        run_sql(tmp_path, f"UPDATE alarm SET document = {document}")
        with pytest.raises(StoreError, match="an alarm in"):
            await store.carryover.alarms(NOW)
