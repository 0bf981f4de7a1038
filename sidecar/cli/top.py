"""`top`: a running sidecar as it is now, in the terminal, until Ctrl-C.

Keeps: the terminal is left as it was found, whatever ends it; where output is no terminal it is one frame. A sidecar
that stops answering leaves its last frame there, with a word, and is asked again. Changes nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from datetime import UTC, datetime
from types import FrameType

import click
from rich.live import Live

from sidecar.cli.client import AdminClient
from sidecar.cli.connection import with_admin_api
from sidecar.cli.failure import CommandFailed
from sidecar.cli.tables import console
from sidecar.cli.top_frame import frame
from sidecar.cli.top_look import Look, look

# Rates are of the last seconds: workers tell their counts once a second, so that less would flicker.
_RATE_S = 6.0
_FIRST_S = 2.0


@click.command("top")
@click.option("--once", is_flag=True, help="Print one frame, of two looks some seconds apart.")
@click.option(
    "--interval", type=click.FloatRange(0.5, 3_600), default=2.0, show_default=True, help="Seconds between two looks."
)
@with_admin_api
def top_command(api: AdminClient, once: bool, interval: float) -> None:
    """Watch deployments live: champions, challengers, traffic, gates, alarms. Ctrl-C ends it."""
    try:
        first = look(api, time.monotonic(), None)
        if once or not sys.stdout.isatty():
            time.sleep(min(_FIRST_S, interval))
            console().print(frame(look(api, time.monotonic(), first), api.url, _clock()))
            return
        _watch(api, first, interval)
    except KeyboardInterrupt:
        return


def _watch(api: AdminClient, newest: Look, interval: float) -> None:
    for ends in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ends, _leave)
    with Live(frame(newest, api.url, _clock()), console=console(), screen=True, auto_refresh=False) as live:
        looks, wait_s = deque([newest]), min(_FIRST_S, interval)
        while True:
            time.sleep(wait_s)
            wait_s, stale, now = interval, None, time.monotonic()
            while len(looks) > 1 and now - looks[1].at >= _RATE_S:
                looks.popleft()
            try:
                newest = look(api, now, looks[0])
            except CommandFailed as failed:
                stale = failed.message
            else:
                looks.append(newest)
            live.update(frame(newest, api.url, _clock(), stale), refresh=True)


def _leave(number: int, _: FrameType | None) -> None:
    """Ends by way of `Live`, which gives the terminal back."""
    raise SystemExit(128 + number)


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"
