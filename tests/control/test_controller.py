"""Promotion and rollback: what is stored, published and told, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from sidecar.config import Deployment
from sidecar.control.controller import Controller
from sidecar.control.store import Store
from sidecar.decide.promotion import phase
from sidecar.errors import Invalid, Refused, SidecarError, Unavailable, Unknown
from sidecar.standing import Acknowledgement, Alarm, Target, Transition
from tests.control.controller_ground import URLS, Set, World, deployment, promote, rollback
from tests.control.store_samples import NOW, opened


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[World, Store, Controller]]:
    async with opened(tmp_path) as store:
        around = World(tmp_path)
        controller = around.controller(store)
        await controller.start()
        yield around, store, controller


async def test_a_first_start_stores_and_publishes_what_the_settings_name(world: Set) -> None:
    around, store, controller = world
    assert around.published == [{"fraud": "3", "other": "3"}]
    assert {name: state.generation for name, state in (await store.states()).items()} == {"fraud": 1, "other": 1}
    assert [entry.action for entry in await store.audit_entries(0, 10)] == ["start", "start"]
    await controller.start()
    assert len(await store.audit_entries(0, 10)) == 2


async def test_a_promotion_is_stored_published_and_told(world: Set) -> None:
    around, store, controller = world
    done = await promote(controller, expected_champion="3", evidence="sha256:e")
    assert done == Transition(
        deployment="fraud", from_version="3", to_version="4", generation=2, audit_seq=3, evidence="sha256:e"
    )
    assert around.published[-1] == {"fraud": "4", "other": "3"}
    assert around.probed == [URLS["4"]]
    assert around.woken == 1
    stored = (await store.states())["fraud"]
    assert stored == controller.states["fraud"]
    assert phase(stored, NOW + 1) == "watching"
    entry = (await store.audit_entries(2, 1))[0]
    assert (entry.actor, entry.action, entry.reason, entry.evidence) == (
        "alice",
        "promote",
        "better by far",
        "sha256:e",
    )
    assert (await store.verify()).ok


async def test_a_rollback_asks_no_gates_and_can_be_undone(world: Set) -> None:
    around, store, controller = world
    await promote(controller)
    around.verdict = "fail"
    judged = around.judged
    assert (await rollback(controller)).to_version == "3"
    assert (await rollback(controller)).to_version == "4"
    assert (await rollback(controller, to="5")).to_version == "5"
    assert around.judged == judged
    assert around.published[-1]["fraud"] == "5"
    assert (await store.verify()).ok


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda c: promote(c, "9"), Unknown, "no version 9"),
        (lambda c: promote(c, "3"), Refused, "champion already"),
        (lambda c: promote(c, expected_champion="5"), Refused, "not 5 as expected"),
        (lambda c: promote(c, evidence="sha256:old"), Refused, "evidence has changed"),
        (lambda c: promote(c, reason="x"), Invalid, "3 to 500"),
        (lambda c: promote(c, reason="bell\x07"), Invalid, "control characters"),
        (lambda c: promote(c, idempotency_key=""), Invalid, "Idempotency-Key"),
        (lambda c: promote(c, idempotency_key="k" * 256), Invalid, "Idempotency-Key"),
        (lambda c: promote(c, idempotency_key="a\nb"), Invalid, "Idempotency-Key"),
        (rollback, Refused, "nothing to go back to"),
        (lambda c: rollback(c, to="9"), Unknown, "version 9"),
        (lambda c: rollback(c, reason=" "), Invalid, "3 to 500"),
        (lambda c: c.acknowledge("a1", actor="bob", reason="seen it"), Unknown, "no alarm 'a1'"),
        (lambda c: c.acknowledge("a1", actor="bob", reason=""), Invalid, "3 to 500"),
        (
            lambda c: c.rollback("nobody", actor="b", reason="why not", to=None, force=False, idempotency_key=None),
            Unknown,
            "no deployment 'nobody'; there are: fraud, other",
        ),
    ],
)
async def test_a_refused_call_changes_nothing(
    world: Set, call: Callable[[Controller], Awaitable[object]], error: type[SidecarError], says: str
) -> None:
    around, store, controller = world
    before = await store.states()
    with pytest.raises(error, match=says):
        await call(controller)
    assert await store.states() == before == controller.states
    assert len(around.published) == 1
    assert len(await store.audit_entries(0, 10)) == 2


async def test_gates_that_do_not_pass_are_given_back_with_the_refusal(world: Set) -> None:
    around, _, controller = world
    around.verdict = "insufficient"
    with pytest.raises(Refused) as caught:
        await promote(controller)
    assert caught.value.gates == around.gate_table("fraud", "4")
    assert around.probed == []


async def test_a_silent_target_is_refused_unless_forced(world: Set) -> None:
    around, _, controller = world
    around.silent = {URLS["4"], URLS["3"]}
    with pytest.raises(Refused, match="does not answer \\(connection refused\\)"):
        await promote(controller)
    assert (await promote(controller, force=True)).to_version == "4"
    with pytest.raises(Refused, match="version 3"):
        await rollback(controller)
    assert (await rollback(controller, force=True)).to_version == "3"


async def test_a_gate_that_turns_during_the_probe_still_counts(world: Set) -> None:
    around, store, controller = world
    around.turns_after = 1
    with pytest.raises(Refused, match="the gates say fail"):
        await promote(controller, force=True)
    assert (await store.states())["fraud"].champion == "3"


async def test_a_dry_run_does_everything_but_write(world: Set) -> None:
    around, store, controller = world
    shown = await promote(controller, dry_run=True, idempotency_key="key")
    assert (shown.dry_run, shown.audit_seq, shown.generation, shown.evidence) == (True, None, 2, "sha256:e")
    assert around.probed == [URLS["4"]]
    assert len(around.published) == 1
    assert (await store.states())["fraud"].champion == "3"
    assert await store.receipt("key") is None
    around.silent = {URLS["4"]}
    with pytest.raises(Refused):
        await promote(controller, dry_run=True)


async def test_a_store_that_takes_nothing_leaves_the_old_champion_serving(world: Set) -> None:
    around, store, controller = world
    await store.database.change(text("PRAGMA query_only = 1"))
    with pytest.raises(Unavailable, match="read-only"):
        await promote(controller)
    assert controller.states["fraud"].champion == "3"
    assert len(around.published) == 1


async def test_after_a_restart_the_stored_champion_beats_the_settings(tmp_path: Path) -> None:
    around = World(tmp_path)
    async with opened(tmp_path) as store:
        controller = around.controller(store)
        await controller.start()
        await promote(controller)
    async with opened(tmp_path) as store:
        controller = around.controller(store)
        await controller.start()
        assert around.published[-1]["fraud"] == "4"
        assert (await rollback(controller)).to_version == "3"
        assert (await store.verify()).ok


async def test_after_a_restart_the_champion_is_found_at_its_new_address(tmp_path: Path) -> None:
    around = World(tmp_path)
    async with opened(tmp_path) as store:
        await around.controller(store).start()
    around.deployments["fraud"] = deployment(champion={"version": "3", "url": "http://127.0.0.1:9"})
    around.deployments["other"] = deployment("other", champion={"version": "7", "url": "http://127.0.0.1:7"})
    async with opened(tmp_path) as store:
        controller = around.controller(store)
        await controller.start()
        assert controller.states["fraud"].champion_target == Target("http://127.0.0.1:9")
        # The settings no longer name other's champion 3: it goes on where it was.
        assert controller.states["other"].champion_target == Target(URLS["3"])
        assert (await store.audit_entries(2, 10))[0].reason == "the settings name another address for the champion"
        assert (await store.verify()).ok


async def test_a_deployment_that_a_reload_brought_is_started_before_its_verbs_work(world: Set) -> None:
    around, _, controller = world
    around.deployments["new"] = deployment("new")
    with pytest.raises(Unknown, match="not started yet"):
        await controller.rollback("new", actor="b", reason="why not", to=None, force=False, idempotency_key=None)
    await controller.start()
    assert around.published[-1]["new"] == "3"


async def test_one_deployment_is_started_for_itself_once_its_registry_has_named_a_champion(world: Set) -> None:
    around, store, controller = world
    source = {"url": "http://127.0.0.1:8000", "path": "/{version}"}
    waiting = Deployment.model_validate({"name": "new", "from_registry": source})
    around.deployments |= {"new": waiting, "newer": deployment("newer")}
    await controller.start(["new", "gone"])
    assert set(controller.states) == {"fraud", "other"}
    named = deployment("new").champion
    around.deployments["new"] = waiting.model_copy(update={"champion": named})
    await controller.start(["new"])
    assert set(controller.states) == {"fraud", "other", "new"}
    [entry] = (await store.audit_entries(2, 10))[-1:]
    assert entry.reason == "first start: the champion that the registry's alias champion names"


async def test_an_alarm_is_acknowledged_once_with_an_audit_entry(world: Set) -> None:
    _, store, controller = world
    alarm = Alarm(
        id="a1",
        deployment="fraud",
        kind="data.broken",
        severity="critical",
        says="amount: live = 0.01 × trained",
        action="fix the feed",
        since=NOW,
        owner="risk",
        acknowledged=False,
    )
    await store.carryover.save_alarm(alarm)
    known = Acknowledgement(by="bob", at=NOW, reason="feed team told")
    seen = msgspec.structs.replace(alarm, acknowledged=True, acknowledgement=known)
    assert await controller.acknowledge("a1", actor="bob", reason="feed team told") == seen
    assert await controller.acknowledge("a1", actor="eve", reason="me too, late") == seen
    assert await store.carryover.alarm("a1") == seen
    entries = await store.audit_entries(2, 10)
    assert [(entry.actor, entry.action, entry.reason) for entry in entries] == [
        ("bob", "acknowledge", "feed team told")
    ]
    assert (await store.verify()).ok
