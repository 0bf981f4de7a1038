"""The findings as a page for docs/: targets first, met or missed, then every experiment's tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import markdown, targets_table
from bench.result import Result
from bench.spread import spread

_MEASURED = (
    "What the page on [statistics](statistics.md) promises, measured; losses are in the same tables. A ratio's median "
    "is over the effects or rounds that it names, with least and most in brackets."
)
_NOT_SHOWN = """## What this does not show

- Drawn rows are independent; rows of one customer that come in bursts are not. Only B, D and F have rows in their real
  order.
- Peers were made for reports on a batch, most of them; to ask them for delays is to ask for something that they do not
  promise. They are measured as their documentation shows them, at defaults, and tuned to the same rate of false alarms.
- The corruptions of experiment E are written by people who know which faults are common. Those of the real world are
  stranger.
- The figures of speed are of one machine with two cores, which others used too wherever the noise says so."""


def whole(machine: str, results: Sequence[Result]) -> str:
    """Everything, as Markdown."""
    targets = targets_table([finding for result in results for finding in result.findings])
    noise = [share for result in results for share in result.elsewhere]
    said = f" Others took {spread(noise).shown(2)} of the core while speed was measured." if noise else ""
    return "\n\n".join([machine + said, markdown(targets), *(_experiment(result) for result in results), _NOT_SHOWN])


def page(text: str, picture: str) -> str:
    """The page."""
    return (
        "# Statistics, measured\n\n"
        "Written by `python -m bench.drift --write-docs`; run it again rather than edit this.\n\n"
        f"{_MEASURED}\n\n![What was measured]({picture})\n\n{text}\n"
    )


def _experiment(result: Result) -> str:
    parts = [f"## {result.title}", *(markdown(table) for table in result.tables), *filter(None, [result.note])]
    return "\n\n".join(parts)
