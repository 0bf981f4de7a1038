"""What the machine does by itself, through a real control: promotes once, takes back what does harm, heeds people."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from sidecar.config_gates import Gates
from sidecar.control import automation
from tests.control.live_samples import GATES, exchange, leg, shadow_counts, worker_counts
from tests.control.whole_control import ONE, ROWS, Json, Stage, deployment, staged

# Gates that traffic alone satisfies.
OTHERS = {"outcome", "calibration", "segments", "inputs", "prediction", "completeness"} & Gates.model_fields.keys()
SOON: Json = GATES | dict.fromkeys(OTHERS, False)
AUTO: Json = {"mode": "auto", "dwell_s": 0.1}
Begin = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    monkeypatch.setattr(automation, "RETRY_S", 0.3)

    def staged_with(promotion: Json, path: str | None = "/four") -> AbstractAsyncContextManager[Stage]:
        def made(server: str) -> Json:
            challengers = [{"version": "4", "url": server, "path": path}]
            return deployment(server, gates=SOON, baseline=None, promotion=promotion, challengers=challengers)

        return staged(tmp_path, monkeypatch, made=made)

    return staged_with


@pytest.fixture
async def stage(begin: Begin) -> AsyncIterator[Stage]:
    async with begin(AUTO) as standing:
        yield standing


def traffic(stage: Stage) -> None:
    """Enough for every gate of the first pair."""
    stage.worker.offer(range(ROWS // 2))
    stage.worker.send(worker_counts("w0-1", shadow_counts(ROWS // 2)))


def failing(stage: Stage, generation: int, *, champion: str, challenger: str, both: bool = False) -> None:
    """The champion answers nothing; the other one does, unless `both`."""
    for number in range(1_000 * generation, 1_000 * generation + 60):
        good = exchange(number, at=time.time()).shadows[0].answer
        stage.worker.offer(
            range(number, number + 1),
            generation=generation,
            champion=leg(champion, None, error="connect"),
            shadows=(leg(challenger, None, error="connect") if both else leg(challenger, good),),
        )


async def champion(stage: Stage, version: str) -> Json:
    async def there() -> bool:
        return bool((await stage.get(ONE))["champion"]["version"] == version)

    await stage.until(there)
    return await stage.get(ONE)


async def waits(stage: Stage, version: str, says: str) -> None:
    async def there() -> bool:
        return says in (await stage.get(ONE))["automation"].get(version, "")

    await stage.until(there)


async def steps(stage: Stage) -> list[tuple[str, str, str]]:
    found = (await stage.get(f"{ONE}/transitions"))["items"]
    return [(step["action"], step["to"], step["actor"]) for step in found]


async def test_it_promotes_on_a_full_pass_takes_back_what_does_harm_and_tries_it_never_again(stage: Stage) -> None:
    await waits(stage, "4", "not every gate passes")
    traffic(stage)
    status = await champion(stage, "4")
    assert status["state"] == "watching"
    entry = (await stage.get("/v1/audit?after=1"))["entries"][0]
    assert (entry["actor"], json.loads(entry["details"])["automatic"]) == ("sidecar", True)
    assert entry["reason"] == "every gate has passed for 0.1 s"

    # What hits both is no evidence against the new one.
    failing(stage, 2, champion="4", challenger="3", both=True)
    await waits(stage, "4", "nothing speaks against it")
    watch = (await stage.get(ONE))["watch"]
    assert (watch["former"], watch["rollback"], watch["excused"]) == ("3", "auto", False)
    assert watch["until"] == (await stage.get(ONE))["watch_until"]
    assert [(test["name"], test["new_only"], test["former_only"]) for test in watch["tests"]] == [("errors", 0, 0)]
    failing(stage, 2, champion="4", challenger="3")
    await champion(stage, "3")
    entry = (await stage.get("/v1/audit?after=2"))["entries"][0]
    harm = json.loads(entry["details"])["harm"]
    assert (entry["action"], entry["actor"], harm["test"], harm["champion"]) == ("rollback", "sidecar", "errors", "4")
    assert "it alone failed" in entry["reason"]
    assert await steps(stage) == [("start", "3", "sidecar"), ("promote", "4", "sidecar"), ("rollback", "3", "sidecar")]

    # The same version again, with evidence as good as before: not by the machine, until a person says so.
    stage.worker.offer(range(9_000, 9_000 + ROWS), generation=3)
    await waits(stage, "4", "it was rolled back by sidecar")
    status = await stage.get(ONE)
    assert (status["mode"], status["watch"], status["held"]) == ("auto", None, {"4": "it was rolled back by sidecar"})
    await stage.kill()
    await stage.open()
    await waits(stage, "4", "it was rolled back by sidecar")
    assert (await stage.get(ONE))["generation"] == 3
    assert (await stage.get("/v1/audit/verify"))["ok"]


async def test_a_person_holds_a_version_and_releases_it(stage: Stage) -> None:
    hold = {"version": "4", "held": True, "reason": "not before May"}
    done = await stage.post(f"{ONE}/hold", hold)
    assert (done["done"], done["version"]) == ("held", "4")
    assert (await stage.get(ONE))["held"] == {"4": "anonymous holds it: not before May"}
    assert (await stage.post(f"{ONE}/hold", hold))["audit_seq"] is None
    await stage.post(f"{ONE}/hold", hold | {"version": "9"}, 404)
    await stage.post("/v1/deployments/nobody/hold", hold, 404)
    await stage.post(f"{ONE}/hold", hold | {"reason": "x"}, 400)
    traffic(stage)
    await waits(stage, "4", "anonymous holds it: not before May")
    await stage.kill()
    await stage.open()
    await waits(stage, "4", "anonymous holds it: not before May")
    traffic(stage)
    assert (await stage.post(f"{ONE}/hold", hold | {"held": False, "reason": "May"}))["done"] == "released"
    await champion(stage, "4")
    assert (await stage.post(f"{ONE}/hold", hold | {"held": False, "version": "5"}, 404))["status"] == 404


async def test_what_a_person_took_back_stays_back(stage: Stage) -> None:
    traffic(stage)
    await champion(stage, "4")
    await stage.post(f"{ONE}/rollback", {"reason": "not on my watch"})
    stage.worker.offer(range(9_000, 9_000 + ROWS), generation=3)
    await waits(stage, "4", "it was rolled back by anonymous; a person may promote it, or release it")
    assert (await stage.get(ONE))["champion"]["version"] == "3"


async def test_a_way_back_that_does_not_answer_is_probed_and_tried_again(begin: Begin) -> None:
    """In manual mode, too: whoever promoted, the watch is the machine's."""
    async with begin({"mode": "manual"}) as stage:
        traffic(stage)

        async def passed() -> bool:
            return bool((await stage.get(f"{ONE}/gates"))["verdict"] == "pass")

        await stage.until(passed)
        await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
        answers, down = stage.control._controller._probe, True

        async def probe(target: Any) -> str | None:
            return "connection refused" if down else await answers(target)

        stage.control._controller._probe = probe
        failing(stage, 2, champion="4", challenger="3")
        await waits(stage, "4", "going back was refused")
        assert (await stage.get(ONE))["champion"]["version"] == "4"
        down = False
        await champion(stage, "3")


@pytest.mark.parametrize(
    ("promotion", "says"),
    [
        (AUTO | {"dwell_s": 5_000.0}, "of 5000 s"),
        (AUTO | {"hours": {"start": "00:00", "end": "00:01", "days": ["mon"], "zone": "UTC"}}, "between 00:00 and"),
    ],
)
async def test_it_waits_for_patience_and_hours(
    begin: Begin, promotion: Json, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.decide.automation.inside", lambda _hours, _now: "hours" not in promotion)
    async with begin(promotion) as stage:
        traffic(stage)
        await waits(stage, "4", says)
        assert (await stage.get(ONE))["champion"]["version"] == "3"


async def test_the_champion_itself_is_no_challenger(begin: Begin) -> None:
    async with begin(AUTO, path=None) as stage:
        traffic(stage)
        await waits(stage, "4", "at the champion's own address")
        assert (await stage.get(ONE))["champion"]["version"] == "3"


async def test_without_leave_nothing_is_taken_back(begin: Begin) -> None:
    async with begin(AUTO | {"watch": {"rollback": "off"}}) as stage:
        traffic(stage)
        await champion(stage, "4")
        failing(stage, 2, champion="4", challenger="3")

        async def failed() -> bool:
            return bool((await stage.get(f"{ONE}/comparison?challenger=3"))["failures"].get("connect") == [60, 0])

        await stage.until(failed)
        assert (await stage.get(ONE))["automation"] == {}
        assert (await stage.get(ONE))["champion"]["version"] == "4"
