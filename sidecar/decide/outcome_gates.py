"""Gates on what turned out to be true: outcome, calibration, segments.

Keeps: rows judge whose outcomes have had their time, both versions on the same ones, by tests that stay valid at
every look; no outcome is `insufficient`, never pass, and so are outcomes that are no sample of what was predicted, or
on which accuracy could not tell a constant from a model. Where outcomes come for some scores rather than for others,
what is not known counts against whoever it would speak for.
Does not: combine gates (`gates` does) or join outcomes to predictions (the observer did).
Called by: the table in `gates`. Source of the tests: `sidecar.stats.paired`; Manski 1990 for the bounds.
"""

from __future__ import annotations

import math

from sidecar.config_gates import CalibrationGate, OutcomeGate, SegmentsGate
from sidecar.decide.evidence import Evidence
from sidecar.decide.finding import Finding
from sidecar.reports import Interval, Maturity, PairedQuality, Verdict
from sidecar.stats.paired import log_e_inferior, log_e_noninferior, log_e_superior

# Beyond this E is a certainty for people, and e**x would overflow for machines.
_MOST_LOG_E = 690.0
# From here on outcomes are known to come for some scores rather than for others.
_ARRIVAL_E = 20.0
# Calibration and segments count every row with an outcome: so many of these must be mature.
_MATURE_SHARE = 0.5
# Fewer rows with an outcome do not say whether versions answer with probabilities.
_LEAST_ROWS = 100
_NONE_YET = "no row that both versions answered has an outcome yet: post outcomes to /v1/outcomes"


def outcome(policy: OutcomeGate, evidence: Evidence, now: float) -> Finding:
    """Right as often as the champion (less the margin), or more often, on the same mature rows with the same outcome.

    Passes at E >= 1/alpha and `min_matched` rows that can tell; fails at any time when the evidence for "worse by more
    than the margin" reaches 1/alpha. Where the arrival of outcomes depends on the score, either needs that the rows
    without one could not change it. `observed` is the difference of the shares that were right.
    """
    del now
    required = f"{_claim(policy)}, E >= {1 / policy.alpha:g}"
    quality = evidence.quality
    if quality is None or quality.matched == 0:
        return Finding("insufficient", None, required, 0, _NONE_YET)
    mature = quality.maturity
    if mature is None or mature.after_s is None:
        says = f"{quality.matched:,} rows have an outcome: too few to know how long outcomes take to come"
        return Finding("insufficient", None, required, 0, says)
    n = mature.better + mature.worse + mature.same
    if n == 0:
        says = f"{quality.matched:,} rows have an outcome, none is older than the {mature.after_s:.3g} s that most need"
        return Finding("insufficient", None, required, 0, says)
    verdict, says = _by_mature_rows(policy, quality, mature, n)
    return Finding(verdict, (mature.better - mature.worse) / n, required, n, says)


def _claim(policy: OutcomeGate) -> str:
    return "better" if policy.test == "superior" else f"no more than {policy.margin:g} worse"


def _by_mature_rows(policy: OutcomeGate, quality: PairedQuality, mature: Maturity, n: int) -> tuple[Verdict, str]:
    """The verdict on n mature rows, and why."""
    if mature.refused is not None:
        return "insufficient", mature.refused
    better, worse, known = mature.better, mature.worse, min(n, mature.matched)
    says = f"of {n:,} mature rows only the challenger was right on {better:,}, only the champion on {worse:,}"
    needed, (lowest, highest) = -math.log(policy.alpha), _whatever_comes(mature)
    if log_e_inferior(better, worse, mature.same, policy.margin) >= needed and highest < -policy.margin:
        return "fail", f"{says}: it is worse by more than {policy.margin:g}"
    few = f"{known:,} of {policy.min_matched:,} mature rows with an outcome" if known < policy.min_matched else None
    unable = few or _blind(quality)
    if unable is not None:
        return "insufficient", unable
    superior = policy.test == "superior"
    log_e = log_e_superior(better, worse) if superior else log_e_noninferior(better, worse, mature.same, policy.margin)
    says += f"; E = {math.exp(min(log_e, _MOST_LOG_E)):.3g}"
    if log_e < needed:
        return "insufficient", f"{says} is not enough to call it {_claim(policy)}: wait for more"
    if lowest <= (0.0 if superior else -policy.margin):
        return "insufficient", f"{says}; {_no_sample(mature)}"
    return "pass", says


def _whatever_comes(mature: Maturity) -> tuple[float, float]:
    """Between what the difference lies, whatever the rows without an outcome turn out to be.

    Where the arrival of outcomes does not depend on the score they turn out like the others: no bound is needed.
    """
    if mature.arrival_e < _ARRIVAL_E:
        return math.inf, -math.inf
    return mature.bounds if mature.bounds is not None else (-1.0, 1.0)


def calibration(policy: CalibrationGate, evidence: Evidence, now: float) -> Finding:
    """The challenger's probabilities hold about as well as the champion's: expected calibration error, same rows.

    Passes where the whole interval (valid at every look) lies within the limit, fails where it lies above.
    """
    del now
    quality, most = evidence.quality, policy.max_increase
    if quality is None or quality.matched == 0:
        return Finding("insufficient", None, most, 0, _NONE_YET)
    n, gap = quality.matched, quality.gaps.get("ece")
    if "brier" not in quality.champion.metrics:
        if n < _LEAST_ROWS:
            return Finding("insufficient", None, most, n, f"{n:,} of {_LEAST_ROWS} rows with an outcome")
        says = "the champion answers without probabilities of the outcome: there is no calibration to keep"
        return Finding("pass", None, most, n, says)
    if gap is None:
        says = "there is no interval yet: both must give probabilities of the outcome, on enough rows"
        return Finding("insufficient", None, most, n, says)
    verdict, says = _calibrated(gap, most, n, _unfit(quality))
    return Finding(verdict, gap.value, most, n, says)


def _calibrated(gap: Interval, most: float, n: int, unfit: str | None) -> tuple[Verdict, str]:
    if unfit is not None:
        return "insufficient", unfit
    says = (
        f"its expected calibration error is {gap.value:+.4f} beside the champion's on {n:,} rows (95 % sure:"
        f" {gap.lower:+.4f} to {gap.upper:+.4f})"
    )
    if gap.lower > most:
        return "fail", says
    if gap.upper <= most:
        return "pass", says
    return "insufficient", f"{says}; that reaches beyond the limit, wait for more outcomes"


def segments(policy: SegmentsGate, evidence: Evidence, now: float) -> Finding:
    """No segment in which the challenger is worse by its outcomes (e-BH at 5 %), and enough pairs of each named one."""
    del now
    required, quality = "none is worse", evidence.quality
    if not evidence.segments:
        return Finding("pass", "0 worse", required, 0, "no segments are named under comparison.segments")
    if quality is None or quality.matched == 0:
        return Finding("insufficient", None, required, 0, _NONE_YET)
    worse = tuple(each for each in quality.segments if each.inferior)
    unfit, few = _unfit(quality), _too_few(evidence, policy.min_pairs)
    verdict: Verdict = "pass"
    says = f"none of {len(quality.segments)} segments is worse by its outcomes"
    if worse:
        names, first = ", ".join(each.segment for each in worse[:5]), worse[0]
        verdict = "fail" if unfit is None else "insufficient"
        says = (
            f"it is worse in {names}: of {first.matched:,} rows of {first.segment} only it was right on"
            f" {first.better:,}, only the champion on {first.worse:,} (E = {first.e_inferior:.3g})"
        ) + (f", but {unfit}" if unfit is not None else "")
    elif unfit is not None or few is not None:
        verdict, says = "insufficient", unfit or few or ""
    return Finding(verdict, f"{len(worse)} worse", required, quality.matched, says)


def _too_few(evidence: Evidence, least: int) -> str | None:
    """Which of the named segments has too few pairs to be judged; None where none."""
    pairs = dict.fromkeys(evidence.segments, 0)
    pairs |= {each.segment: each.pairs for each in evidence.comparison.segments if each.segment in pairs}
    few = sorted((n, name) for name, n in pairs.items() if n < least)
    if not few:
        return None
    n, name = few[0]
    return f"{name} has {n:,} of {least:,} pairs" + f", and {len(few) - 1} more have too few" * (len(few) > 1)


def _unfit(quality: PairedQuality) -> str | None:
    """Why the rows that have an outcome are no sample of those that were predicted; None while nothing says so."""
    mature = quality.maturity
    if mature is None or mature.after_s is None:
        return "how long outcomes take to come is not known yet"
    if mature.refused is not None:
        return mature.refused
    if mature.matched < _MATURE_SHARE * quality.matched:
        return (
            f"only {mature.matched:,} of {quality.matched:,} rows with an outcome have had their time: those whose"
            " outcome came early are no sample"
        )
    return None if mature.arrival_e < _ARRIVAL_E else _no_sample(mature)


def _no_sample(mature: Maturity) -> str:
    says = f"outcomes come for some scores rather than for others (E = {mature.arrival_e:.3g})"
    if mature.bounds is None:
        return says
    low, high = mature.bounds
    return (
        f"{says}, and with the {mature.undecided:,} rows that wait for one the difference lies anywhere from"
        f" {low:+.4f} to {high:+.4f}: label the rows on which the two differ (`sidecar label-queue`)"
    )


def _blind(quality: PairedQuality) -> str | None:
    """Why accuracy says nothing here, however many rows: two versions that are both useless agree perfectly.

    With two classes recall is known once a positive outcome came, specificity once a negative one did.
    """
    champion, challenger = quality.champion.metrics, quality.challenger.metrics
    if champion.get("accuracy") == 0.0:
        return (
            f"version {quality.champion.version} was right on none of {quality.matched:,} rows:"
            " see that outcomes use the labels that the versions answer with"
        )
    positive, negative = champion.get("recall"), champion.get("specificity")
    if positive is None and negative is None:
        return None  # not two classes
    if positive is None or negative is None:
        only = "negative" if positive is None else "positive"
        return f"all {quality.matched:,} outcomes are {only}: an answer that never changes would be right on each"
    for name, known in (("recall", "positive"), ("specificity", "negative")):
        if challenger.get(name) == 0.0 < champion[name]:
            return (
                f"version {quality.challenger.version} was wrong on every {known} outcome, as an answer that never"
                f" changes would be; version {quality.champion.version} was right on {champion[name]:.1%} of them"
            )
    return None
