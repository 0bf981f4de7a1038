"""Which version was champion when, and which one a canary, read from the audit trail alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sidecar.standing import AuditEntry, ChampionSpan

_MOVES = ("start", "promote", "override", "rollback")
CANARY_STEPS = ("canary_start", "canary_step", "canary_stop")


def champion_spans(entries: Iterable[AuditEntry], deployment: str) -> tuple[ChampionSpan, ...]:
    """Every stretch of one champion, oldest first; the last one is open."""
    spans: list[ChampionSpan] = []
    for entry in entries:
        if entry.deployment != deployment or entry.action not in _MOVES or entry.to_version is None:
            continue
        if spans and spans[-1].version == entry.to_version:
            continue  # only its address changed
        if spans:
            spans[-1] = msgspec.structs.replace(spans[-1], until=entry.at)
        spans.append(_span(entry))
    return tuple(spans)


def champion_at(spans: Iterable[ChampionSpan], at: float) -> ChampionSpan | None:
    """The stretch that a moment falls into; None before the first.

    In milliseconds, as times are told: the moment of a promotion, as read in the trail, is the new champion's. Where
    the clock was set back, stretches overlap, and the later one in the trail counts.
    """
    asked = _milliseconds(at)
    for span in reversed(tuple(spans)):
        if _milliseconds(span.since) <= asked and (span.until is None or asked < _milliseconds(span.until)):
            return span
    return None


def canary_spans(entries: Iterable[AuditEntry], deployment: str) -> tuple[ChampionSpan, ...]:
    """Every step of a canary, oldest first, as who gave it which share; any move of the champion ends one."""
    spans: list[ChampionSpan] = []
    for entry in entries:
        if entry.deployment != deployment or entry.action not in (*_MOVES, *CANARY_STEPS):
            continue
        if spans and spans[-1].until is None and entry.action != "start":
            spans[-1] = msgspec.structs.replace(spans[-1], until=entry.at)
        if entry.action in ("canary_start", "canary_step") and entry.to_version is not None:
            spans.append(_span(entry, canary=True))
    return tuple(spans)


def span_of(entries: Sequence[AuditEntry], deployment: str, version: str, at: float) -> ChampionSpan | None:
    """Who had decided that this version answers, at the moment of a request that it did answer; None for nobody known.

    A table goes out right after its entry: near a transition the version that answered counts, not the clock.
    """
    champions = champion_spans(entries, deployment)
    span = champion_at(champions, at)
    if span is not None and span.version == version:
        return span
    others = [each for each in (*canary_spans(entries, deployment), *champions) if each.version == version]
    return min(others, key=lambda each: _apart_s(each, at), default=None)


def _apart_s(span: ChampionSpan, at: float) -> float:
    return max(0.0, span.since - at, 0.0 if span.until is None else at - span.until)


def _span(entry: AuditEntry, *, canary: bool = False) -> ChampionSpan:
    return ChampionSpan(
        version=entry.to_version or "",
        since=entry.at,
        until=None,
        promoted_by=entry.actor,
        evidence=entry.evidence,
        reason=entry.reason,
        audit_seq=entry.seq,
        canary=canary,
    )


def _milliseconds(at_s: float) -> int:
    """Cut, not rounded, from microseconds: what a time's text has."""
    return round(at_s * 1_000_000) // 1_000
