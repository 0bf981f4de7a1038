"""Does a new champion do harm: sufficient evidence against it alone, from the former one on the same requests.

Keeps: only what one of the two does and the other does not is evidence, so that broken input, which hits both, is none;
under an open `data.broken` nothing is judged; too little says nothing. Both tests together are wrong at most as often
as `alpha` says, however often they are asked (`stats/paired`).
Does not: roll back, or know whether a watch is open. Called by: `control/automation`, for people `control/questions`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from sidecar.config_gates import ErrorsGate, Gates, OutcomeGate
from sidecar.config_promotion import Watch
from sidecar.reports import ComparisonReport, PairedQuality
from sidecar.standing import Alarm, DeploymentState
from sidecar.stats.paired import log_e_inferior
from sidecar.watched import WatchStatus, WatchTest

_TESTS = 2
# From this E-value on, whether an outcome comes depends on the score: then outcomes do not judge alone.
_ARRIVAL_E = 20.0
_MOST_LOG_E = 600.0


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about a champion of one generation, and about no other.

    new_only, former_only: requests that just one failed, or rows on which just one was wrong.
    log_e: natural logarithm of the E-value against "at most `margin` worse"; needed: from where on it was enough.
    """

    champion: str
    generation: int
    test: str
    says: str
    new_only: int
    former_only: int
    same: int
    margin: float
    log_e: float
    needed: float


def harm(
    state: DeploymentState,
    comparison: ComparisonReport,
    paired: PairedQuality | None,
    gates: Gates,
    alarms: Iterable[Alarm],
    alpha: float,
) -> Harm | None:
    """The first test that has enough; None where neither has.

    Args:
        state: with the new champion.
        comparison: the former champion beside the new one, which stands as champion in it.
        paired: their outcomes.
        gates: whose margins count; a gate that is off lends its default.
        alarms: open ones of this deployment.
        alpha: how often a harmless champion may be said to do harm.
    """
    if _excused(alarms):
        return None
    weighed = _weighed(state, comparison, paired, gates, alpha)
    return next((found for found in weighed if found.log_e >= found.needed), None)


def watched(
    state: DeploymentState,
    until: float,
    policy: Watch,
    comparison: ComparisonReport | None,
    paired: PairedQuality | None,
    gates: Gates,
    alarms: Iterable[Alarm],
) -> WatchStatus:
    """What the watch sees so far, for people: both tests with what they have and what they need, judged or not."""
    tests = () if comparison is None else _weighed(state, comparison, paired, gates, policy.alpha)
    return WatchStatus(
        until=until,
        former=state.previous,
        rollback=policy.rollback,
        excused=_excused(alarms),
        tests=tuple(
            WatchTest(
                name=found.test,
                new_only=found.new_only,
                former_only=found.former_only,
                same=found.same,
                margin=found.margin,
                e_value=round(math.exp(min(found.log_e, _MOST_LOG_E)), 6),
                needed=round(math.exp(found.needed), 6),
            )
            for found in tests
        ),
    )


def _excused(alarms: Iterable[Alarm]) -> bool:
    """What hits both versions is no evidence against one."""
    return any(alarm.kind == "data.broken" for alarm in alarms)


def _weighed(
    state: DeploymentState, comparison: ComparisonReport, paired: PairedQuality | None, gates: Gates, alpha: float
) -> tuple[Harm, ...]:
    """Each test that can judge, with what it has so far; `log_e` may be less than needed."""
    needed = math.log(_TESTS / alpha)
    outcomes = _by_outcomes(state, paired, gates, needed)
    errors = _by_errors(state, comparison, gates, needed)
    return (errors,) if outcomes is None else (errors, outcomes)


def _by_errors(state: DeploymentState, comparison: ComparisonReport, gates: Gates, needed: float) -> Harm:
    margin = (gates.errors if isinstance(gates.errors, ErrorsGate) else ErrorsGate()).max_increase
    new, former = comparison.champion_only_failures, comparison.challenger_only_failures
    judged = comparison.judged_requests
    same = max(0, judged - new - former)
    # A margin of 1 allows everything to fail.
    log_e = log_e_inferior(former, new, same, margin) if margin < 1.0 else 0.0
    says = f"it alone failed {new:,} of {judged:,} requests, the former champion alone {former:,}"
    return Harm(
        champion=state.champion,
        generation=state.generation,
        test="errors",
        says=says,
        new_only=new,
        former_only=former,
        same=same,
        margin=margin,
        log_e=round(log_e, 6),
        needed=round(needed, 6),
    )


def _by_outcomes(state: DeploymentState, paired: PairedQuality | None, gates: Gates, needed: float) -> Harm | None:
    """Mature rows only; none where outcomes cannot judge."""
    mature = None if paired is None else paired.maturity
    if mature is None or mature.after_s is None or mature.refused is not None or mature.arrival_e >= _ARRIVAL_E:
        return None
    margin = (gates.outcome if isinstance(gates.outcome, OutcomeGate) else OutcomeGate()).margin
    # The former champion stands as challenger: where only that one was right, the new one alone was wrong.
    new, former = mature.better, mature.worse
    log_e = log_e_inferior(former, new, mature.same, margin)
    return Harm(
        champion=state.champion,
        generation=state.generation,
        test="outcome",
        says=f"of {new + former + mature.same:,} outcomes it alone was wrong {new:,} times, the former one {former:,}",
        new_only=new,
        former_only=former,
        same=mature.same,
        margin=margin,
        log_e=round(log_e, 6),
        needed=round(needed, 6),
    )
