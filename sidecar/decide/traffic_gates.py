"""Gates on mirrored traffic, no outcome needed: pairs, duration, completeness, errors, latency, agreement, prediction.

Keeps: too little data is `insufficient`, never pass; `fail` needs evidence that chance does not explain, what lies
between waits. Each gate is one function of its policy, the evidence and `now`, and says in one sentence what is
missing.
Does not: combine gates or switch them off (`gates` does), look at outcomes, alarms or lineage (`quality_gates`).
Called by: the table in `gates`.
"""

from __future__ import annotations

import math

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
from sidecar.reports import NoiseFloor, Verdict
from sidecar.stats.paired import log_e_inferior, log_e_noninferior
from sidecar.stats.psi import psi_noise

# Below these counts nothing is judged: one bad minute at the start would decide.
LEAST_COPIES = 100
LEAST_JUDGED = 100
LEAST_COMPARED_ROWS = 200
# Cells of the comparison's prediction PSI; with fewer cells the noise is smaller and the gate slower to fail.
_PREDICTION_CELLS = 20
# E-values from here on speak: wrong in at most one of twenty, however often somebody looks.
SURE_E = 20.0
_SURE_LOG_E = math.log(SURE_E)
# Beyond this E is a certainty for people, and e**x would overflow for machines.
_MOST_LOG_E = 690.0
# Rows of the challenger without a finite score where the champion's has one.
_WITHOUT_SCORE = ("missing", "non_finite")


def pairs(policy: PairsGate, evidence: Evidence, now: float) -> Finding:
    """Enough joined rows to say anything at all, and not all of them in a few batches."""
    n, requests = evidence.comparison.pairs, evidence.comparison.paired_requests
    few = min(policy.min_requests, policy.min)
    says = f"{n:,} of {policy.min:,} pairs"
    if n >= policy.min and requests < few:
        says += f", from {requests:,} of {few:,} requests: rows of one batch are no sample of the callers"
        return Finding("insufficient", n, policy.min, n, says)
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
    """Nearly every copy that was due was sent and arrived (an exact share, so no interval), whatever its score was."""
    del now
    copies, drops_e = evidence.comparison.copies, evidence.comparison.drops_e
    due, arrived = copies.due, copies.mirrored - copies.lost
    share = arrived / due if due else None
    if share is None or due < LEAST_COPIES:
        says = f"{due:,} of {LEAST_COPIES} copies were due; fewer are not judged"
        return Finding("insufficient", share, policy.min, due, says)
    dropped = due - copies.mirrored
    if share < policy.min:
        says = f"{dropped:,} of {due:,} copies were never sent"
        if dropped:
            says += f", most of them for {max(copies.dropped, key=lambda name: (copies.dropped[name], name))}"
        if copies.lost:
            says += f"; {copies.lost:,} were sent and never reached control"
        return Finding("fail", share, policy.min, due, says)
    if not drops_e < SURE_E:
        says = (
            f"whether a copy was dropped goes with the champion's score (E = {drops_e:.3g}), so the {dropped:,} dropped"
            " ones are not like the others: end the drops, and begin the evidence anew"
        )
        return Finding("fail", share, policy.min, due, says)
    says = f"{copies.mirrored:,} of {due:,} copies were sent" + f", {copies.lost:,} of them lost" * (copies.lost > 0)
    return Finding("pass", share, policy.min, due, says)


def errors(policy: ErrorsGate, evidence: Evidence, now: float) -> Finding:
    """The challenger does not fail more often than the champion on the same requests, by more than is allowed.

    Requests that just one of them failed tell. Fails where the evidence for a larger increase reaches 20, at any look;
    once the challenger has failed alone it passes where the evidence for a smaller one does. An answer without the
    finite score that the champion's has counts by rows, in the same way.
    """
    del now
    report = evidence.comparison
    n, ours, theirs = report.judged_requests, report.challenger_only_failures, report.champion_only_failures
    rows, unscored = report.pairs, sum(report.structure.get(kind, 0) for kind in _WITHOUT_SCORE)
    increase = (ours - theirs) / n if n else None
    if increase is None or n < LEAST_JUDGED:
        says = f"{n:,} of {LEAST_JUDGED} requests were answered by both; fewer are not judged"
        return Finding("insufficient", increase, policy.max_increase, n, says)
    says = f"of {n:,} requests only the challenger failed {ours:,}, only the champion {theirs:,}"
    if report.unpaired:
        says += f"; {report.unpaired:,} answers could not be read or compared"
    verdict, why = _no_more(ours, theirs, n, policy.max_increase)
    says += why
    if unscored:
        by_rows, why = _no_more(min(unscored, rows), 0, rows, policy.max_increase)
        says += f"; {unscored:,} of {rows:,} rows have no finite score where the champion's have one{why}"
        verdict = _worse(verdict, by_rows)
    return Finding(verdict, increase, policy.max_increase, n, says)


def _no_more(ours: int, theirs: int, n: int, most: float) -> tuple[Verdict, str]:
    """Whether what only the challenger did, of n, is more than allowed; and the words for it."""
    same = n - ours - theirs
    harm = log_e_inferior(theirs, ours, same, most)
    if harm >= _SURE_LOG_E:
        return "fail", f": more than {most:g} of them more (E = {math.exp(min(harm, _MOST_LOG_E)):.3g})"
    if not ours:
        return "pass", ""
    log_e = log_e_noninferior(theirs, ours, same, most)
    shown = f"(E = {math.exp(min(log_e, _MOST_LOG_E)):.3g})"
    if log_e >= _SURE_LOG_E:
        return "pass", f": no more than {most:g} of them more {shown}"
    return "insufficient", f": whether that is within {most:g} cannot be told yet {shown}, wait for more"


def _worse(one: Verdict, other: Verdict) -> Verdict:
    order: tuple[Verdict, ...] = ("fail", "insufficient", "pass")
    return min(one, other, key=order.index)


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
    """Agreement above the noise floor, where that is measured. It may block a promotion, it never earns one."""
    del now
    n, seen, noise = evidence.comparison.pairs, evidence.comparison.agreement, evidence.comparison.noise
    if seen is None or n == 0:
        return Finding("insufficient", None, policy.min, n, "no row was answered by both versions yet")
    basis = evidence.comparison.agreement_basis or "answers"
    says = f"the {basis} agree on {seen.value:.1%} of {n:,} rows (95 % sure: {seen.lower:.1%} to {seen.upper:.1%})"
    if seen.value >= policy.min and (seen.lower > policy.min or n >= LEAST_COMPARED_ROWS):
        return Finding("pass", seen.value, policy.min, n, says)
    if noise is not None:
        return _above_noise(noise, policy.min, says)
    if seen.upper < policy.min:
        return Finding("fail", seen.value, policy.min, n, says)
    return Finding("insufficient", seen.value, policy.min, n, f"{says}; too close to the limit, wait for more pairs")


def _above_noise(noise: NoiseFloor, least: float, says: str) -> Finding:
    """What is left of the disagreement when the champion's own is taken off, on rows that it was asked twice."""
    n, excess = noise.rows, noise.excess
    if n < LEAST_COMPARED_ROWS:
        says += f"; the champion was asked again on {n:,} of {LEAST_COMPARED_ROWS} rows: its own noise is not known yet"
        return Finding("insufficient", None, least, n, says)
    above = 1.0 - excess.value
    says += (
        f"; asked again, the champion contradicts itself on {noise.self_disagreement:.1%} of {n:,} rows, and above that"
        f" the two differ on {excess.value:.1%} (95 % sure: {excess.lower:.1%} to {excess.upper:.1%})"
    )
    if excess.upper <= 1.0 - least:
        return Finding("pass", above, least, n, says)
    if excess.lower > 1.0 - least:
        return Finding("fail", above, least, n, says)
    return Finding("insufficient", above, least, n, f"{says}; too close to the limit, wait for more of them")


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
