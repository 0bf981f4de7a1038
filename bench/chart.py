"""The figures as a picture: horizontal bars, written as SVG by hand. Readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.figures import Figure

_WIDTH, _LEFT, _RIGHT, _ROW, _BAR, _TOP = 760, 230, 90, 34, 20, 46
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2933; }
.title { font-weight: 600; font-size: 15px; }
.span { stroke: #1f2933; stroke-width: 1.5; }
.peer { fill: #8a94a0; }
.ours { fill: #2374ab; }
@media (prefers-color-scheme: dark) { text { fill: #e4e7eb; } .span { stroke: #e4e7eb; } }"""


def draw(figures: Sequence[Figure]) -> str:
    """A bar for each contender's median CPU per request, a line from its least to its most."""
    longest = max(figure.cpu_us.most for figure in figures) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    height = _TOP + _ROW * len(figures) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>CPU per request of each contender</title>",
        f"<style>{_STYLE}</style>",
        '<text class="title" x="10" y="24">CPU of the proxy per request, µs (less is better)</text>',
    ]
    for place, figure in enumerate(figures):
        lines += _bar(figure, _TOP + place * _ROW, scale)
    return "\n".join([*lines, "</svg>", ""])


def _bar(figure: Figure, top: float, scale: float) -> list[str]:
    cpu, middle = figure.cpu_us, top + _BAR / 2
    kind = "ours" if figure.contender.startswith("sidecar") else "peer"
    least, most = _LEFT + cpu.least * scale, _LEFT + cpu.most * scale
    return [
        f'<text x="{_LEFT - 8}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(figure.contender)}</text>',
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{cpu.median * scale:.1f}" height="{_BAR}" rx="2"/>',
        f'<line class="span" x1="{least:.1f}" x2="{most:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{most + 8:.1f}" y="{middle + 4.5:.1f}">{cpu.median:.1f}</text>',
    ]
