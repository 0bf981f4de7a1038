"""Experiment D: does severity rank the periods that hurt above those that did not?

Each chunk of a history is watched by itself against the reference; its severity is compared with what its outcomes
later said: harmful is an accuracy more than a point below the reference's. A rank is a rank: AUROC, ties counting half.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.drift import peers
from bench.drift.episodes import EPISODES, Episode, Served
from bench.drift.estimated_performance import Watched, baseline_with_outcomes, by_nannyml, watched
from bench.drift.plan import Plan
from bench.drift.scores import auroc
from bench.drift.sources import as_numbers
from bench.programs import Missing
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread, spread
from sidecar.observe.alarms import alarms_in
from sidecar.observe.severity import Stakes
from sidecar.reports import DriftReport

HARM_POINTS = 1.0
LEVELS = {"none": 0.0, "info": 1.0, "warning": 2.0, "critical": 3.0}
OURS = "the sidecar"
PEERS = ("evidently", "nannyml", "whylogs")
Ranks = Mapping[str, NDArray[np.float64] | str]


def measure(plan: Plan) -> Result:
    """The experiment."""
    pooled: dict[str, list[float]] = {}
    rows, names = [], list[str]()
    for make in EPISODES[: plan.pick(2, len(EPISODES))]:
        episode = make()
        chunks = list(episode.chunks())
        losses = np.array([100 * (episode.reference.accuracy - chunk.accuracy) for chunk in chunks])
        harmful = losses > HARM_POINTS
        ranks = {**_own(episode, chunks), **_peers(plan, episode, chunks)}
        names = list(dict.fromkeys([*names, *ranks]))
        cells = {}
        for name, rank in ranks.items():
            value = None if isinstance(rank, str) else auroc(rank, harmful)
            cells[name] = "not measured" if isinstance(rank, str) else "–" if value is None else f"{value:.2f}"
            if value is not None:
                pooled.setdefault(name, []).append(value)
        rows.append((episode.name, f"{int(harmful.sum())} of {len(chunks)}", f"{losses.max():.1f}", cells))
        plan.tell(f"  {rows[-1]}")
    means = {name: float(np.mean(values)) for name, values in pooled.items() if len(values) == len(pooled[OURS])}
    others = {name: mean for name, mean in means.items() if not name.startswith(OURS)}
    best = max(others, key=others.__getitem__, default="")
    findings = [
        Finding(
            measure="AUROC of severity against realised harm, mean of histories",
            reached=spread([means[OURS]]) if OURS in means else None,
            against=f"{best} {others[best]:.2f}" if best else "",
            limit=round(others[best], 3) if best else 0.5,
            at_least=True,
            unit="",
            skipped="no history had both harmful and harmless periods",
        )
    ]
    table = Table(
        ("history", "harmful chunks", "worst loss, points", *names),
        [(name, harmful, worst, *(cells.get(one, "–") for one in names)) for name, harmful, worst, cells in rows]
        + [("mean", "", "", *(f"{means[one]:.2f}" if one in means else "–" for one in names))],
    )
    bars = [Bar(name, Spread(mean, mean, mean), ours=name.startswith(OURS)) for name, mean in means.items()]
    return Result(
        title="D. Real drift: does severity know what hurts?",
        findings=findings,
        tables=[table],
        panels=[Panel("AUROC of severity against realised harm, mean over histories", bars, digits=2)],
        note=(
            f"Harmful: accuracy more than {HARM_POINTS:g} point below the reference's, told by outcomes that nobody "
            "who ranks "
            "saw. The sidecar: the severity of its gravest alarm, ties broken by the estimated loss of accuracy and, "
            "where it refuses to estimate, by how far the inputs moved (W). Its parts "
            "alone stand beside it. Evidently, whylogs: share of columns that drifted, scores among them; NannyML: "
            "number of "
            "alerts of its univariate calculator, and the loss that its CBPE estimates. “–”: no harmless or no "
            "harmful chunk."
        ),
    )


def _own(episode: Episode, chunks: list[Served]) -> Ranks:
    baseline = baseline_with_outcomes(episode.reference)
    told = [watched(baseline, chunk) for chunk in chunks]
    levels = np.array([severity(one) for one in told])
    # What the estimator refuses to judge ranks as the worst that it could say.
    losses = np.array([1.0 if one.guarded.refused is not None else one.loss for one in told])
    # Among those, the ones whose inputs moved most come first, as in the product's own order.
    weighted = np.array([sum(feature.kl_lower for feature in one.drift.features) for one in told])
    return {
        OURS: levels + 0.5 * np.clip(losses, -0.99, 0.99) + 1e-3 * weighted / (1.0 + weighted),
        f"{OURS}: severity alone": levels,
        f"{OURS}: estimated loss": losses,
        f"{OURS}: predictions' drift": np.array([_moved(one.drift) for one in told]),
        f"{OURS}: features' drift": np.array([sum(f.kl_lower for f in one.drift.features) for one in told]),
    }


def severity(told: Watched) -> float:
    """The gravest alarm's, with what is known of harm beside the report, as control judges it."""
    now, trained = told.guarded.accuracy, told.trained.accuracy
    lost = None if now is None or trained is None else max(0.0, trained.value - now.high)
    stakes = Stakes(estimated_loss=lost, refused=told.guarded.refused)
    return max((LEVELS[alarm.severity] for alarm in alarms_in(told.drift, stakes)), default=0.0)


def _moved(report: DriftReport) -> float:
    return report.prediction.kl_lower if report.prediction is not None else 0.0


def _peers(plan: Plan, episode: Episode, chunks: list[Served]) -> Ranks:
    jobs = []
    reference, live = episode.reference, [chunk.features for chunk in chunks]
    for name, column in reference.features.items():
        numbers, kind = as_numbers(np.concatenate([column, *(part[name] for part in live)]))
        jobs.append(peers.Windows(numbers[: len(column)], numbers[len(column) :].reshape(len(chunks), -1), kind))
    jobs.append(peers.Windows(reference.scores, np.stack([chunk.scores for chunk in chunks])))
    found: dict[str, NDArray[np.float64] | str] = {}
    for peer in PEERS:
        try:
            judged = [one for one in peers.judge(peer, jobs) if one is not None]
            found[peer] = np.mean([one.alarm for one in judged], axis=0)
        except Missing as error:
            plan.tell(f"  {peer}: {error}")
            found[peer] = str(error)
    try:
        found["nannyml CBPE"] = reference.accuracy - np.asarray(by_nannyml(episode)["accuracy"], dtype=np.float64)
    except Missing as error:
        found["nannyml CBPE"] = str(error)
    return found
