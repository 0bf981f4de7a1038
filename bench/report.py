"""The findings as text, the same on the screen and in docs/: every target and what was reached, then each row's tables.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.result import Finding, Result, Table
from bench.spread import Spread, spread


class Machine(msgspec.Struct, frozen=True):
    """Where and how it was measured. `sidecar` tells its interpreter and whether it was compiled."""

    processor: str
    versions: str
    sidecar: str
    rounds: int
    seconds: int
    minutes: float


def whole(machine: Machine, results: Sequence[Result]) -> str:
    """Everything, as Markdown."""
    targets = targets_table([finding for result in results for finding in result.findings])
    return "\n\n".join([_how(machine), _noise(results), markdown(targets), *(_row(result) for result in results)])


def document(text: str, picture: str) -> str:
    """The page for docs/."""
    return (
        "# Performance\n\n"
        "Written by `python -m bench --write-docs`; run it again rather than edit this.\n\n"
        f"![What was measured]({picture})\n\n{text}\n"
    )


def targets_table(findings: Sequence[Finding]) -> Table:
    """All targets."""
    return Table(
        ("measure", "against", "reached", "target", ""),
        [(one.measure, one.against or "–", _reached(one), _limit(one), _verdict(one)) for one in findings],
    )


def markdown(table: Table) -> str:
    """A table as Markdown."""
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _how(machine: Machine) -> str:
    return (
        f"Medians over {machine.rounds} interleaved rounds of {machine.seconds} s for each contender, with least and "
        "most in brackets; ratios are taken within each round. The proxy has one core; load, model servers (nginx "
        "`return 200` where nothing else is said) and control share another. The whole run took "
        f"{machine.minutes:.0f} minutes.\n\n{machine.processor}; {machine.versions}. The sidecar: {machine.sidecar}."
    )


def _noise(results: Sequence[Result]) -> str:
    shares = [share for result in results for share in result.elsewhere]
    if not shares:
        return "The machine's noise was not measured by these rows."
    seen: Spread = spread(shares)
    return (
        f"Other processes took {seen.median:.0%} of the measured core ({seen.least:.0%} to {seen.most:.0%}); above a "
        "few percent the machine was not quiet: then read the ratios, and those as rough."
    )


def _row(result: Result) -> str:
    parts = [f"## {result.title}", *(markdown(table) for table in result.tables), *filter(None, [result.note])]
    return "\n\n".join(parts)


def _reached(finding: Finding) -> str:
    if finding.reached is None:
        return f"not measured: {finding.skipped}" if finding.skipped else "not measured"
    return f"{finding.reached.shown(finding.digits)}{finding.unit}"


def _limit(finding: Finding) -> str:
    return f"{'≥' if finding.at_least else '≤'} {finding.limit:g}{finding.unit}"


def _verdict(finding: Finding) -> str:
    return {True: "met", False: "**missed**", None: "–"}[finding.met]
