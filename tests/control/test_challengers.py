"""Live changes of the shadow: committed with their audit entry, published, and there again after a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import Deployment, Settings
from sidecar.config_file import ConfigFaults, read_challenger
from sidecar.config_versions import Challenger
from sidecar.control.challengers import Challengers
from sidecar.control.database import StoreError
from sidecar.control.store import Store, verify_state_dir
from sidecar.control.stored_roster import to_row
from sidecar.control.turns import Turns
from sidecar.errors import Invalid, Refused, Unavailable, Unknown
from sidecar.standing import DeploymentState
from tests.control.live_samples import URLS, deployment, state
from tests.control.store_samples import AS_OF_VERSION_2, NOW, folder_with, opened, run_sql, step

BY = {"actor": "alice", "reason": "load test"}


class World:
    """What stands around: the file, the states, and what was published."""

    def __init__(self) -> None:
        self.file: dict[str, Deployment] = {"fraud": deployment()}
        self.states: dict[str, DeploymentState] = {"fraud": state()}
        self.published: list[list[tuple[str, float]]] = []
        self.slow = asyncio.Event()
        self.slow.set()

    def read(self, document: Mapping[str, object]) -> Challenger:
        try:
            return read_challenger(document, Settings(deployments=tuple(self.file.values())))
        except ConfigFaults as faults:
            raise Invalid(str(faults)) from None

    def challengers(self, store: Store) -> Challengers:
        async def publish() -> None:
            await self.slow.wait()
            scoring = made.in_force()["fraud"].challengers
            self.published.append([(c.version, c.fraction) for c in scoring])

        async def settle() -> None:
            return

        made = Challengers(
            store,
            Turns(publish, settle),
            deployments=lambda: self.file,
            states=lambda: self.states,
            read=self.read,
            clock=lambda: NOW,
        )
        return made


Standing = tuple[World, Store, Challengers]


@pytest.fixture
async def standing(tmp_path: Path) -> AsyncIterator[Standing]:
    async with opened(tmp_path) as store:
        await step(store, 1, "3")
        world = World()
        challengers = world.challengers(store)
        await challengers.start()
        yield world, store, challengers


async def entries(store: Store) -> list[tuple[str, str, str | None, str | None, str]]:
    trail = await store.audit_entries(1, 100)
    return [(e.action, e.actor, e.from_version, e.to_version, e.reason) for e in trail]


async def test_each_change_is_committed_with_its_entry_then_published(standing: Standing) -> None:
    world, store, challengers = standing
    added = await challengers.set("fraud", "5", {"url": URLS["5"], "fraction": 0.5}, **BY)
    changed = await challengers.set("fraud", "4", {"fraction": 0.1}, **BY)
    removed = await challengers.remove("fraud", "5", actor="bob", reason="")
    off = await challengers.switch("fraud", enabled=False, **BY)
    on = await challengers.switch("fraud", enabled=True, **BY)
    done = [(change.done, change.audit_seq) for change in (added, changed, removed, off, on)]
    assert done == [("added", 2), ("changed", 3), ("removed", 4), ("disabled", 5), ("enabled", 6)]
    assert world.published[:3] == [[("4", 1.0), ("5", 0.5)], [("4", 0.1), ("5", 0.5)], [("4", 0.1)]]
    assert await entries(store) == [
        ("set_challenger", "alice", None, "5", "load test"),
        ("set_challenger", "alice", None, "4", "load test"),
        ("remove_challenger", "bob", "5", None, ""),
        ("shadow_off", "alice", None, None, "load test"),
        ("shadow_on", "alice", None, None, "load test"),
    ]
    assert (await store.verify()).ok


async def test_what_changes_nothing_is_neither_written_nor_published(standing: Standing) -> None:
    world, store, challengers = standing
    for _ in range(2):
        await challengers.set("fraud", "4", {"fraction": 1.0}, **BY)
        await challengers.switch("fraud", enabled=True, **BY)
    assert (await entries(store), world.published, challengers.rosters) == ([], [], {})


async def test_what_is_left_out_stays_as_it_was(standing: Standing) -> None:
    _, _, challengers = standing
    await challengers.set("fraud", "4", {"timeout_s": 2, "headers": {"x-a": "1"}}, **BY)
    await challengers.set("fraud", "4", {"fraction": 0.5, "version": "4"}, **BY)
    (found,) = challengers.in_force()["fraud"].challengers
    assert (found.timeout_s, found.fraction, found.headers, found.url) == (2.0, 0.5, {"x-a": "1"}, URLS["4"])


async def test_the_trail_tells_before_and_after_but_no_headers_value(standing: Standing) -> None:
    _, store, challengers = standing
    await challengers.set("fraud", "4", {"fraction": 0.5, "headers": {"authorization": "Bearer very-secret"}}, **BY)
    details = (await store.audit_entries(1, 1))[0].details
    told = json.loads(details)
    assert (told["before"]["fraction"], told["after"]["fraction"]) == (1.0, 0.5)
    assert told["after"]["headers"] == ["authorization"]
    assert "very-secret" not in details


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "url: is required"),
        ({"url": "nowhere"}, "url: 'nowhere' is neither"),
        ({"url": "http://127.0.0.1:8080"}, "is the sidecar's own listen"),
        ({"url": URLS["5"], "fraction": 2}, "fraction: must be at most 1"),
        ({"url": URLS["5"], "fraction": None}, "fraction: must be a number; it is empty"),
        ({"url": URLS["5"], "fracton": 1}, "fracton: unknown key; did you mean fraction?"),
        ({"url": URLS["5"], "headers": {"te": "x"}}, "headers.te: 'te' describes the body"),
        ({"url": URLS["5"], "ramp_s": 1}, "ramp_s: has no effect without max_per_s"),
        ({"url": "https://h", "tls": {"ca_file": "/gone"}}, "tls.ca_file: '/gone' cannot be read"),
        ({"url": URLS["5"], "version": "6"}, "version: is another one than the path names"),
    ],
)
async def test_what_could_not_stand_in_the_file_is_refused_with_its_key(
    standing: Standing, changes: dict[str, Any], says: str
) -> None:
    world, store, challengers = standing
    with pytest.raises(Invalid) as raised:
        await challengers.set("fraud", "5", changes, **BY)
    assert says in str(raised.value)
    assert (await entries(store), world.published) == ([], [])


@pytest.mark.parametrize("version", ["", "a b", "../x", "é", "x" * 129, "\ud800"])
async def test_a_version_is_a_name(standing: Standing, version: str) -> None:
    with pytest.raises(Invalid, match="version: "):
        await standing[2].set("fraud", version, {"url": URLS["5"]}, **BY)


@pytest.mark.parametrize("reason", ["ab", "x" * 501, "two\nlines", "\u202eback"])
async def test_a_reason_that_nobody_could_read_is_refused(standing: Standing, reason: str) -> None:
    _, store, challengers = standing
    for verb in (
        challengers.set("fraud", "4", {"fraction": 0.5}, actor="a", reason=reason),
        challengers.remove("fraud", "4", actor="a", reason=reason),
        challengers.switch("fraud", enabled=False, actor="a", reason=reason),
    ):
        with pytest.raises(Invalid, match="reason"):
            await verb
    assert await entries(store) == []


async def test_the_champion_and_a_rollbacks_target_stay(standing: Standing) -> None:
    _, _, challengers = standing
    with pytest.raises(Refused, match="is the champion"):
        await challengers.remove("fraud", "3", **BY)
    with pytest.raises(Unknown, match="has no challenger '9'"):
        await challengers.remove("fraud", "9", **BY)
    for verb in (
        challengers.switch("other", enabled=False, **BY),
        challengers.remove("other", "4", **BY),
        challengers.set("other", "4", {}, **BY),
    ):
        with pytest.raises(Unknown, match="there is no deployment 'other'"):
            await verb


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    world = World()
    async with opened(tmp_path) as store:
        await step(store, 1, "3")
        first = world.challengers(store)
        await first.start()
        await first.set("fraud", "5", {"url": URLS["5"], "headers": {"x-a": "1"}}, **BY)
        await first.switch("fraud", enabled=False, **BY)
    async with opened(tmp_path) as store:
        second = world.challengers(store)
        await second.start()
        assert second.rosters == first.rosters
        assert second.switched_off() == {"fraud"}
        assert second.in_force() == first.in_force()


async def test_a_file_that_says_the_same_after_a_reload_counts_again(standing: Standing) -> None:
    world, store, challengers = standing
    await challengers.set("fraud", "4", {"fraction": 0.5}, **BY)
    world.file = {"fraud": deployment(challengers=[{"version": "4", "url": URLS["4"], "fraction": 0.5}])}
    await challengers.start()
    assert challengers.roster("fraud").challengers == ()
    assert [(action, actor) for action, actor, *_ in await entries(store)][1:] == [("follow_settings", "sidecar")]
    assert (await store.verify()).ok
    await challengers.start()
    assert len(await entries(store)) == 2


async def test_a_disk_that_is_full_changes_nothing(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    world, store, challengers = standing

    async def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(Store, "change_roster", full)
    for verb in (
        challengers.set("fraud", "5", {"url": URLS["5"]}, **BY),
        challengers.remove("fraud", "4", **BY),
        challengers.switch("fraud", enabled=False, **BY),
    ):
        with pytest.raises(Unavailable):
            await verb
    assert (challengers.rosters, world.published, await entries(store)) == ({}, [], [])


async def test_a_caller_that_goes_away_leaves_no_change_half_done(standing: Standing) -> None:
    world, store, challengers = standing
    world.slow.clear()
    verb = asyncio.create_task(challengers.switch("fraud", enabled=False, **BY))
    while not challengers.switched_off():
        await asyncio.sleep(0)
    verb.cancel()
    with pytest.raises(asyncio.CancelledError):
        await verb
    assert world.published == []
    world.slow.set()
    await challengers._turns.finish()
    assert len(world.published) == 1
    assert (await store.verify()).ok


async def test_changes_at_once_come_one_after_the_other_and_none_is_lost(standing: Standing) -> None:
    _, store, challengers = standing
    versions = [f"v{number}" for number in range(8)]
    verbs = [challengers.set("fraud", version, {"url": URLS["5"]}, **BY) for version in versions]
    done = await asyncio.gather(*verbs)
    assert sorted(change.audit_seq or 0 for change in done) == list(range(2, 10))
    assert {c.version for c in challengers.in_force()["fraud"].challengers} == {"4", *versions}
    assert (await store.verify()).ok


async def test_another_program_that_was_faster_is_noticed(standing: Standing, tmp_path: Path) -> None:
    _, _, challengers = standing
    await challengers.switch("fraud", enabled=False, **BY)
    run_sql(tmp_path, "UPDATE roster SET revision = 7")
    with pytest.raises(Refused, match="another call has changed fraud meanwhile"):
        await challengers.switch("fraud", enabled=True, **BY)


# --- what is on disk ------------------------------------------------------------------------------------------


async def changed(folder: Path) -> Path:
    async with opened(folder) as store:
        await step(store, 1, "3")
        challengers = World().challengers(store)
        await challengers.start()
        await challengers.set("fraud", "5", {"url": URLS["5"]}, **BY)
    return folder


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE roster SET document = replace(document, '8050', '9999')",
        "UPDATE roster SET document = 'nonsense'",
        "UPDATE roster SET document = x'ff00'",
        "UPDATE roster SET revision = 9",
        "UPDATE roster SET digest = 'abc'",
    ],
)
async def test_a_row_that_cannot_be_trusted_stops_the_start(tmp_path: Path, statement: str) -> None:
    folder = await changed(tmp_path)
    run_sql(folder, statement)
    with pytest.raises(StoreError, match=r"the challengers of deployment fraud in .* are damaged"):
        await Store.open(folder)
    with pytest.raises(StoreError, match="damaged"):
        verify_state_dir(folder)


async def test_a_row_that_someone_changed_with_its_digest_or_removed_is_found_by_the_trail(tmp_path: Path) -> None:
    folder = await changed(tmp_path)
    assert verify_state_dir(folder).ok
    async with opened(folder) as store:
        before = await store.rosters()
    forged = before["fraud"].model_copy(update={"enabled": False})
    row = to_row(forged)
    run_sql(folder, f"UPDATE roster SET document = '{row['document']}', digest = '{row['digest']}'")
    found = verify_state_dir(folder)
    assert not found.ok
    assert "the challengers of fraud are not stored as the trail has them" in str(found.fault)
    run_sql(folder, "DELETE FROM roster")
    assert not verify_state_dir(folder).ok


async def test_a_store_of_the_version_before_is_taken_up_and_its_trail_verified(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 2)
    run_sql(folder, "DROP TABLE roster", *AS_OF_VERSION_2, "UPDATE meta SET value = 1 WHERE key = 'schema'")
    assert verify_state_dir(folder).ok
    async with opened(folder) as store:
        assert await store.rosters() == {}
        assert (await store.verify()).entries == 2
    async with opened(folder) as store:
        challengers = World().challengers(store)
        await challengers.start()
        await challengers.switch("fraud", enabled=False, **BY)
    assert verify_state_dir(folder).ok


async def test_a_table_that_is_missing_in_a_store_of_this_version_is_refused(tmp_path: Path) -> None:
    folder = await folder_with(tmp_path, 1)
    run_sql(folder, "DROP TABLE roster")
    with pytest.raises(StoreError, match="not a sidecar's store"):
        await Store.open(folder)
