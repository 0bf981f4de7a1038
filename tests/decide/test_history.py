from __future__ import annotations

from typing import Any

import pytest

from sidecar.decide.history import champion_at, champion_spans
from sidecar.standing import AuditEntry


def entry(at: float, action: str, to: str | None, **changes: Any) -> AuditEntry:
    known: dict[str, Any] = {
        "seq": int(at), "at": at, "actor": "alice", "action": action, "deployment": "fraud", "from_version": None,
        "to_version": to, "reason": "because", "evidence": None, "details": "{}", "prev": "", "hash": "",
    }  # fmt: skip
    return AuditEntry(**known | changes)


TRAIL = (
    entry(10, "start", "3", actor="sidecar"),
    entry(15, "start", "9", deployment="other"),
    entry(20, "promote", "4", evidence="sha256:e"),
    entry(25, "acknowledge", None),
    entry(27, "promote", None),
    entry(30, "start", "4", actor="sidecar"),
    entry(40, "rollback", "3", actor="bob"),
)


def test_the_trail_tells_each_stretch_with_who_decided_and_on_what() -> None:
    spans = champion_spans(TRAIL, "fraud")
    assert [(s.version, s.since, s.until, s.promoted_by, s.evidence) for s in spans] == [
        ("3", 10, 20, "sidecar", None),
        ("4", 20, 40, "alice", "sha256:e"),
        ("3", 40, None, "bob", None),
    ]


@pytest.mark.parametrize(
    ("at", "version"), [(9.9, None), (10, "3"), (19.9, "3"), (20, "4"), (39.9, "4"), (40, "3"), (1e12, "3")]
)
def test_a_moment_falls_into_the_stretch_that_began_last(at: float, version: str | None) -> None:
    span = champion_at(champion_spans(TRAIL, "fraud"), at)
    assert (span.version if span else None) == version


def test_the_moment_that_the_trail_tells_in_milliseconds_is_the_new_champions() -> None:
    trail = (entry(10.0004, "start", "3"), entry(1_700_000_000.4419, "promote", "4"))
    found = champion_at(champion_spans(trail, "fraud"), 1_700_000_000.441)
    assert found is not None
    assert found.version == "4"


def test_an_unknown_deployment_has_no_history() -> None:
    assert champion_spans(TRAIL, "nobody") == ()
    assert champion_at((), 1.0) is None
