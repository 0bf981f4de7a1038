"""Experiment F: accuracy and AUC without outcomes, from counts alone, beside NannyML's CBPE on the same chunks.

The product estimates from the counts of scores in the baseline's calibration bins; NannyML from every row. Both are
compared with what the outcomes later said. Where the data leaves what training saw, the right answer is to refuse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from bench.drift import peers
from bench.drift.episodes import EPISODES, Episode, Served
from bench.drift.plan import Plan
from bench.drift.product import BEGIN_S, BUCKET_S, OUTCOME, SCORE, baseline_of, observer_of, sample_of
from bench.drift.scores import area_under_curve
from bench.programs import Missing
from bench.result import Bar, Finding, Panel, Result, Table
from bench.spread import Spread, spread
from registry_client import Baseline
from sidecar.observe.estimated_quality import features_alike, features_outside
from sidecar.reports import DriftReport
from sidecar.stats.cbpe import Estimate, Performance, at_training, estimate, score_counts

LIMIT = 1.05
BUCKETS = 10


class Estimated(msgspec.Struct, frozen=True):
    """Mean absolute errors over chunks."""

    accuracy: float
    auc: float


def baseline_with_outcomes(reference: Served) -> Baseline:
    """A baseline that knows the model's scores and what came of them."""
    table = {**reference.features, SCORE: reference.scores, OUTCOME: reference.truth.astype(np.float64)}
    return baseline_of(table, prediction=SCORE, outcome=OUTCOME)


class Watched(msgspec.Struct, frozen=True):
    """What the product says of a chunk: drift, its estimates, those at training, and what it would say unguarded."""

    drift: DriftReport
    guarded: Performance
    trained: Performance
    unguarded: Performance

    @property
    def loss(self) -> float:
        """Estimated accuracy at training less the chunk's; nan where there is none."""
        if self.trained.accuracy is None or self.unguarded.accuracy is None:
            return math.nan
        return self.trained.accuracy.value - self.unguarded.accuracy.value


def watched(baseline: Baseline, chunk: Served) -> Watched:
    """A chunk through a fresh observer, in ten buckets, and its scores through the estimator."""
    calibration = baseline.calibration
    if calibration is None:
        raise Missing("the baseline has no calibration")
    observer = observer_of(baseline)
    for bucket, places in enumerate(np.array_split(np.arange(chunk.rows), BUCKETS)):
        part = chunk.part(places)
        observer.fold(sample_of(part.features, BEGIN_S + bucket * BUCKET_S + 1.0, part.scores))
        observer.tick(BEGIN_S + (bucket + 1) * BUCKET_S)
    report = observer.report()
    counts = score_counts(calibration.edges, chunk.scores, chunk.said)
    known = calibration.counts, calibration.positives
    return Watched(
        report,
        estimate(
            *known,
            counts,
            features_outside=features_outside(report, {}),
            features_alike=features_alike(report, {}),
        ),
        at_training(*known, counts),
        estimate(*known, counts),
    )


def measure(plan: Plan) -> Result:
    """The experiment."""
    findings, rows, bars = [], [], []
    for make in EPISODES:
        episode = make()
        baseline = baseline_with_outcomes(episode.reference)
        chunks = list(episode.chunks())
        answers = [watched(baseline, chunk) for chunk in chunks]
        accuracy = np.array([chunk.accuracy for chunk in chunks])
        auc = np.array([area_under_curve(chunk.scores, chunk.truth) for chunk in chunks])
        bands = [answer.unguarded.accuracy for answer in answers]
        own = Estimated(
            _apart([math.nan if band is None else band.value for band in bands], accuracy),
            _apart([answer.unguarded.auc for answer in answers], auc),
        )
        usual = float(np.mean(np.abs(episode.reference.accuracy - accuracy)))
        covered = sum(_inside(band, real) for band, real in zip(bands, accuracy.tolist(), strict=True))
        refused = sum(answer.guarded.refused is not None for answer in answers)
        try:
            told = by_nannyml(episode)
            theirs = Estimated(_apart(told["accuracy"], accuracy), _apart(told["roc_auc"], auc))
            skipped = ""
        except Missing as error:
            theirs, skipped = Estimated(np.nan, np.nan), str(error)
        rows.append(
            (
                episode.name,
                str(len(chunks)),
                f"{own.accuracy:.4f}",
                f"{theirs.accuracy:.4f}",
                f"{usual:.4f}",
                f"{own.auc:.4f}",
                f"{theirs.auc:.4f}",
                f"{covered} of {len(chunks)}",
                f"{refused} of {len(chunks)}",
            )
        )
        plan.tell(f"  {rows[-1]}")
        bars += [
            Bar(f"{episode.name}: sidecar", _points(own.accuracy), ours=True),
            Bar(f"{episode.name}: NannyML", _points(theirs.accuracy), ours=False),
        ]
        findings.append(_finding(episode, own, theirs, refused / len(chunks), skipped))
    heads = (
        "history", "chunks", "accuracy, mean error: sidecar", "NannyML", "“as at training”", "AUC, mean error: sidecar",
        "NannyML", "accuracy inside the sidecar's band", "refused by the sidecar",
    )  # fmt: skip
    return Result(
        title="F. Performance without outcomes",
        findings=findings,
        tables=[Table(heads, rows), *_trade_off(plan)],
        panels=[Panel("Mean error of the estimated accuracy, points (refused or not)", _finite(bars), digits=2)],
        note=(
            "The sidecar keeps about 50 counts of scores, NannyML every row. Chunks of 5,000 rows (California: 500). "
            "Errors are over all chunks, also those that the sidecar refuses, so that nobody is flattered. It refuses "
            "where over 2 % of the rows of a feature, or of the scores, lie where training had none, and where a "
            "feature under alarm moved so far that less than 30 % of training's rows are like live ones."
        ),
    )


def _trade_off(plan: Plan) -> list[Table]:
    """What the rule for refusing saves and costs on other histories."""
    from bench.drift import carried_over  # noqa: PLC0415 -- it makes baselines as this experiment does

    return [carried_over.table(plan.pick(2, carried_over.ORDERS))]


def _finding(episode: Episode, own: Estimated, theirs: Estimated, refused: float, skipped: str) -> Finding:
    if episode.refuse:
        return Finding(
            measure=f"chunks refused, {episode.name}",
            reached=spread([100 * refused]),
            limit=100.0,
            at_least=True,
            unit=" %",
        )
    return Finding(
        measure=f"mean error of the accuracy, {episode.name}",
        against="NannyML's CBPE",
        reached=None if skipped else spread([own.accuracy / theirs.accuracy]),
        limit=LIMIT,
        skipped=skipped,
    )


def by_nannyml(episode: Episode) -> Mapping[str, list[float]]:
    def columns(period: str, served: Served) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        return {
            f"{period}/score": served.scores,
            f"{period}/label": served.said.astype(np.float64),
            f"{period}/truth": served.truth.astype(np.float64),
        }

    whole = episode.live.rows // episode.chunk_rows * episode.chunk_rows
    live = columns("live", episode.live.part(np.arange(whole)))
    del live["live/truth"]
    given = {**columns("reference", episode.reference), **live}
    answer: Mapping[str, list[float]] = peers.ask("nannyml", "cbpe", {"chunk_rows": episode.chunk_rows}, given)
    return answer


def _inside(band: Estimate | None, real: float) -> bool:
    return band is not None and band.low <= real <= band.high


def _apart(estimates: Sequence[float | None], real: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    found = np.array([np.nan if one is None else one for one in estimates], dtype=np.float64)
    return float(np.nanmean(np.abs(found - real)))


def _points(error: float) -> Spread:
    return Spread(100 * error, 100 * error, 100 * error)


def _finite(bars: list[Bar]) -> list[Bar]:
    return [bar for bar in bars if np.isfinite(bar.value.median)]
