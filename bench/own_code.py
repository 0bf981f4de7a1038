"""Code of the project that a library could stand in for, and why none does: what `footprint` tells, with its lines.

Keeps: each entry names files that exist (a test looks). Parts that no library has, such as the promotion machine or the
naming of causes, are not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Own(NamedTuple):
    """What is our own, the libraries that do something like it, and the reason in a sentence."""

    what: str
    files: tuple[str, ...]
    libraries: str
    reason: str

    @property
    def lines(self) -> int:
        """Of these files, blank ones and comments included."""
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in self.paths())

    def paths(self) -> list[Path]:
        """The files."""
        return sorted({path for pattern in self.files for path in ROOT.glob(pattern)})


OWN = (
    Own(
        "the proxy: framing, forwarding, copies, pools, drain",
        ("sidecar/wire/*.py", "sidecar/proxy/*.py"),
        "aiohttp, httpx, h11",
        "in everybody's path: bytes pass untouched, what can be read in two ways is refused, nobody waits for"
        " a copy, and all of it for less CPU than nginx' mirror (performance.md). httptools parses; a client"
        " and a server library joined parse twice and own the buffers",
    ),
    Own(
        "tests that may be looked at all the time, and their bounds",
        (
            "sidecar/stats/*eprocess.py",
            "sidecar/stats/edetector*.py",
            "sidecar/stats/tolerant_tests.py",
            "sidecar/stats/confidence.py",
            "sidecar/stats/paired.py",
            "sidecar/stats/mean_*.py",
            "sidecar/stats/risk.py",
            "sidecar/stats/apart.py",
            "sidecar/stats/tilts.py",
        ),
        "river, alibi-detect, confseq",
        "a budget of false alarms that holds while one looks, with a tolerance, for counts that are"
        " dependent. confseq has bounds, no such tests; the detectors of the others are measured beside ours"
        " by make bench-drift",
    ),
    Own(
        "quality by outcomes: areas, calibration, estimates without outcomes",
        (
            "sidecar/stats/roc.py",
            "sidecar/stats/quality.py",
            "sidecar/stats/calibration.py",
            "sidecar/stats/cbpe.py",
            "sidecar/observe/quality.py",
        ),
        "scikit-learn, NannyML",
        "they want all rows at once; here rows come one by one, for ever, and leave counts, with intervals"
        " that hold at every look. Tests hold the figures to scikit-learn's",
    ),
    Own(
        "histograms that merge to the very same document",
        ("registry_client/log_histogram.py", "registry_client/fine_cells.py", "registry_client/summary*.py"),
        "datasketches, ddsketch",
        "parts have to merge to the bytes of one process' build in any order, and their cells are the ruler"
        " that live traffic is counted by",
    ),
    Own(
        "reading payloads of seven protocols",
        ("sidecar/payload/*.py",),
        "kserve, mlserver, tritonclient",
        "each reads one protocol and comes with its server or client; needed is a column of numbers from a"
        " copy's bytes, or none, in bounded time",
    ),
    Own(
        "the registry's client",
        ("registry_client/mlflow*.py", "registry_client/access.py", "registry_client/fetching.py"),
        "mlflow-skinny",
        "a few calls, each with a deadline, bounds on bytes, no redirects, digests, and a last known good on"
        " disk; the tests talk to a real MLflow",
    ),
    Own(
        "outbox, dead letters, signed webhooks",
        ("sidecar/control/outbox.py", "sidecar/control/event_*.py", "sidecar/control/dead_letters.py"),
        "Celery, Dramatiq, standardwebhooks",
        "an event is stored in the transaction of what it tells, and leaves in order without a broker;"
        " signing is one hmac",
    ),
    Own(
        "CloudEvents as loggers post them",
        ("sidecar/admin/cloud_events.py",),
        "cloudevents",
        "two forms of one request, read within bounds before anything is believed",
    ),
    Own(
        "charts",
        ("sidecar/admin/charts.py", "sidecar/admin/figures.py", "sidecar/admin/timeline.py"),
        "Altair, Plotly, Chart.js",
        "SVG in the page: no script, no inline style, which the page's policy forbids, and texts that a"
        " screen reader reads",
    ),
    Own(
        "spans",
        ("sidecar/telemetry/spans.py",),
        "opentelemetry's instrumentations",
        "they work in the request's path; these are made afterwards of what workers tell anyway. The SDK's"
        " exporter sends them",
    ),
    Own(
        "the command line's HTTP client",
        ("sidecar/cli/client.py",),
        "httpx, requests",
        "one call for one command: the whole call has a deadline, and no proxy of the environment gets the"
        " token. It would be a dependency more",
    ),
    Own(
        "faults of the settings with line and nearest key",
        ("sidecar/config_document.py", "sidecar/config_faults.py"),
        "ruamel.yaml, strictyaml",
        "pydantic checks and PyYAML reads; these files bring what the first finds to the lines of the second,"
        " all at once",
    ),
    Own(
        "circuit breaker, ceiling, guesses at tokens",
        ("sidecar/decide/breaker.py", "sidecar/decide/ceiling.py", "sidecar/admin/guesses.py"),
        "pybreaker, aiolimiter, limits",
        "those wrap calls and read the clock; these are tables that are given the time, and the first two are compiled",
    ),
    Own(
        "the ONNX model server",
        ("sidecar/model_server/*.py",),
        "MLServer, Triton",
        "one session of onnxruntime with limits on its memory, time and files; MLServer's size stands above",
    ),
)


def table() -> list[str]:
    """Markdown, the longest first."""
    rows = sorted(OWN, key=lambda own: -own.lines)
    return [
        "| what is our own | lines | instead of | because |",
        "|---|---|---|---|",
        *(f"| {own.what} | {own.lines:,} | {own.libraries} | {own.reason} |" for own in rows),
    ]
