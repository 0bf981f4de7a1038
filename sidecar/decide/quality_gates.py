"""Gates on what is true rather than on what was answered: outcome, inputs, lineage, approvals.

Keeps: the outcome gate looks at pairs with the same outcome only, by tests that stay valid at every look; no
outcome and no baseline are `insufficient`, never pass, and so are outcomes on which accuracy could not tell a
constant from a model.
Does not: combine gates (`gates` does) or join outcomes to predictions (the observer did).
Called by: the table in `gates`. Source of the tests: `sidecar.stats.paired`.
"""

from __future__ import annotations

import math

from sidecar.config_gates import InputsGate, LineageGate, OutcomeGate
from sidecar.decide.evidence import Evidence
from sidecar.decide.finding import Finding
from sidecar.decide.lineage import missing
from sidecar.reports import PairedQuality
from sidecar.stats.paired import log_e_inferior, log_e_noninferior, log_e_superior

# Beyond this E is a certainty for people, and e**x would overflow for machines.
_MOST_LOG_E = 690.0
# Fewer rows could not show that an input is broken.
_WATCHED_ROWS = 100


def outcome(policy: OutcomeGate, evidence: Evidence, now: float) -> Finding:
    """Right as often as the champion (less the margin), or more often, on the same rows with the same outcome.

    Passes at E >= 1/alpha and `min_matched` rows that can tell; fails at any time when the evidence for "worse by more
    than the margin" reaches 1/alpha. `observed` is the difference of the shares that were right.
    """
    del now
    claim = "better" if policy.test == "superior" else f"no more than {policy.margin:g} worse"
    required = f"{claim}, E >= {1 / policy.alpha:g}"
    quality = evidence.quality
    if quality is None or quality.matched == 0:
        says = "no row that both versions answered has an outcome yet: post outcomes to /v1/outcomes"
        return Finding("insufficient", None, required, 0, says)
    n, better, worse = quality.matched, quality.better, quality.worse
    difference = (better - worse) / n
    says = f"of {n:,} rows with an outcome only the challenger was right on {better:,}, only the champion on {worse:,}"
    needed = -math.log(policy.alpha)
    if log_e_inferior(better, worse, quality.same, policy.margin) >= needed:
        return Finding("fail", difference, required, n, f"{says}: it is worse by more than {policy.margin:g}")
    if n < policy.min_matched:
        return Finding("insufficient", difference, required, n, f"{n:,} of {policy.min_matched:,} rows with an outcome")
    blind = _blind(quality)
    if blind is not None:
        return Finding("insufficient", difference, required, n, blind)
    if policy.test == "superior":
        log_e = log_e_superior(better, worse)
    else:
        log_e = log_e_noninferior(better, worse, quality.same, policy.margin)
    says += f"; E = {math.exp(min(log_e, _MOST_LOG_E)):.3g}"
    if log_e >= needed:
        return Finding("pass", difference, required, n, says)
    return Finding("insufficient", difference, required, n, f"{says} is not enough to call it {claim}: wait for more")


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


def inputs(policy: InputsGate, evidence: Evidence, now: float) -> Finding:
    """No open data.broken alarm, and a baseline without which none could ever be raised, and that still is the one."""
    del policy, now
    broken = [
        alarm
        for alarm in evidence.open_alarms
        if alarm.deployment == evidence.deployment and alarm.kind == "data.broken" and alarm.ended is None
    ]
    required = "no open data.broken alarm"
    if broken:
        says = f"the input is broken, fix the feed first: {broken[0].says}"
        return Finding("fail", f"{len(broken)} open", required, len(broken), says)
    if evidence.baseline_digest is None:
        says = (
            "there is no baseline, so a broken input would go unseen: make one with `sidecar baseline build` and name"
            " it under `baseline:`"
        )
        return Finding("insufficient", "no baseline", required, 0, says)
    stale = _stale("baseline", evidence.baseline_limit_s, evidence.baseline_age_s)
    if stale is not None:
        return stale
    watched = evidence.watched_rows
    if watched < _WATCHED_ROWS:
        says = (
            f"{watched:,} of {_WATCHED_ROWS} rows were read and watched; if traffic flows, `sidecar drift` counts what"
            " could not be read"
        )
        return Finding("insufficient", "none open", required, watched, says)
    return Finding("pass", "none open", required, watched, "no data.broken alarm is open")


def _stale(what: str, limit_s: float | None, age_s: float | None) -> Finding | None:
    """What the registry has not confirmed for too long may be otherwise by now: another baseline, an approval gone."""
    if limit_s is None or (age_s is not None and age_s <= limit_s):
        return None
    required = f"{what} confirmed within {_span(limit_s)}"
    way_out = "see why the registry does not confirm it (`sidecar status`); rollback is not held up"
    if age_s is None:
        says = f"nobody knows when the registry last confirmed the {what}: {way_out}"
        return Finding("insufficient", "not known", required, 0, says)
    says = f"the registry last confirmed the {what} {_span(age_s)} ago, registry.max_age_s is {limit_s:g}: {way_out}"
    return Finding("insufficient", f"{_span(age_s)} ago", required, 0, says)


def _span(seconds: float) -> str:
    """Coarse, so that the table's digest does not change with every second that passes."""
    for unit_s, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def lineage(policy: LineageGate, evidence: Evidence, now: float) -> Finding:
    """The registry knows where the challenger comes from. Fails where it says that fields are missing."""
    del now
    needed = policy.require
    required = ", ".join(needed) or "nothing"
    if not needed:
        return Finding("pass", "0 of 0 fields", required, 0, "no registry field is required")
    if evidence.lineage is None:
        says = f"the registry has told nothing of version {evidence.challenger} yet: see `sidecar registry status`"
        return Finding("insufficient", "unknown", required, 0, says)
    lacking = missing(evidence.lineage, needed)
    present = f"{len(needed) - len(lacking)} of {len(needed)} fields"
    if lacking:
        says = f"version {evidence.challenger} lacks {', '.join(lacking)} in the registry"
        return Finding("fail", present, required, len(needed), says)
    stale = _stale("lineage", evidence.lineage_limit_s, evidence.lineage_age_s)
    if stale is not None:
        return stale
    return Finding("pass", present, required, len(needed), "every required field is in the registry")
