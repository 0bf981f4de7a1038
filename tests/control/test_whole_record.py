"""What a year later must be found: through a real control, what it posts, reports, counts and can prove."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import update

from sidecar.config_gates import Gates
from sidecar.control import schema
from tests.control.whole_control import ONE, ROWS, Json, Stage, evidence, gates_pass, staged


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as standing:
        yield standing


@pytest.fixture
async def told() -> AsyncIterator[tuple[str, list[Json]]]:
    """Where events may be posted, and what was."""
    found: list[Json] = []

    async def take(request: web.Request) -> web.Response:
        found.append(await request.json())
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/", found
    await runner.cleanup()


def rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


async def report(stage: Stage, seq: str, accept: str) -> tuple[str, dict[str, str]]:
    url = f"{stage._url}{ONE}/transitions/{seq}/report"
    async with stage.session.get(url, headers={"Accept": accept}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text(), {str(name): value for name, value in answer.headers.items()}


async def promoted(stage: Stage) -> Json:
    await evidence(stage)
    await gates_pass(stage)
    return await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})


async def test_transitions_are_posted_reported_counted_and_can_be_proved(
    stage: Stage, told: tuple[str, list[Json]]
) -> None:
    url, posted = told
    began = time.time()
    stage.document["events"] = [{"url": url}]
    stage.write()
    await stage.control.reload()
    await evidence(stage)
    await gates_pass(stage)

    async def ready() -> bool:
        return any(event["type"] == "sidecar.promotion.ready" for event in posted)

    await stage.until(ready)
    done = await stage.post(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
    kept = await stage.get("/v1/audit/head")
    assert kept["seq"] == done["audit_seq"]
    back = await stage.post(f"{ONE}/rollback", {"reason": "a change of mind"})

    async def both() -> bool:
        return {"sidecar.promoted", "sidecar.rolledback"} <= {event["type"] for event in posted}

    await stage.until(both)
    told_of = {event["type"]: event for event in posted}
    assert told_of["sidecar.promoted"]["data"]["reason"] == "better by far"
    assert told_of["sidecar.promoted"]["data"]["evidence"] == done["evidence"]
    order = [event["type"] for event in posted]
    assert order.index("sidecar.promoted") < order.index("sidecar.rolledback")
    assert len({event["id"] for event in posted}) == len(posted)

    # The report, as a page and as Markdown.
    page, headers = await report(stage, str(done["audit_seq"]), "text/html,*/*")
    assert "the same table, the same digest" in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    text, headers = await report(stage, "latest", "*/*")
    assert "# fraud: rolled back to version 3" in text
    assert headers["Content-Type"] == "text/markdown; charset=utf-8"
    items = (await stage.get(f"{ONE}/transitions"))["items"]
    assert [(item["action"], item["seq"]) for item in items[-2:]] == [
        ("promote", done["audit_seq"]),
        ("rollback", back["audit_seq"]),
    ]

    # What it cost, and who answered.
    cost = await stage.get(f"{ONE}/cost?from={rfc3339(began - 60)}&to={rfc3339(time.time() + 60)}")
    assert cost["rows"] == cost["read"] == ROWS
    assert cost["pairs"][0]["rows"] == ROWS
    assert [span["version"] for span in cost["champions"]] == ["3", "4", "3"]
    span = await stage.get(f"{ONE}/champion?at={rfc3339(time.time())}")
    assert (span["version"], span["audit_seq"], span["reason"]) == ("3", back["audit_seq"], "a change of mind")

    # The proof: the head that was kept fits; a forged one does not, nor a trail that was changed.
    assert (await stage.post("/v1/audit/verify", kept))["ok"] is True
    forged = await stage.post("/v1/audit/verify", kept | {"hash": "sha256:" + "1" * 64})
    assert "was rewritten" in forged["fault"]


async def test_a_decision_says_who_had_decided_that_this_version_answers(stage: Stage) -> None:
    await evidence(stage)
    found = await stage.get("/v1/decisions/id-0")
    assert found["champion"]["version"] == found["version"] == "3"
    assert found["champion"]["promoted_by"] == "sidecar"


async def test_an_event_that_was_given_up_is_listed_and_sent_again(stage: Stage, told: tuple[str, list[Json]]) -> None:
    url, posted = told
    stage.document["events"] = [{"url": "http://127.0.0.1:9/"}]
    stage.write()
    await stage.control.reload()
    await promoted(stage)
    events = update(schema.outbox).where(schema.outbox.c.kind == "event")
    dead = events.values(aside_at=time.time(), fault="no", subject=f"fraud {url}")
    await stage.control._store.database.change(dead)
    letters = await stage.get("/v1/events/dead-letters")
    assert letters["dead"] == len(letters["items"]) >= 1
    stage.document["events"] = [{"url": url}]
    stage.write()
    await stage.control.reload()
    letter = next(item for item in letters["items"] if item["type"] == "sidecar.promoted")
    again = f"/v1/events/dead-letters/{letter['letter']}/resend"
    assert (await stage.post(again, {"reason": "it is back"}))["event"] == letter["event"]

    async def came() -> bool:
        return letter["event"] in [event["id"] for event in posted]

    await stage.until(came)
    await stage.post(again, {"reason": "it is back"}, 404)
    entries = (await stage.get("/v1/audit"))["entries"]
    assert entries[-1]["action"] == "resend_event"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{ONE}/transitions/999/report", 404),
        (f"{ONE}/transitions/-1/report", 400),
        (f"{ONE}/transitions/latest/report?format=pdf", 400),
        ("/v1/deployments/nobody/transitions", 404),
        (f"{ONE}/cost?from=2026-01-31T12:00:00Z", 400),
        (f"{ONE}/cost?from=2026-01-31T12:00:00Z&to=2026-01-30T12:00:00Z", 400),
        ("/v1/deployments/nobody/cost?from=2026-01-30T12:00:00Z&to=2026-01-31T12:00:00Z", 404),
    ],
)
async def test_what_makes_no_sense_is_said(stage: Stage, path: str, status: int) -> None:
    await stage.get(path, status)


async def test_other_gates_are_rehearsed_on_what_was_kept(stage: Stage) -> None:
    await evidence(stage)
    hours = stage.control._rounds._gate_hours
    assert hours is not None
    await hours.round()
    off = dict.fromkeys(Gates.model_fields, False)
    lax = await stage.post(f"{ONE}/gates/rehearsal", {"gates": off, "days": 1})
    strict = await stage.post(f"{ONE}/gates/rehearsal", {"gates": off | {"pairs": {"min": 10**9}}})
    (one,), (other,) = lax["challengers"], strict["challengers"]
    assert (one["challenger"], one["passed"], one["hours"]) == ("4", one["hours"], len(one["items"]))
    assert (other["first_pass"], other["items"][0]["blocking"]) == (None, ["pairs"])
    in_force = await stage.get(f"{ONE}/gates/rehearsal")
    assert in_force["settings"] != lax["settings"]
    assert in_force["moves"][0]["action"] == "start"
    url = f"{stage._url}{ONE}/gates/rehearsal"
    async with stage.session.post(url, json={"gates": {"pairs": {"max": 1}}}) as answer:
        assert answer.status == 400
        assert "gates.pairs.max" in await answer.text()
