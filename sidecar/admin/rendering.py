"""The dashboard's templates: where they are, what they may call, and that all they show is escaped.

Keeps: autoescape for every template; a name that is not there is a fault and no empty text. Called by `dashboard`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sidecar.admin import answers, charts, figures, overlay, timeline
from sidecar.admin.canary_forms import step_went
from sidecar.admin.health import sentence
from sidecar.admin.lineage import headline
from sidecar.records import DROP_REASONS, LEG_ERRORS

_HERE = Path(__file__).parent


@functools.cache
def templates() -> Environment:
    """The environment that all screens are rendered in, compiled once."""
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        finalize=figures.in_reading_order,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        number=figures.number,
        percent=figures.percent,
        milliseconds=figures.milliseconds,
        duration=figures.duration,
        moment=figures.moment,
        digest=figures.digest,
        headline=headline,
        sentence=sentence,
        rfc3339=answers.rfc3339,
        segment=_segment,
        step_went=step_went,
    )
    found.globals.update(
        width=overlay.WIDTH,
        height=overlay.HEIGHT,
        chart_height=charts.HEIGHT,
        row_height=timeline.ROW,
        interval=overlay.interval,
        complete=answers.complete,
        LEG_ERRORS=LEG_ERRORS,
        DROP_REASONS=DROP_REASONS,
    )
    return found


def _segment(text: object) -> str:
    """A name as one segment of a path or one value of a query."""
    return quote(str(text), safe="", errors="replace")
