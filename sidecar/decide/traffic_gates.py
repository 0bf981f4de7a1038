"""Gates on mirrored traffic, no outcome needed: pairs, duration, completeness, errors, latency, agreement, prediction.

Keeps: too little data is `insufficient`, never pass; `fail` needs evidence that chance does not explain, what lies
between waits. Each gate is one function of its policy, the evidence and `now`, and says in one sentence what is
missing.
Does not: combine gates or switch them off (`gates` does), look at outcomes, alarms or lineage (`quality_gates`).
Called by: the table in `gates`.
"""

from __future__ import annotations

from sidecar.config_gates import (
    AgreementGate,
    CompletenessGate,
    DurationGate,
    ErrorsGate,
    LatencyGate,
    PairsGate,
    PredictionGate,
)
from sidecar.decide.evidence import Evidence
from sidecar.decide.finding import Finding, lasting
from sidecar.stats.confidence import proportion_interval
from sidecar.stats.psi import psi_noise

# Below these counts nothing is judged: one bad minute at the start would decide.
LEAST_COPIES = 100
LEAST_JUDGED = 100
LEAST_COMPARED_ROWS = 200
# Cells of the comparison's prediction PSI; with fewer cells the noise is smaller and the gate slower to fail.
_PREDICTION_CELLS = 20
# Two intervals at 97.5 % hold together at 95 %.
_EACH_ALPHA = 0.025


def pairs(policy: PairsGate, evidence: Evidence, now: float) -> Finding:
    """Enough joined rows to say anything at all."""
    n = evidence.comparison.pairs
    says = f"{n:,} of {policy.min:,} pairs"
    if n >= policy.min:
        return Finding("pass", n, policy.min, n, says)
    elapsed_s = now - evidence.comparison.since
    if n > 0 and elapsed_s > 0:
        says += f"; about {lasting((policy.min - n) * elapsed_s / n)} at the present rate"
    return Finding("insufficient", n, policy.min, n, says)


def duration(policy: DurationGate, evidence: Evidence, now: float) -> Finding:
    """Mirrored long enough, by `mirrored_s`, which a broken feed does not add to. n counts the mirrored copies."""
    del now
    copies = evidence.comparison.copies.mirrored
    counted_s = evidence.comparison.mirrored_s
    hours = round(counted_s / 3_600, 4)
    if copies == 0:
        return Finding("insufficient", 0.0, policy.min_hours, 0, "no copy was sent to the challenger yet")
    says = f"{hours:.1f} of {policy.min_hours:g} hours mirrored"
    missing_s = policy.min_hours * 3_600 - counted_s
    if missing_s <= 0:
        return Finding("pass", hours, policy.min_hours, copies, says)
    return Finding("insufficient", hours, policy.min_hours, copies, f"{says}; {lasting(missing_s)} more of traffic")


def completeness(policy: CompletenessGate, evidence: Evidence, now: float) -> Finding:
    """Nearly every copy that was due was sent. An exact share, so no interval."""
    del now
    copies = evidence.comparison.copies
    due = copies.due
    share = copies.mirrored / due if due else None
    if share is None or due < LEAST_COPIES:
        says = f"{due:,} of {LEAST_COPIES} copies were due; fewer are not judged"
        return Finding("insufficient", share, policy.min, due, says)
    if share >= policy.min:
        return Finding("pass", share, policy.min, due, f"{copies.mirrored:,} of {due:,} copies were sent")
    reason = max(copies.dropped, key=lambda name: (copies.dropped[name], name))
    says = f"{due - copies.mirrored:,} of {due:,} copies were never sent, most of them for {reason}"
    return Finding("fail", share, policy.min, due, says)


def errors(policy: ErrorsGate, evidence: Evidence, now: float) -> Finding:
    """The challenger does not fail more often than the champion on the same requests.

    Fails when the lower bound of the challenger's failure share minus the upper bound of the champion's (both
    valid at any time) lies above the allowed increase.
    """
    del now
    n, ours, theirs = (
        evidence.comparison.judged_requests,
        evidence.comparison.challenger_failures,
        evidence.comparison.champion_failures,
    )
    increase = (ours - theirs) / n if n else None
    if increase is None or n < LEAST_JUDGED:
        says = f"{n:,} of {LEAST_JUDGED} requests were answered by both; fewer are not judged"
        return Finding("insufficient", increase, policy.max_increase, n, says)
    says = f"the challenger failed {ours:,} and the champion {theirs:,} of {n:,} requests"
    if evidence.comparison.unpaired:
        says += f"; {evidence.comparison.unpaired:,} answers could not be read or compared"
    if increase <= policy.max_increase:
        return Finding("pass", increase, policy.max_increase, n, says)
    lower, upper = proportion_interval(ours, n, _EACH_ALPHA)[0], proportion_interval(theirs, n, _EACH_ALPHA)[1]
    if lower - upper > policy.max_increase:
        return Finding("fail", increase, policy.max_increase, n, says)
    says += "; more than allowed, but chance may explain it: wait for more requests"
    return Finding("insufficient", increase, policy.max_increase, n, says)


def latency(policy: LatencyGate, evidence: Evidence, now: float) -> Finding:
    """The challenger's quantile over the champion's on paired requests.

    A quantile q needs 1/(1-q) requests to exist, and ten times as many before it may fail a challenger.
    """
    del now
    challenger, champion = evidence.comparison.latency_challenger, evidence.comparison.latency_champion
    tail = policy.quantile == 0.99
    name, least = ("p99", 100) if tail else ("p50", 20)
    ours, theirs = (challenger.p99, champion.p99) if tail else (challenger.p50, champion.p50)
    n = min(challenger.n, champion.n)
    if n < least or ours is None or theirs is None:
        says = f"{n:,} of {least} paired requests; fewer have no {name} to compare"
        return Finding("insufficient", None, policy.max_ratio, n, says)
    if theirs <= 0:
        says = f"the champion's {name} is {theirs:g} ms: there is no ratio to it"
        return Finding("insufficient", None, policy.max_ratio, n, says)
    ratio = ours / theirs
    says = f"{name} is {ours:.1f} ms, the champion's {theirs:.1f} ms"
    if ratio <= policy.max_ratio:
        return Finding("pass", ratio, policy.max_ratio, n, says)
    if n >= 10 * least:
        return Finding("fail", ratio, policy.max_ratio, n, says)
    says += f"; slower than allowed so far, {10 * least:,} paired requests will decide"
    return Finding("insufficient", ratio, policy.max_ratio, n, says)


def agreement(policy: AgreementGate, evidence: Evidence, now: float) -> Finding:
    """Agreement may block a promotion, it never earns one."""
    del now
    n, seen = evidence.comparison.pairs, evidence.comparison.agreement
    if seen is None or n == 0:
        return Finding("insufficient", None, policy.min, n, "no row was answered by both versions yet")
    basis = evidence.comparison.agreement_basis or "answers"
    says = f"the {basis} agree on {seen.value:.1%} of {n:,} rows (95 % sure: {seen.lower:.1%} to {seen.upper:.1%})"
    if seen.upper < policy.min:
        return Finding("fail", seen.value, policy.min, n, says)
    if seen.value >= policy.min and (seen.lower > policy.min or n >= LEAST_COMPARED_ROWS):
        return Finding("pass", seen.value, policy.min, n, says)
    return Finding("insufficient", seen.value, policy.min, n, f"{says}; too close to the limit, wait for more pairs")


def prediction(policy: PredictionGate, evidence: Evidence, now: float) -> Finding:
    """PSI of the challenger's predictions against the champion's; fails above the limit plus what chance gives."""
    del now
    n, seen = evidence.comparison.pairs, evidence.comparison.prediction_psi
    if seen is None or n < LEAST_COMPARED_ROWS:
        says = f"{n:,} of {LEAST_COMPARED_ROWS} pairs; fewer predictions are not compared"
        return Finding("insufficient", seen, policy.max_psi, n, says)
    says = f"PSI of the challenger's predictions against the champion's is {seen:.3f}"
    if seen <= policy.max_psi:
        return Finding("pass", seen, policy.max_psi, n, says)
    if seen > policy.max_psi + psi_noise(n, n, _PREDICTION_CELLS).critical(0.99):
        return Finding("fail", seen, policy.max_psi, n, says)
    says += "; above the limit by no more than chance gives, wait for more pairs"
    return Finding("insufficient", seen, policy.max_psi, n, says)
