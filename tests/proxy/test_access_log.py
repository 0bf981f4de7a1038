"""What an access log's lines say, which requests get one, and what never stands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.decide import routing_table
from sidecar.proxy.access_log import AccessLog
from sidecar.proxy.line_writer import LINE_BYTES

CLOSE_S = 5.0
TRACE_ID = b"0af7651916cd43dd8448eb211c80319c"
REQUEST: dict[str, Any] = {
    "at": 1_767_225_600.25,
    "request_id": b"r-1",
    "trace_id": TRACE_ID,
    "deployment": "fraud",
    "version": "3",
    "method": b"POST",
    "path": b"/v2/models/fraud/infer",
    "status": 200,
    "error": None,
    "duration_s": 0.0123456,
    "overhead_s": 0.0001234,
    "upstream_s": 0.0121,
    "request_bytes": 612,
    "answer_bytes": 204,
    "repeated": False,
    "canary": None,
    "canary_error": None,
}
COPY: dict[str, Any] = {
    "at": 1_767_225_600.25,
    "request_id": b"r-1",
    "trace_id": TRACE_ID,
    "deployment": "fraud",
    "version": "4",
    "status": 200,
    "error": None,
    "dropped": None,
    "latency_s": 0.0345678,
    "answer_bytes": 199,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def opened(path: Path, fraction: float = 1.0) -> AccessLog:
    log = AccessLog(1)
    log.adapt(routing_table.AccessLog(fraction, str(path)))
    return log


async def written(log: AccessLog, path: Path) -> list[dict[str, Any]]:
    await log.close(CLOSE_S)
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


async def test_a_request_is_one_line_of_json(path: Path) -> None:
    log = opened(path)
    log.champion(**REQUEST)

    assert await written(log, path) == [
        {
            "time": "2026-01-01T00:00:00.250000Z",
            "leg": "champion",
            "request_id": "r-1",
            "trace_id": TRACE_ID.decode(),
            "deployment": "fraud",
            "version": "3",
            "method": "POST",
            "path": "/v2/models/fraud/infer",
            "status": 200,
            "error": None,
            "duration_ms": 12.346,
            "overhead_ms": 0.123,
            "upstream_ms": 12.1,
            "request_bytes": 612,
            "answer_bytes": 204,
            "repeated": False,
            "canary": None,
            "canary_error": None,
        }
    ]


async def test_a_copy_is_a_line_that_the_request_id_joins_to_it(path: Path) -> None:
    log = opened(path)
    log.champion(**REQUEST)
    log.shadow(**COPY)
    request, copy = await written(log, path)

    assert copy == {
        "time": "2026-01-01T00:00:00.250000Z",
        "leg": "shadow",
        "request_id": "r-1",
        "trace_id": TRACE_ID.decode(),
        "deployment": "fraud",
        "version": "4",
        "status": 200,
        "error": None,
        "dropped": None,
        "latency_ms": 34.568,
        "answer_bytes": 199,
    }
    assert copy["request_id"] == request["request_id"]


async def test_what_did_not_happen_is_null(path: Path) -> None:
    log = opened(path)
    refused = {"trace_id": b"", "deployment": "", "version": "", "status": 502, "error": "connect_failed"}
    log.champion(**REQUEST | refused | {"overhead_s": None, "upstream_s": None})
    log.shadow(**COPY | {"trace_id": b"", "status": None, "dropped": "inflight_limit", "latency_s": None})
    request, copy = await written(log, path)

    assert (request["trace_id"], request["overhead_ms"], request["upstream_ms"]) == (None, None, None)
    assert (request["status"], request["error"]) == (502, "connect_failed")
    assert (copy["status"], copy["dropped"], copy["latency_ms"]) == (None, "inflight_limit", None)


@pytest.mark.parametrize(
    "value", [bytes(range(256)), b'/"}\n{"leg":"champion"', b"\xc2\x85", b"\xe2\x80\xa8", b"\\xff"]
)
async def test_whatever_bytes_come_a_line_stays_one_line_and_ascii(value: bytes, path: Path) -> None:
    log = opened(path)
    log.champion(**REQUEST | {"path": value, "request_id": value, "method": value})
    log.shadow(**COPY | {"request_id": value})
    await log.close(CLOSE_S)
    lines = path.read_bytes().decode("ascii").splitlines()

    assert [json.loads(line)["leg"] for line in lines] == ["champion", "shadow"]
    shown = json.loads(lines[0])
    assert shown["path"] == value.decode("ascii", "backslashreplace")
    assert shown["request_id"] == json.loads(lines[1])["request_id"]


@pytest.mark.parametrize("byte", [b"\x01", b"\xff", b'"', b"\\", b"a"])
async def test_the_longest_line_still_goes_through_a_pipe_in_one_piece(byte: bytes, path: Path) -> None:
    # A request id has no control characters, nor has a path: the reader of heads refuses both.
    in_id = byte if byte != b"\x01" else b"\xff"
    hostile = {"path": in_id * 8192, "request_id": in_id * 256, "method": b"M" * 100}
    longest = {"deployment": "d" * 128, "version": "v" * 128, "error": "e" * 32, "repeated": True}
    longest |= {"canary": "c" * 128, "canary_error": "status_5xx"}
    log = opened(path)
    log.champion(**REQUEST | hostile | longest | {"status": 999, "duration_s": 1e6 / 3, "request_bytes": 1 << 40})
    await log.close(CLOSE_S)

    assert 0 < len(path.read_bytes()) <= LINE_BYTES


def test_the_share_is_taken_by_request_id_and_the_same_everywhere(path: Path) -> None:
    log, other = AccessLog(1), AccessLog(1)
    log._fraction = other._fraction = 0.1
    ids = [b"request-%d" % number for number in range(10_000)]
    wanted = [each for each in ids if log.wants(each)]

    assert 800 < len(wanted) < 1200
    assert wanted == [each for each in ids if other.wants(each)]


@pytest.mark.parametrize(("fraction", "wanted"), [(0.0, False), (1.0, True)])
async def test_off_wants_nothing_and_full_everything(fraction: float, wanted: bool, path: Path) -> None:
    log = opened(path, fraction)

    assert {log.wants(b"request-%d" % number) for number in range(1000)} == {wanted}
    await log.close(CLOSE_S)
    assert not path.exists()


async def test_a_new_table_switches_it_off_and_on(path: Path) -> None:
    log = opened(path)
    log.champion(**REQUEST)
    log.adapt(routing_table.AccessLog(0.0, ""))
    assert not log.wants(b"r-2")
    log.adapt(routing_table.AccessLog(1.0, str(path)))
    assert log.wants(b"r-2")
    log.champion(**REQUEST | {"request_id": b"r-2"})

    assert [line["request_id"] for line in await written(log, path)] == ["r-1", "r-2"]


async def test_what_is_lost_is_counted() -> None:
    log = AccessLog(1)
    log.adapt(routing_table.AccessLog(1.0, "/dev/full"))
    log.champion(**REQUEST)
    log.shadow(**COPY)
    await log.close(CLOSE_S)

    assert log.dropped == {"buffer_full": 0, "write_failed": 2, "shutting_down": 0}
