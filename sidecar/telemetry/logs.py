"""Structured logs: one JSON object a line on standard error.

Keeps: a line has time, level, process, logger, event and named fields; control characters are escaped, so a line is
always one line. An exception is logged by its type and the places it passed, never by its text, which may quote a body
or a header. Does not: write files, rotate, sample. `configure` is called once by each process's entry.

    _log.info("worker.started", extra={"fields": {"pid": 12}})
"""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

_TEXT_LIMIT = 1000
_FRAMES = 12


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "event": record.getMessage()[:_TEXT_LIMIT],
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line["fields"] = {str(name)[:_TEXT_LIMIT]: _plain(value) for name, value in fields.items()}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__qualname__
            frames = traceback.extract_tb(record.exc_info[2])[-_FRAMES:]
            line["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line)


def configure(process: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Sends every log line of this process to standard error in this form, instead of what was set before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = True  # its lines hold paths, referrers and user agents


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)[:_TEXT_LIMIT]
