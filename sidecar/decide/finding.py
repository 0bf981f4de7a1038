"""What one gate found, and the words for a span of time.

Keeps: a finding always carries its n and one plain sentence.
Does not: know its gate's name; the table in `gates` does.
Called by: every gate.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.reports import Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """A gate's verdict. `observed` and `required` are numbers or texts for people, None where not known."""

    verdict: Verdict
    observed: float | str | None
    required: float | str | None
    n: int
    says: str


def lasting(seconds: float) -> str:
    """A span of time in the unit that people would use.

    >>> lasting(90), lasting(700), lasting(9_000), lasting(600_000)
    ('90 seconds', '12 minutes', '2.5 hours', '6.9 days')
    """
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} seconds"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 172_800:
        return f"{seconds / 3_600:.1f} hours"
    return f"{seconds / 86_400:.1f} days"
