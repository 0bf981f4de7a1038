"""Which version was champion when, read from the audit trail alone."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sidecar.standing import AuditEntry, ChampionSpan

_MOVES = ("start", "promote", "override", "rollback")


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
        spans.append(
            ChampionSpan(
                version=entry.to_version,
                since=entry.at,
                until=None,
                promoted_by=entry.actor,
                evidence=entry.evidence,
                reason=entry.reason,
                audit_seq=entry.seq,
            )
        )
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


def _milliseconds(at_s: float) -> int:
    """Cut, not rounded, from microseconds: what a time's text has."""
    return round(at_s * 1_000_000) // 1_000
