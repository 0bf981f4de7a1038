"""What the registry's client costs who uses it: its import, and a model that is resolved from its last known good.

Each import is of a fresh process, less what a bare interpreter takes; resolving is timed read by read in another one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench import registry_run
from bench.process import Gone
from bench.result import Finding, Result, Table
from bench.spread import Spread, spread
from bench.stand import Stand

IMPORT = "import registry_client"
IMPORTS = {
    IMPORT: IMPORT,
    "… and open a folder": "from registry_client import open_registry; open_registry('file:.')",
    "… and open MLflow": "from registry_client import open_registry; open_registry('mlflow+http://127.0.0.1:5000')",
}
STARTS = 7
IMPORT_LIMIT_MS, RESOLVE_LIMIT_MS = 150.0, 1.0
_READS = {
    "asked": "the registry answers",
    "kept": "the registry away",
    "first": "the registry away, from disk",
}
_PATIENCE_S = 120.0
_TIMED = "import time; began = time.perf_counter(); {}; print((time.perf_counter() - began) * 1e3)"


class Run(msgspec.Struct, frozen=True):
    """Milliseconds: of every import by its name, and of every read."""

    imports: dict[str, list[float]]
    reads: dict[str, list[float]]


def measure(stand: Stand) -> Result:
    """The row."""
    runs = []
    for _ in range(stand.rounds):
        imports = {name: [_imported(stand, program) for _ in range(STARTS)] for name, program in IMPORTS.items()}
        runs.append(Run(imports, _resolved(stand)))
        told = ", ".join(f"{name} {median(times):.1f} ms" for name, times in imports.items())
        stand.tell(f"{told}; resolved from disk {median(runs[-1].reads['first']):.3f} ms")
    return judged(runs)


def _imported(stand: Stand, program: str) -> float:
    return float(_said(stand, "-c", _TIMED.format(program)))


def _resolved(stand: Stand) -> dict[str, list[float]]:
    folder = stand.new("registry")
    folder.mkdir(parents=True)
    seconds: dict[str, list[float]] = json.loads(_said(stand, "-P", str(Path(registry_run.__file__)), str(folder)))
    return {name: [value * 1e3 for value in values] for name, values in seconds.items()}


def _said(stand: Stand, *arguments: str) -> str:
    command = [stand.build.python, *arguments]
    done = subprocess.run(
        command,
        env=stand.build.environment(),
        cwd=stand.folder,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        raise Gone(f"the registry's client failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def judged(runs: Sequence[Run]) -> Result:
    """Against the targets. Pure."""
    imports = {name: spread([median(run.imports[name]) for run in runs]) for name in IMPORTS}
    reads = {name: spread([median(run.reads[name]) for run in runs]) for name in _READS}
    return Result(
        title="The registry's client",
        findings=[
            Finding(
                measure=f"time of `{IMPORT}`", reached=imports[IMPORT], limit=IMPORT_LIMIT_MS, unit=" ms", digits=1
            ),
            *(
                Finding(
                    measure=f"time to resolve a model, {_READS[name]}",
                    reached=reads[name],
                    limit=RESOLVE_LIMIT_MS,
                    unit=" ms",
                    digits=3,
                )
                for name in ("kept", "first")
            ),
        ],
        tables=[
            Table(("a fresh process", "ms"), [(name, reached.shown(1)) for name, reached in imports.items()]),
            _table(runs, reads),
        ],
        note=(
            f"Medians of {STARTS} fresh processes and of {registry_run.READS} reads in each round. The bare import "
            "loads nothing else; opening loads what every registry needs, numpy above all. Resolving is alias to "
            "version with its lineage, tags and digests; from disk it finds the registry away, and then reads two "
            "files, checks and decodes them."
        ),
    )


def _table(runs: Sequence[Run], reads: Mapping[str, Spread]) -> Table:
    rows = []
    for name, says in _READS.items():
        most = max(max(run.reads[name]) for run in runs)
        rows.append((says, reads[name].shown(3), f"{most:.3f}"))
    return Table(("a model by its alias", "ms", "the slowest of all"), rows)
