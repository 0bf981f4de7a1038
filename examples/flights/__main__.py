"""Runs the example from the download to the last landing, and prints each month as it ends.

`--write-docs` also writes docs/flights.md. Files of a run stay in .cache/flights/run until the next one.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from time import time

import aiohttp
from rich.console import Console

from examples.flights import cleaning, data, document, train
from examples.flights.conclusions import Story
from examples.flights.configuration import MODEL, TICK_SLACK_S, bucket_s, configuration
from examples.flights.months import Month, month_of
from examples.flights.processes import DidNotStart, free_ports, started
from examples.flights.readings import Reading, read
from examples.flights.schedule import DAY_S as SECONDS_OF_DAY
from examples.flights.schedule import NIGHT_HOUR_UTC, Clock, month_ends
from examples.flights.traffic import Refused, Traffic

CACHE = Path(".cache/flights")
DOCUMENT = Path("docs/flights.md")
FIRST_MONTH, LAST_MONTH = 7, 12
SETTLE_S = 30.0
# A week in whole seconds, because the sidecar closes its buckets on a tick of one second.
WEEK_S = 17
# Workers tell control their counts once a second.
COUNTS_S = 2.5


async def replay(
    run: Path, flights: cleaning.Flights, files: dict[str, Path], arguments: argparse.Namespace, console: Console
) -> Story:
    """Starts everything, plays the flights, and stops everything."""
    day_s: float = arguments.week_s / 7
    data_port, admin_port, *model_ports = free_ports(4)
    admin_url = f"http://127.0.0.1:{admin_port}"
    infer_url = f"http://127.0.0.1:{data_port}/v2/models/{MODEL}/infer"
    config = run / "config.yaml"
    config.write_text(
        configuration(
            folder=run.resolve(),
            day_s=day_s,
            data_port=data_port,
            admin_port=admin_port,
            champion_port=model_ports[0],
            challenger_port=model_ports[1],
        )
    )
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for (version, file), port in zip(files.items(), model_ports, strict=True):
            listen = f"127.0.0.1:{port}"
            serve = ["serve-model", str(file), "--name", MODEL, "--version", version, "--listen", listen]
            log = run / f"model-{version}.log"
            await stack.enter_async_context(started(session, serve, f"http://{listen}/v2/health/ready", log))
        sidecar = started(session, ["run", "-c", str(config)], f"{admin_url}/healthz", run / "sidecar.log")
        began = await stack.enter_async_context(sidecar)
        console.print(f"dashboard: {admin_url}/   (the first flight in a moment)")
        # The first bucket passes empty, so that the stream begins with a bucket and each of them holds a whole week.
        await asyncio.sleep(began + bucket_s(day_s) + TICK_SLACK_S + 0.15 - time())
        traffic = Traffic(session, infer_url, admin_url, flights)
        first_day = int(flights.departs_s[0]) // 86_400 * 86_400 + (NIGHT_HOUR_UTC - 1) * 3600
        clock = Clock(began_wall_s=time(), began_s=first_day, day_s=day_s)
        months: list[Month] = []
        before: Reading | None = None
        told = (0, 0, 0)
        for number, end_s in month_ends(FIRST_MONTH, arguments.last_month):
            if number == arguments.last_month:
                await traffic.play(clock, last_week_end_s(clock, end_s))
                drift = await read(session, admin_url)
                await traffic.play(clock, traffic.last_landing_s + 1)
                reading = with_drift_of(drift, await settled(session, admin_url, traffic))
            else:
                await traffic.play(clock, end_s)
                reading = await read(session, admin_url)
            now = (traffic.flights, traffic.landed, traffic.late)
            months.append(month_of(number, before, reading, (now[0] - told[0], now[1] - told[1], now[2] - told[2])))
            before, told = reading, now
            if reading.champion.matched == 0:
                raise Refused(f"the sidecar has joined no outcome by then; {run / 'sidecar.log'} may say why")
            document.tell(console, months[-1], clock)
        if before is None:
            raise ValueError("there is no month to play")
        return Story(tuple(months), before, clock, traffic.requests, traffic.behind_s)


def last_week_end_s(clock: Clock, end_s: int) -> int:
    """When the last whole week before `end_s` ends. A week cut short by the end of the table has other weekdays."""
    weeks = (end_s - clock.began_s) // (7 * SECONDS_OF_DAY)
    return clock.began_s + weeks * 7 * SECONDS_OF_DAY


def with_drift_of(earlier: Reading, reading: Reading) -> Reading:
    """`reading`, but drift and alarms as they were `earlier`."""
    return replace(reading, severity=earlier.severity, features=earlier.features, alarms=earlier.alarms)


async def settled(session: aiohttp.ClientSession, admin_url: str, traffic: Traffic) -> Reading:
    """The last reading, once every outcome that was posted is joined to its decision and every copy is counted."""
    await asyncio.sleep(COUNTS_S)
    deadline = time() + SETTLE_S
    while True:
        reading = await read(session, admin_url)
        if reading.champion.matched >= traffic.landed or time() > deadline:
            return reading
        await asyncio.sleep(0.2)


async def play(arguments: argparse.Namespace, console: Console) -> None:
    """The whole example."""
    began = time()
    run = CACHE / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    flights = cleaning.clean(*data.read(data.fetch(CACHE)))
    console.print(f"{len(flights):,} flights of 2013; training on January to June …")
    trained = await train.train(flights, run)
    for version in trained:
        console.print(f"  version {version.version}: {version.kind}, {document.scores(version.scores)} in training")
    second_half = flights.where((flights.month >= FIRST_MONTH) & (flights.month <= arguments.last_month))
    story = await replay(run, second_half, {version.version: version.file for version in trained}, arguments, console)
    document.summary(console, story)
    console.print(
        f"done in {(time() - began) / 60:.1f} minutes, never more than {story.behind_s:.1f} s behind the clock"
    )
    if arguments.write_docs:
        DOCUMENT.write_text(document.markdown(story, trained))
        console.print(f"wrote {DOCUMENT}")


def main() -> int:
    """0, or 1 after one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description=__doc__)
    parser.add_argument("--write-docs", action="store_true", help=f"also write {DOCUMENT}")
    parser.add_argument(
        "--week-s", type=int, default=WEEK_S, help=f"whole seconds that a week of 2013 takes (default: {WEEK_S})"
    )
    parser.add_argument("--last-month", type=int, choices=range(FIRST_MONTH, LAST_MONTH + 1), default=LAST_MONTH)
    # A file has no width of its own, and the table of months needs room.
    console = Console(width=None if sys.stdout.isatty() else 160)
    # An ordinary end for whoever stops it, so that the processes that were started are stopped as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        asyncio.run(play(parser.parse_args(), console))
    except (data.DataFault, DidNotStart, Refused, aiohttp.ClientError) as fault:
        print(f"flights: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
