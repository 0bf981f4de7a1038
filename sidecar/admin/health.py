"""How a deployment stands, in words that a person on call understands: what is wrong, and what to do.

Keeps: the worst thing is said first and alone; what harms callers comes before what harms a decision, that before what
is merely odd; "nothing watches" is never told as health. Pure. Called by `dashboard`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sidecar.admin.figures import percent
from sidecar.reports import DriftReport, GateTable, GateVerdict
from sidecar.standing import Alarm, ChallengerStatus, DeploymentStatus

Level = Literal["good", "info", "warn", "bad"]
_RANK = {"critical": 0, "warning": 1, "info": 2, "none": 3}


class Health(NamedTuple):
    """`word` is the state in one or two words, `says` one sentence, `action` what to do or empty."""

    level: Level
    word: str
    says: str
    action: str = ""


class Readiness(NamedTuple):
    """What the gates say of a challenger: a level, a word, and the gates that stand in its way."""

    level: Level
    word: str
    blocking: tuple[GateVerdict, ...] = ()
    lacking: tuple[GateVerdict, ...] = ()


def health(status: DeploymentStatus, alarms: Sequence[Alarm], drift: DriftReport | str) -> Health:
    """The worst of what is known. `alarms`: the open ones of this deployment; `drift` a text where there is none."""
    told = sorted((alarm for alarm in alarms if not alarm.explained_by), key=lambda alarm: _RANK[alarm.severity])
    if told and told[0].severity in ("critical", "warning"):
        return _of_alarm(told[0], len(told))
    odd = _odd(status)
    if odd is not None:
        return odd
    if told:
        return _of_alarm(told[0], len(told))
    if isinstance(drift, str) or drift.baseline_digest is None:
        return Health(
            "info",
            "Not watched",
            "There is no baseline, so nobody knows whether the inputs are as in training.",
            "Build one with sidecar baseline build.",
        )
    return Health("good", "Healthy", _quiet(status))


def _quiet(status: DeploymentStatus) -> str:
    canary = status.canary
    if canary is not None:
        share = f"{percent(canary.weight)} of the requests, at step {canary.step} of {len(canary.steps)}"
        return f"Version {canary.version} as canary answers {share}."
    if status.state == "watching":
        return f"Version {status.champion.version} was promoted and is being watched."
    return "Inputs and predictions are as in training."


def readiness(challenger: ChallengerStatus, table: GateTable | str, *, shadow: bool) -> Readiness:
    """Where a challenger stands on its way. `shadow`: the kill switch is not pressed."""
    if not shadow or not challenger.enabled:
        return Readiness("info", "Shadow off")
    if isinstance(table, str):
        return Readiness("info", "Not judged")
    blocking = tuple(gate for gate in table.gates if gate.verdict == "fail")
    lacking = tuple(gate for gate in table.gates if gate.verdict == "insufficient")
    if blocking:
        return Readiness("bad", "Blocked", blocking, lacking)
    if lacking:
        return Readiness("warn", "Needs more data", blocking, lacking)
    return Readiness("good", "Ready to promote") if table.verdict == "pass" else Readiness("info", "Gates are off")


def sentence(says: str) -> tuple[str, str]:
    """An alarm's text as its first sentence part and the rest, which holds the figures."""
    first, _, rest = says.partition("; ")
    return first, rest


def _odd(status: DeploymentStatus) -> Health | None:
    """What harms a decision, and no caller."""
    if status.unrecorded:
        return Health("warn", "Not recorded", f"The champion is not in the audit trail yet: {status.unrecorded}")
    if status.registry.divergence is not None:
        other = status.registry.divergence
        return Health(
            "warn",
            "Registry disagrees",
            f"The registry names version {other.registry}; version {other.sidecar} answers callers.",
            "Decide which is right: promote or roll back, or put the alias back.",
        )
    sick = [
        challenger for challenger in status.challengers if challenger.health in ("failing", "unreachable", "paused")
    ]
    if sick and status.shadow_enabled:
        names = ", ".join(challenger.version for challenger in sick)
        return Health(
            "warn",
            "Challenger sick",
            f"Challenger {names} does not answer well; callers are not affected.",
            "Look at its server, or take it out of the shadow.",
        )
    return None


def _of_alarm(alarm: Alarm, several: int) -> Health:
    words = {
        "data.broken": "Broken input",
        "drift.detected": "Inputs moved",
        "prediction.shifted": "Predictions moved",
        "outcome.degraded": "Quality fell",
        "mirror.silent": "Shadow silent",
    }
    level: Level = "bad" if alarm.severity == "critical" else "warn" if alarm.severity == "warning" else "info"
    more = f" (and {several - 1} more)" if several > 1 else ""
    return Health(level, words[alarm.kind], f"{sentence(alarm.says)[0]}{more}", alarm.action)
