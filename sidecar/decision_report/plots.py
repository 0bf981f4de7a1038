"""The report's plots as SVG, drawn from the counts that were kept: no script, no style, nothing from elsewhere.

Keeps: areas and lengths are proportional; every plot has a title that says its numbers, for who cannot see it; colours
come from classes of the page, so that print and dark screens can have their own. Pure. Called by `page`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from sidecar.decision_report.wording import number, percent, plain
from sidecar.reports import ComparisonReport, Interval, PairedQuality, ScoreDifference

WIDTH = 640.0
_MOST_BARS = 60
_COLUMN = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
_BAR = Markup('<rect class="{}" x="200" y="{}" width="{}" height="20"/>')
_PICTURE = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>')


def agreement(found: Interval, required: float | None) -> Markup:
    """The share of pairs on which both agree, with its interval and what is asked for."""
    shown = [found.lower, found.upper, *([] if required is None else [required])]
    low = max(0.0, min(shown) - 0.05)
    left, span = 20.0, WIDTH - 40.0

    def x(share: float) -> float:
        return left + span * (share - low) / max(1e-9, 1.0 - low)

    says = f"agreement {percent(found.value)}, between {percent(found.lower)} and {percent(found.upper)}"
    parts = [
        Markup('<line class="axis" x1="{}" y1="34" x2="{}" y2="34"/>').format(_p(left), _p(left + span)),
        Markup('<line class="whisker" x1="{}" y1="34" x2="{}" y2="34"/>').format(
            _p(x(found.lower)), _p(x(found.upper))
        ),
        Markup('<circle class="dot" cx="{}" cy="34" r="6"/>').format(_p(x(found.value))),
        _label(x(found.value), 20, percent(found.value), "middle"),
        _label(left, 56, percent(low), "start"),
        _label(left + span, 56, percent(1.0), "end"),
    ]
    if required is not None:
        says += f"; required {percent(required)}"
        parts.append(Markup('<line class="required" x1="{0}" y1="24" x2="{0}" y2="44"/>').format(_p(x(required))))
        parts.append(_label(x(required), 70, f"required {percent(required)}", "middle"))
    return _picture(says, 78, parts)


def differences(bins: Sequence[tuple[float, float, int]]) -> Markup | None:
    """The histogram of challenger's less champion's score; None without rows."""
    found = _coarser([each for each in bins if each[1] > each[0]])
    rows = sum(n for _, _, n in found)
    if not rows:
        return None
    low, high = found[0][0], found[-1][1]
    top = max(n / (to - since) for since, to, n in found)
    parts = []
    for since, to, n in found:
        x, width = 20 + 600 * (since - low) / (high - low), 600 * (to - since) / (high - low)
        height = 110 * n / (to - since) / top
        title = f"{number(since)} to {number(to)}: {number(n)} rows"
        parts.append(_COLUMN.format(_p(x), _p(124 - height), _p(max(0.5, width - 0.6)), _p(height), title))
    parts.append(Markup('<line class="axis" x1="20" y1="124.5" x2="620" y2="124.5"/>'))
    if low < 0.0 < high:
        zero = 20 + 600 * -low / (high - low)
        parts.append(Markup('<line class="required" x1="{0}" y1="10" x2="{0}" y2="124"/>').format(_p(zero)))
        parts.append(_label(zero, 142, "0", "middle"))
    parts += [_label(20, 142, number(low), "start"), _label(620, 142, number(high), "end")]
    return _picture(f"score differences of {number(rows)} rows, {number(low)} to {number(high)}", 150, parts)


def spread(found: ScoreDifference) -> Markup:
    """Where the score differences lie, for reports without a histogram."""
    values = (("mean", found.mean_abs), ("median", found.p50), ("95 %", found.p95), ("largest", found.max))
    return bars("absolute difference of scores", [(name, abs(value), "bar") for name, value in values], number)


def outcomes(quality: PairedQuality) -> Markup:
    """Rows on which one of the two was right: these alone tell the versions apart."""
    rows = [
        ("only the challenger right", float(quality.better), "good"),
        ("only the champion right", float(quality.worse), "bad"),
    ]
    return bars(f"rows with an outcome, {number(quality.matched)} in all, by who was right", rows, number)


def copies(comparison: ComparisonReport) -> Markup:
    """What became of the copies that were due."""
    found = comparison.copies
    rows = [("answered", float(found.answered), "good")]
    rows += [(f"failed: {kind}", float(n), "bad") for kind, n in sorted(found.errors.items()) if n]
    rows += [(f"not sent: {reason}", float(n), "bar") for reason, n in sorted(found.dropped.items()) if n]
    return bars("copies by what became of them", rows, number)


def latency(comparison: ComparisonReport) -> Markup | None:
    """Median and 99th percentile of both versions on the same requests; None where they are not known."""
    rows = [
        (f"{who}, {name}", value, style)
        for who, found, style in (
            ("champion", comparison.latency_champion, "bar"),
            ("challenger", comparison.latency_challenger, "good"),
        )
        for name, value in (("median", found.p50), ("99 %", found.p99))
        if value is not None
    ]
    return bars("milliseconds to answer", rows, lambda value: f"{value:.1f} ms") if rows else None


def bars(says: str, rows: Sequence[tuple[str, float, str]], shown: object) -> Markup:
    """Horizontal bars: label, length, class."""
    write = shown if callable(shown) else number
    top = max((value for _, value, _ in rows), default=0.0) or 1.0
    parts: list[Markup] = []
    for place, (label, value, style) in enumerate(rows):
        y = 8 + 28 * place
        parts.append(_label(190, y + 15, label, "end"))
        parts.append(_BAR.format(style, y, _p(max(1.0, 330 * max(0.0, value) / top))))
        parts.append(_label(206 + 330 * max(0.0, value) / top, y + 15, str(write(value)), "start"))
    told = ", ".join(f"{label} {write(value)}" for label, value, _ in rows)
    return _picture(f"{says}: {told}" if told else says, 12 + 28 * len(rows), parts)


def _coarser(bins: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """At most so many bars: neighbours are joined."""
    while len(bins) > _MOST_BARS:
        bins = list(_joined(bins))
    return bins


def _joined(bins: list[tuple[float, float, int]]) -> Iterator[tuple[float, float, int]]:
    for at in range(0, len(bins), 2):
        pair = bins[at : at + 2]
        yield pair[0][0], pair[-1][1], sum(n for _, _, n in pair)


def _picture(says: str, height: float, parts: Sequence[Markup]) -> Markup:
    return _PICTURE.format(_p(WIDTH), _p(height), plain(says), plain(says), Markup().join(parts))


def _label(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(_p(x), _p(y), anchor, plain(text))


def _p(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")
