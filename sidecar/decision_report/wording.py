"""Numbers, times and sentences of a report, the same in Markdown and on the page. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from sidecar.decide.history import CANARY_STEPS
from sidecar.decision_report.facts import DecisionReport, place_of
from sidecar.reports import ComparisonReport, Interval, PairedQuality

UNKNOWN = "–"
VERBS = {
    "start": "started with",
    "promote": "promoted to",
    "override": "overridden to",
    "rollback": "rolled back to",
    "canary_start": "a canary began, of",
    "canary_step": "a canary took its next step, of",
    "canary_stop": "a canary ended, back to",
}
# Marks that reorder what a reader sees (Unicode UAX 9), and controls.
_UNSEEN = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SHARES = frozenset({"accuracy", "precision", "recall", "specificity", "f1", "auc", "ece"})


def plain(text: str) -> str:
    """A text from elsewhere as it reads: marks that nobody sees are spelled out, halves of characters replaced."""
    seen = _UNSEEN.sub(lambda mark: f"\\u{ord(mark[0]):04x}", text.replace("\r\n", "\n"))
    return seen.encode("utf-8", "replace").decode()


def moment(at_s: float | None) -> str:
    """`2026-01-31 12:00:05 UTC`."""
    if at_s is None or not math.isfinite(at_s):
        return UNKNOWN
    return f"{datetime.fromtimestamp(min(max(at_s, 0.0), 253_402_300_799.0), UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float | str | None) -> str:
    """`12,345`, `0.0123`; a text stays as it is."""
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        return plain(value)
    if not math.isfinite(value):
        return UNKNOWN
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1_000 else f"{value:.4g}"


def percent(share: float | None) -> str:
    """`97.30 %`."""
    return UNKNOWN if share is None or not math.isfinite(share) else f"{share * 100:.2f} %"


def duration(seconds: float | None) -> str:
    """`45 s`, `3 h 20 min`, `9 days`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{seconds / 86_400:.1f} days"


def title(report: DecisionReport) -> str:
    """What happened, in one line."""
    entry = report.entry
    verb = VERBS.get(entry.action, entry.action)
    return f"{plain(entry.deployment)}: {verb} version {plain(entry.to_version or UNKNOWN)}"


def summary(report: DecisionReport) -> Iterator[tuple[str, str]]:
    """Who, what, why, when; name and text."""
    entry = report.entry
    yield "Deployment", plain(entry.deployment)
    yield (
        "What",
        f"{entry.action}: version {plain(entry.from_version or UNKNOWN)} → {plain(entry.to_version or UNKNOWN)}",
    )
    yield "Who", plain(entry.actor)
    yield "Why", plain(entry.reason)
    yield "When", moment(entry.at)
    if report.stood_since is not None:
        stood = duration(entry.at - report.stood_since)
        yield "Former champion", f"version {plain(entry.from_version or UNKNOWN)} had answered for {stood}"
    if report.followed_by is None:
        yield "Since then", f"version {plain(entry.to_version or UNKNOWN)} still answered when this was written"
    else:
        after = report.followed_by
        stood = duration(after.at - entry.at)
        yield "Since then", f"answered for {stood}, until {after.action} by {plain(after.actor)} (entry {after.seq})"
    yield from _canary(report)
    yield "Where it answers", plain(report.target) or UNKNOWN
    if report.forced:
        yield "Forced", "yes: it was not asked beforehand whether it answers"
    yield "Software", plain(report.software) or UNKNOWN


def _canary(report: DecisionReport) -> Iterator[tuple[str, str]]:
    """Through which steps a canary has come, and how far."""
    for entry in report.canary_steps:
        place = place_of(entry)
        share = "" if place is None else f", {percent(place.weight)} of the requests"
        told = f"{VERBS.get(entry.action, entry.action)} version {plain(entry.to_version or UNKNOWN)}{share}"
        yield f"Entry {entry.seq}", f"{moment(entry.at)}: {told}, by {plain(entry.actor)}: {plain(entry.reason)}"
    place, entry = report.canary, report.entry
    if place is None or entry.action == "canary_stop":
        return
    at = f"{percent(place.weight)} of the requests, at step {place.step} of {place.steps}"
    if entry.action in CANARY_STEPS:
        yield "Share", at
    else:
        yield "Canary", f"version {plain(place.version)} had answered {at}"


def proof(report: DecisionReport) -> Iterator[tuple[str, str]]:
    """What binds the report to the trail."""
    entry, trail = report.entry, report.trail
    yield "Evidence", plain(entry.evidence or "none: no gate was asked")
    yield "Counts", plain(report.again)
    if report.evidence is not None:
        kept = report.evidence
        yield "Data window", f"{moment(kept.since)} to {moment(kept.at)}"
        yield "Formulas", f"{plain(kept.formulas)} (sidecar {plain(kept.software)})"
        yield "Baseline", plain(kept.evidence.baseline_digest or "none")
    yield "Audit entry", str(entry.seq)
    yield "Its hash", plain(entry.hash)
    yield "Hash before", plain(entry.prev)
    held = f"holds: {trail.entries} entries, head {plain(trail.head)}"
    yield "Audit trail", held if trail.ok else f"does not hold: {plain(trail.fault or 'its chain is broken')}"
    yield "Report made", moment(report.made_at)


def counts(comparison: ComparisonReport) -> Iterator[tuple[str, str]]:
    """The comparison's figures."""
    copies = comparison.copies
    yield "Mirrored for", duration(comparison.mirrored_s)
    yield "Copies", f"{number(copies.due)} due, {number(copies.mirrored)} sent, {number(copies.answered)} answered"
    yield "Pairs", f"{number(comparison.pairs)} rows of {number(comparison.paired_requests)} requests"
    failures = f"{number(comparison.champion_failures)} and {number(comparison.challenger_failures)}"
    yield "Failures", f"{failures} (champion and challenger) of {number(comparison.judged_requests)} requests"
    if comparison.agreement is not None:
        a = comparison.agreement
        on = f" on {comparison.agreement_basis}" if comparison.agreement_basis else ""
        yield "Agreement", f"{percent(a.value)} ({percent(a.lower)} to {percent(a.upper)}){on}"
    if comparison.noise is not None:
        noise = comparison.noise
        yield (
            "Noise floor",
            f"the champion contradicts itself on {percent(noise.self_disagreement)} of {noise.rows} rows",
        )
    if comparison.cohen_kappa is not None:
        yield "Cohen's κ", number(comparison.cohen_kappa)
    if comparison.prediction_psi is not None:
        yield "PSI of the predictions", number(comparison.prediction_psi)
    if comparison.score_difference is not None:
        d = comparison.score_difference
        yield "Score difference", f"mean {number(d.mean)}, absolute mean {number(d.mean_abs)}, largest {number(d.max)}"
    both = (comparison.latency_champion, comparison.latency_challenger)
    p99 = " and ".join(UNKNOWN if q.p99 is None else f"{q.p99:.1f} ms" for q in both)
    yield "Latency, 99th percentile", f"{p99} (champion and challenger, which may run on other hardware)"


def outcomes(quality: PairedQuality) -> Iterator[tuple[str, str]]:
    """The outcomes' figures."""
    yield "Rows with an outcome", number(quality.matched)
    yield "Only the challenger was right", number(quality.better)
    yield "Only the champion was right", number(quality.worse)
    yield "Both alike", number(quality.same)
    if quality.maturity is not None and quality.maturity.coverage is not None:
        yield "Mature rows that have an outcome", percent(quality.maturity.coverage)


def metrics(quality: PairedQuality) -> Iterator[tuple[str, str, str]]:
    """Each metric that both versions have: name, champion's, challenger's, with intervals where there are any."""
    for name in quality.champion.metrics:
        if name in quality.challenger.metrics:
            both = (quality.champion, quality.challenger)
            said = [_with_interval(name, each.metrics[name], each.intervals.get(name)) for each in both]
            yield name.replace("_", " "), said[0], said[1]


def _with_interval(name: str, value: float, interval: Interval | None) -> str:
    shown = percent if name in _SHARES else number
    return shown(value) + ("" if interval is None else f" ({shown(interval.lower)} to {shown(interval.upper)})")
