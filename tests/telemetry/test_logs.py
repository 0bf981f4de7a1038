from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.telemetry.logs import configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    configure("control", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = False


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_event_and_fields(stream: io.StringIO) -> None:
    logging.getLogger("sidecar.control").info("worker.started", extra={"fields": {"pid": 12, "ok": True, "x": None}})
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "process": "control",
        "logger": "sidecar.control",
        "event": "worker.started",
        "fields": {"pid": 12, "ok": True, "x": None},
    }


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\u2028", '"},{"', "\x00", "x" * 100_000, "\ud800"])
def test_hostile_text_stays_one_plain_line_of_bounded_length(stream: io.StringIO, text: str) -> None:
    logging.getLogger("sidecar").warning(text, extra={"fields": {text: text}})
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written[:-1].isascii()
    assert written[:-1].isprintable()
    assert len(written) < 10_000
    assert json.loads(written)["event"] == text[:1000]


def test_an_exception_is_logged_by_type_and_place_and_never_by_its_text(stream: io.StringIO) -> None:
    try:
        int("authorization: Bearer s3cret")
    except ValueError:
        logging.getLogger("sidecar").exception("link.broken")
    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert line["at"][0].endswith("test_an_exception_is_logged_by_type_and_place_and_never_by_its_text")
    assert "s3cret" not in stream.getvalue()


def test_numbers_that_json_cannot_write_become_texts(stream: io.StringIO) -> None:
    logging.getLogger("sidecar").info("x", extra={"fields": {"a": float("nan"), "b": float("inf"), "c": 1.5}})
    assert lines(stream)[0]["fields"] == {"a": "nan", "b": "inf", "c": 1.5}


def test_access_lines_are_not_written(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.access").info("GET /?token=s3cret")
    assert stream.getvalue() == ""
