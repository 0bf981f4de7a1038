"""Panels of horizontal bars, written as SVG by hand. Readable on light and dark pages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.result import Bar, Panel

_WIDTH, _LEFT, _RIGHT, _ROW, _BAR, _TITLE, _GAP = 820, 290, 90, 26, 16, 34, 22
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2933; }
.title { font-weight: 600; font-size: 15px; }
.span { stroke: #1f2933; stroke-width: 1.5; }
.peer { fill: #8a94a0; }
.ours { fill: #2374ab; }
@media (prefers-color-scheme: dark) { text { fill: #e4e7eb; } .span { stroke: #e4e7eb; } }"""


def draw(panels: Sequence[Panel], title: str = "The sidecar beside nginx and Envoy") -> str:
    """All panels, one below the other: a bar for each median, a line from least to most."""
    lines = []
    top = _GAP
    for panel in panels:
        lines += _panel(panel, top)
        top += _TITLE + _ROW * len(panel.bars) + _GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
    ]
    return "\n".join([*head, *lines, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    longest = max((bar.value.most for bar in panel.bars), default=0.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / (longest if longest > 0 else 1.0)
    lines = [f'<text class="title" x="10" y="{top + 12}">{escape(panel.title)}</text>']
    for place, bar in enumerate(panel.bars):
        lines += _bar(bar, top + _TITLE + place * _ROW, scale, panel.digits)
    return lines


def _bar(bar: Bar, top: int, scale: float, digits: int) -> list[str]:
    middle, kind = top + _BAR / 2, "ours" if bar.ours else "peer"
    # A difference may come out below nothing: then there is no bar to draw.
    length, least, most = (max(0.0, value) * scale for value in (bar.value.median, bar.value.least, bar.value.most))
    return [
        f'<text x="{_LEFT - 8}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
        f'<line class="span" x1="{_LEFT + least:.1f}" x2="{_LEFT + most:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{_LEFT + max(length, most) + 8:.1f}" y="{middle + 4.5:.1f}">{bar.value.median:,.{digits}f}</text>',
    ]
