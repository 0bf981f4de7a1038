"""`python -m bench.dashboard`: how long the dashboard takes in a real Chromium, at 50 features × 5 challengers.

A whole sidecar serves, watches and compares first, with one feature broken, so that every screen has what it shows.
First paint: a new browser context, nothing cached, until the browser itself says that content was painted; its window
stands first, for a browser's own opening is another half second of CPU that is no page's. Interaction: from a click
until the frame after the new screen stands. Each the median and the worst of several. Exit code 0 when it was measured,
whatever the figures say; 2 when it could not be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from bench import process
from registry_client import build_baseline, to_json
from tests.process.whole_sidecar import Sidecar, ask, connect

FEATURES, CHALLENGERS, BATCH, PAIRS = 50, 5, 20, 5_000
LIMIT_S = 300.0
PAINT_MS, INTERACTION_MS = 300.0, 100.0
WINDOW_S = 1.0  # what the browser's own window takes to stand
WHERE = "/deployments/fraud"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
# Screens that are opened, and clicks: (what it is, where it begins, the link's path).
SCREENS = {
    "one line of JSON (what the browser itself takes)": "/healthz",
    "overview": "/",
    "deployment": WHERE,
    "challenger": f"{WHERE}/challengers/4",
    "inputs": f"{WHERE}/inputs",
    "one input": f"{WHERE}/inputs?feature=feature_00",
    "outcomes": f"{WHERE}/outcomes",
    "audit": "/audit",
}
CLICKS = (
    ("overview → deployment", "/", WHERE),
    ("deployment → challenger", WHERE, f"{WHERE}/challengers/4"),
    ("challenger → challenger", f"{WHERE}/challengers/4", f"{WHERE}/challengers/8"),
    ("deployment → inputs", WHERE, f"{WHERE}/inputs"),
    ("inputs → the next twelve", f"{WHERE}/inputs", f"{WHERE}/inputs?against=training&start=12"),
    ("inputs → outcomes", f"{WHERE}/inputs", f"{WHERE}/outcomes"),
    ("deployment → stop all copies …", WHERE, f"{WHERE}/shadow?enabled=false"),
    ("inputs → deployment", f"{WHERE}/inputs", WHERE),
)
# Clicks, waits until the main part of the page is another one, and then for the frame that shows it.
CLICK = """(href) => new Promise((resolve, reject) => {
  const link = [...document.querySelectorAll('a[href]')].find((each) => each.getAttribute('href') === href);
  if (!link) return reject(new Error('no link to ' + href));
  const main = document.getElementById('main');
  const began = performance.now();
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
  }).observe(main, {childList: true});
  link.click();
})"""
PAINTED = "performance.getEntriesByName('first-contentful-paint').map((entry) => entry.startTime)[0] ?? null"


class Took(NamedTuple):
    """One try in milliseconds: on the clock, and on the cores of the page's main thread and of the control process."""

    clock: float
    page: float
    control: float


class Figure(NamedTuple):
    """Several tries, and what they were to take at most on the clock."""

    name: str
    tries: list[Took]
    most: float

    @property
    def row(self) -> str:
        """A line of the table."""
        clock, page, control = (statistics.median(values) for values in zip(*self.tries, strict=True))
        worst = max(each.clock for each in self.tries)
        kept = "yes" if clock <= self.most else "no"
        return f"| {self.name} | {clock:.0f} | {worst:.0f} | {self.most:.0f} | {kept} | {page:.0f} | {control:.0f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of each figure; the first one warms up")
    given = parser.parse_args(arguments)
    program = os.environ.get("SIDECAR_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print("bench: there is no Chromium here: apt-get install chromium, or set SIDECAR_BROWSER", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, whole(Path(folder)) as sidecar, sync_playwright() as playwright:
        switches = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu", *switches])
        base, control = sidecar.admin, sidecar.control
        figures = [*paints(browser, base, control, given.rounds), *clicks(browser, base, control, given.rounds)]
        load = f"{os.getloadavg()[0]:.1f} processes at work on {os.cpu_count()} cores"
        size = f"{FEATURES} features, {CHALLENGERS} challengers, {given.rounds} rounds"
        print(f"\nChromium {browser.version}, {size}, {load}\n")
        browser.close()
    print("| | median, ms | worst, ms | at most, ms | kept | page's CPU, ms | control's CPU, ms |")
    print("|---|--:|--:|--:|---|--:|--:|")
    print("\n".join(figure.row for figure in figures))
    return 0


def paints(browser: Browser, base: str, control: int, rounds: int) -> Iterator[Figure]:
    """First paint of each screen, in a context of its own."""
    for name, path in SCREENS.items():
        tries = []
        for _ in range(rounds + 1):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            sleep(WINDOW_S)
            work = Work(page, control)
            page.goto(base + path)
            tries.append(work.took(float(_until(page, PAINTED))))
            context.close()
        yield Figure(f"first paint: {name}", tries[1:], PAINT_MS)


def clicks(browser: Browser, base: str, control: int, rounds: int) -> Iterator[Figure]:
    """From a click to the screen that it leads to, on a page that stands already."""
    for name, start, href in CLICKS:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page, tries = context.new_page(), []
        for _ in range(rounds + 1):
            page.goto(base + start, wait_until="load")
            work = Work(page, control)
            tries.append(work.took(float(page.evaluate(CLICK, href))))
        context.close()
        yield Figure(name, tries[1:], INTERACTION_MS)


class Work:
    """What the page's main thread and the control process work from here on; it does not depend on who else does."""

    def __init__(self, page: Page, control: int) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._control = control
        self._began = self._now()

    def took(self, clock_ms: float) -> Took:
        """On the clock as given."""
        page_s, control_s = (now - before for now, before in zip(self._now(), self._began, strict=True))
        self._session.detach()
        return Took(clock_ms, 1_000 * page_s, 1_000 * control_s)

    def _now(self) -> tuple[float, float]:
        told = self._session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in told if each["name"] == "TaskDuration"), process.cpu_s(self._control)


def _until(page: Page, expression: str) -> Any:
    deadline = monotonic() + 60.0
    while (found := page.evaluate(expression)) is None:
        if monotonic() > deadline:
            raise TimeoutError(expression)
        sleep(0.01)
    return found


@contextmanager
def whole(folder: Path) -> Iterator[Sidecar]:
    """A sidecar that has seen some traffic."""
    rng = random.Random(1)
    columns = {f"feature_{index:02}": [rng.lognormvariate(3.0, 0.7) for _ in range(4_000)] for index in range(FEATURES)}
    baseline = build_baseline(columns, now=datetime.now(UTC))
    (folder / "baseline.json").write_bytes(to_json(baseline))
    versions = [str(number) for number in range(3, 4 + CHALLENGERS)]
    models = [_model(version) for version in versions]
    settings = {
        "listen": "127.0.0.1:0",
        "state_dir": str(folder / "state"),
        "admin": {"listen": "127.0.0.1:0"},
        "deployments": [
            {
                "name": "fraud",
                "owner": "risk-ml@example.com",
                "drift": {"bucket_s": 10},
                "baseline": str(folder / "baseline.json"),
                "champion": {"version": versions[0], "url": _url(models[0])},
                "challengers": [
                    {"version": version, "url": _url(model)}
                    for version, model in zip(versions[1:], models[1:], strict=True)
                ],
            }
        ],
    }
    sidecar = Sidecar(folder, settings, {}).start()
    try:
        _traffic(sidecar, rng)
        yield sidecar
    finally:
        sidecar.stop()
        sidecar.clear()
        for model in models:
            model.shutdown()


def _traffic(sidecar: Sidecar, rng: random.Random) -> None:
    """Rows as they were trained until there are enough pairs, then with one feature broken until that is told."""

    def enough() -> bool:
        challengers = range(4, 4 + CHALLENGERS)
        compared = [sidecar.get(f"/v1{WHERE}/comparison?challenger={version}")["pairs"] for version in challengers]
        return bool(min(compared) > PAIRS)

    _send(sidecar, rng, 1.0, enough)
    _send(sidecar, rng, 0.01, lambda: bool(sidecar.get("/v1/alarms")["items"]))


def _send(sidecar: Sidecar, rng: random.Random, factor: float, enough: Callable[[], bool]) -> None:
    connection, deadline = connect(sidecar.data), monotonic() + LIMIT_S
    while not enough():
        if monotonic() > deadline:
            raise TimeoutError("the sidecar has not seen enough to show")
        for _ in range(50):
            inputs = [
                {
                    "name": f"feature_{index:02}", "shape": [BATCH], "datatype": "FP64",
                    "data": [rng.lognormvariate(3.0, 0.7) * (1.0 if index else factor) for _ in range(BATCH)],
                }
                for index in range(FEATURES)
            ]  # fmt: skip
            ask(connection, body=json.dumps({"inputs": inputs}).encode())
            sleep(0.01)
    connection.close()


def _model(version: str) -> ThreadingHTTPServer:
    """A server whose scores depend on its version a little."""
    shift = int(version) / 1_000

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer({"ready": True})

        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"][1]["data"]
            scores = [min(1.0, row / 100 + shift) for row in rows]
            output = {"name": "score", "shape": [len(rows)], "datatype": "FP64", "data": scores}
            self._answer({"model_name": "fraud", "model_version": version, "outputs": [output]})

        def _answer(self, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


if __name__ == "__main__":
    sys.exit(main())
