"""Summaries only: no value of a payload leaves control's memory, but where the settings or the contract say so."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from registry_client.baseline import to_json
from registry_client.from_columns import build_baseline
from sidecar.control import rounds
from tests.control.whole_control import ONE, Json, Stage, staged

# Words and digits that occur nowhere else.
CITY, WORD, TEXT_IN_A_NUMBER, BROKEN_BODY, OFFLINE_CITY = (
    "Zanzibarquux", "Wordplaquette", "Textinnumberzyx", "Brokenbodyzyx", "Offlinevillezyx",
)  # fmt: skip
DIGITS, OFFLINE_DIGITS = "46713", "82759"
HOSTILE_NAME = 'evil"} 1\nsidecar_fake{x="'
ROWS = 60
ASKED = (
    "/v1/deployments", ONE, f"{ONE}/comparison", f"{ONE}/drift", f"{ONE}/drift?against=recent", f"{ONE}/gates",
    f"{ONE}/performance", f"{ONE}/features", f"{ONE}/champion", "/v1/alarms", "/v1/audit", "/v1/decisions/id-3",
)  # fmt: skip


def amount(number: int) -> float:
    return float(f"{9_000_000 + 17 * number}.{DIGITS}")


def offline(number: int) -> float:
    return float(f"{9_000_000 + 17 * number}.{OFFLINE_DIGITS}")


def body(number: int) -> bytes:
    """Rows far from training: numbers, texts where numbers belong, categories that training never saw."""
    columns: dict[str, tuple[str, list[Any]]] = {
        "amount": ("FP64", [amount(2 * number), amount(2 * number + 1)]),
        "city": ("BYTES", [f"{CITY}{number % 3}", "Paris"]),
        "mixed": ("BYTES", [TEXT_IN_A_NUMBER, TEXT_IN_A_NUMBER]),
        "constant": ("BYTES", [WORD, WORD]),
        HOSTILE_NAME: ("BYTES", [f"{WORD}{number}", "b"]),
        "extra": ("BYTES", [f"{WORD}extra", "b"]),
    }
    tensors = [{"name": n, "datatype": t, "shape": [2], "data": data} for n, (t, data) in columns.items()]
    return json.dumps({"inputs": tensors}).encode()


def written_baseline(folder: Path) -> str:
    rng = np.random.default_rng(1)
    texts = [str(text) for text in rng.choice(["Paris", "Rome", "Oslo"], 2_000)]
    columns = {
        "amount": np.exp(rng.normal(4.0, 1.0, 2_000)), "city": texts, "mixed": rng.normal(size=2_000),
        "constant": texts, HOSTILE_NAME: texts, "score": rng.uniform(size=2_000),
    }  # fmt: skip
    path = folder / "baseline.json"
    path.write_bytes(to_json(build_baseline(columns, prediction="score", now=datetime(2026, 1, 1, tzinfo=UTC))))
    return str(path)


def secrets() -> dict[str, bytes]:
    """Everything that may not be found, as text and as a float's bytes in either order."""
    words = [CITY, WORD, TEXT_IN_A_NUMBER, BROKEN_BODY, OFFLINE_CITY, DIGITS, OFFLINE_DIGITS]
    found = {word: word.encode() for word in words}
    for number in range(2 * ROWS):
        for name, value in (("live", amount(number)), ("offline", offline(number))):
            for order in "<>":
                found[f"{name} {value} {order}"] = struct.pack(f"{order}d", value)
    return found


def leaks(data: bytes) -> list[str]:
    return [name for name, secret in secrets().items() if secret in data]


def leaking_files(folder: Path) -> dict[str, list[str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"sidecar.db"} <= {path.name for path in files}
    return {path.name: found for path in files if (found := leaks(path.read_bytes()))}


@pytest.fixture
async def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    monkeypatch.setattr(rounds, "SNAPSHOT_S", 0.1)
    drift = {"bucket_s": 0.2, "name_values": getattr(request, "param", False)}
    changes: dict[str, Any] = {"drift": drift, "baseline": written_baseline(tmp_path), "sampling": {"keep_rows": 1_000}}
    async with staged(tmp_path, monkeypatch, **changes) as standing:
        yield standing


async def listen(stage: Stage, heard: list[bytes]) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{stage._url}/v1/events") as stream:
        async for chunk in stream.content.iter_any():
            heard.append(chunk)  # noqa: PERF401  # cut off in the middle: what was heard by then counts


async def live(stage: Stage) -> None:
    """Traffic, garbage, outcomes, offline values, an alarm acknowledged; until alarms stand and snapshots are there."""
    for number in range(ROWS):
        stage.worker.offer(range(number, number + 1), body=body(number))
    for number in range(5):
        stage.worker.offer(range(900 + number, 901 + number), body=f'{{"inputs": [{BROKEN_BODY}'.encode())

    async def read() -> bool:
        seen = await stage.get(f"{ONE}/drift")
        return bool(seen["rows_sampled"] >= 2 * ROWS and seen["undecodable"] >= 5)

    await stage.until(read)
    rows: list[Json] = [
        {"request_id": f"id-{number}", "row": row, "features": {
            "amount": offline(2 * number + row), "city": f"{OFFLINE_CITY}{row}", f"{HOSTILE_NAME}": OFFLINE_CITY,
        }} for number in range(ROWS) for row in (0, 1)
    ]  # fmt: skip
    compared = await stage.post(f"{ONE}/features", {"rows": rows})
    assert compared["compared"] == 2 * ROWS
    for wrong in (
        {"rows": [{"request_id": "id-1", "features": {"amount": [offline(1)], "city": OFFLINE_CITY}}]},
        {"rows": [{"request_id": "id-1", "features": {"amount": offline(1)}, WORD: OFFLINE_CITY}]},
    ):
        refused = await stage.post(f"{ONE}/features", wrong, 400)
        assert not leaks(json.dumps({**refused, "detail": refused["detail"].replace(f"`{WORD}`", "")}).encode())
    await stage.post("/v1/outcomes", {"outcomes": [{"request_id": f"id-{n}", "outcome": "1"} for n in range(ROWS)]})
    alarm = await stage.alarm("data.broken")
    await stage.post(f"/v1/alarms/{alarm['id']}/acknowledge", {"reason": "seen"})

    async def named() -> bool:
        features = (await stage.get(f"{ONE}/drift"))["features"]
        return any(feature["cause"] and feature["cause"].get("values") for feature in features)

    await stage.until(named)


async def test_no_value_of_a_payload_reaches_disk_log_metric_event_or_sentence(
    stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="sidecar")
    heard: list[bytes] = []
    listening = asyncio.create_task(listen(stage, heard))
    await live(stage)
    answers = {path: await stage.get(path) for path in ASKED}
    pages = {path: (await stage.text(path)).encode() for path in ("/metrics",)}
    await stage.control._rounds.save()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)

    assert heard, "there were events"
    assert leaks(b"".join(heard)) == []
    assert {path: found for path, page in pages.items() if (found := leaks(page))} == {}
    # The contract lets a cause name values of the payload, and nothing else.
    for path in (f"{ONE}/drift", f"{ONE}/drift?against=recent"):
        for feature in (*answers[path]["features"], answers[path]["prediction"]):
            if feature["cause"]:
                feature["cause"].pop("values", None)
                feature["cause"].pop("value", None)
    told = {path: found for path, answer in answers.items() if (found := leaks(json.dumps(answer).encode()))}
    assert told == {}
    assert leaking_files(stage.folder / "state") == {}
    await stage.close()
    assert leaking_files(stage.folder / "state") == {}
    await stage.open()
    assert leaking_files(stage.folder / "state") == {}
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert leaks(logged.encode()) == []
    assert leaks("".join(capfd.readouterr()).encode()) == []


@pytest.mark.parametrize("stage", [True], indirect=True, ids=["name_values"])
async def test_where_the_settings_allow_it_new_categories_are_still_named_after_a_restart(stage: Stage) -> None:
    await live(stage)
    await stage.control._rounds.save()
    found = leaking_files(stage.folder / "state")
    assert found, "this test can fail: what is searched for would be found"
    assert {secret for leaked in found.values() for secret in leaked} <= {CITY, WORD, TEXT_IN_A_NUMBER, DIGITS} | {
        name for name in secrets() if name.startswith("live")
    }


async def test_a_hostile_column_name_breaks_no_page_and_no_answer(stage: Stage) -> None:
    await live(stage)
    names = {feature["name"] for feature in (await stage.get(f"{ONE}/drift"))["features"]}
    assert HOSTILE_NAME in names
    page = await stage.text("/metrics")
    assert not [line for line in page.splitlines() if line.startswith("sidecar_fake")]
    assert HOSTILE_NAME not in await stage.text("/deployments/fraud/inputs"), "it is escaped"
