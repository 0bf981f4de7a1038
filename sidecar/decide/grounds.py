"""What a decision about a challenger stands on: the pair, the baseline, the gates' settings, and each gate's verdict.

Keeps: more traffic alone leaves it as it is; another champion or generation, challenger, baseline or setting, evidence
that began anew, or a gate that turned does not. Plans, approvals and evidence that somebody has read are bound to it.
Does not: judge, store, or count people (`approvals`).
Called by: `approvals`, `promotion`, and control, which makes it from each gate table.
"""

from __future__ import annotations

import hashlib
import json

import msgspec

from sidecar.config_gates import Gates
from sidecar.decide.evidence import Evidence
from sidecar.reports import GateTable

# It is what approvals lead to, so that none can stand on it.
_APPROVALS = "approvals"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged. `since` is when the evidence began, `settings` a digest of the gates' configuration."""

    deployment: str
    champion: str
    generation: int
    challenger: str
    baseline: str | None
    since: float
    settings: str


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """A subject with its verdicts by gate, approvals left out."""

    subject: Subject
    verdicts: tuple[tuple[str, str], ...]

    @property
    def failing(self) -> tuple[str, ...]:
        """The gates that fail."""
        return tuple(name for name, verdict in self.verdicts if verdict == "fail")


def subject_of(evidence: Evidence, settings: Gates, generation: int) -> Subject:
    """What this evidence is about, under these settings."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Subject(
        deployment=evidence.deployment,
        champion=evidence.champion,
        generation=generation,
        challenger=evidence.challenger,
        baseline=evidence.baseline_digest,
        since=evidence.comparison.since,
        settings=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
    )


def grounds_of(subject: Subject, table: GateTable) -> Grounds:
    """The subject with the verdicts of its table."""
    verdicts = tuple((gate.name, gate.verdict) for gate in table.gates if gate.name != _APPROVALS)
    return Grounds(subject=subject, verdicts=verdicts)


def other_subject(then: Subject, now: Subject) -> str | None:
    """What is otherwise by now, in a few words; None while it is the same."""
    if (then.deployment, then.challenger) != (now.deployment, now.challenger):
        return "it is about another version"
    if (then.champion, then.generation) != (now.champion, now.generation):
        return "the champion was changed"
    if then.baseline != now.baseline:
        return "the baseline is another one"
    if then.settings != now.settings:
        return "the gates' settings were changed"
    return "the evidence began anew" if then.since != now.since else None


def other_grounds(then: Grounds, now: Grounds) -> str | None:
    """As `other_subject`, and whether a gate says something else."""
    differs = other_subject(then.subject, now.subject)
    if differs is not None:
        return differs
    before = dict(then.verdicts)
    turned = [f"{name} says {verdict}" for name, verdict in now.verdicts if before.get(name) != verdict]
    return f"gate {', '.join(turned)}" if turned else None
