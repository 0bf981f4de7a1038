"""What observers report of versions beside each other: copies, agreement, latency, quality by outcomes.

Frozen; every number carries its n where n matters; None means "not known", never zero. Part of `reports`, which hands
these on: import them from there.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Copies(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the copies that were due: due = mirrored + dropped.

    `lost`: mirrored copies that ended, and whose exchange never reached control.
    """

    mirrored: int = 0
    answered: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    lost: int = 0

    @property
    def due(self) -> int:
        """Copies that should have been sent."""
        return self.mirrored + sum(self.dropped.values())


class Interval(msgspec.Struct, frozen=True):
    """A number with an anytime-valid interval at 95 %."""

    value: float
    lower: float
    upper: float


class ScoreDifference(msgspec.Struct, frozen=True):
    """challenger − champion over paired rows."""

    n: int
    mean: float
    mean_abs: float
    p50: float
    p95: float
    max: float


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """One paired row where the two versions differ; no feature value is kept."""

    request_id: str
    row: int
    at: float
    champion: str
    challenger: str
    difference: float


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds. None where n is 0."""

    n: int
    p50: float | None
    p99: float | None


class ThresholdFlips(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of two classes: the challenger says the positive one and the champion not (up), or the reverse (down)."""

    n: int
    up: int
    down: int


class SegmentAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """Paired rows of one segment."""

    segment: str
    pairs: int
    agreement: Interval | None


class NoiseFloor(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that the champion was asked twice: how often it contradicts itself, and the challenger it.

    Attributes:
        rows: asked again; self_disagreement, disagreement: shares of them, by the same tolerance.
        excess: disagreement less self_disagreement, valid at every look.
        score_noise: the 95th percentile of the champion's own |difference of scores|; None without scores.
        says: a sentence where a model that should repeat itself does not; None else.
    """

    rows: int
    self_disagreement: float
    disagreement: float
    excess: Interval
    score_noise: float | None
    says: str | None


class VectorDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors of both versions on the same rows.

    Attributes:
        n: compared; unlike: of another width, or with a number that is not finite.
        cosine: mean; cosine_p5: 95 % of the rows lie above. max_abs: largest difference of any place, quantiles by row.
        same_first: rows whose largest place is the same; overlap_at_10: mean share of the ten largest in common.
    """

    n: int
    unlike: int
    cosine: float
    cosine_p5: float
    max_abs_p50: float
    max_abs_p95: float
    max_abs: float
    same_first: Interval
    overlap_at_10: float


class ComparisonReport(msgspec.Struct, frozen=True, kw_only=True):
    """Challenger beside champion on the same requests, since the evidence began.

    Attributes:
        pairs: paired rows; paired_requests: requests where both gave a usable answer.
        judged_requests: requests whose champion leg and copy both ended, usable or not; the two failure counts are
            of these.
        unpaired: both answered but their answers could not be compared (shape, type, undecodable).
        agreement: on labels if there are any, else on scores within tolerance.
        flips: "champion→challenger" label pair -> count, at most 20 kinds.
        prediction_psi: challenger's predictions against the champion's.
        latency_champion, latency_challenger: of paired requests only; slower: share of them in which the challenger
            took longer. It may run on other hardware or with colder caches.
        confusion: (champion's label, challenger's label, rows), the most frequent first, at most 100.
        spearman: rank correlation of the scores.
        difference_histogram: (from, to, rows) of challenger less champion.
        structure: answers of the challenger that have another form than the champion's, by kind: requests
            `unreadable`, of other `rows`, of another `type`; rows with `missing` or `non_finite` scores.
        failures: kind -> (champion's, challenger's), of judged requests; *_only_failures: requests that one failed.
        drops_e: E-value against "whether a copy was dropped does not depend on the champion's score".
        self_test: a sentence where the challenger is the champion itself (A/A); None else.
    """

    since: float
    mirrored_s: float
    copies: Copies
    pairs: int
    paired_requests: int
    judged_requests: int
    champion_failures: int
    challenger_failures: int
    unpaired: int
    agreement: Interval | None
    agreement_basis: Literal["labels", "scores"] | None
    flips: dict[str, int]
    score_difference: ScoreDifference | None
    prediction_psi: float | None
    latency_champion: Quantiles
    latency_challenger: Quantiles
    worst: tuple[Disagreement, ...]
    confusion: tuple[tuple[str, str, int], ...] = ()
    cohen_kappa: float | None = None
    spearman: float | None = None
    threshold_flips: ThresholdFlips | None = None
    difference_histogram: tuple[tuple[float, float, int], ...] = ()
    structure: dict[str, int] = {}
    failures: dict[str, tuple[int, int]] = {}
    champion_only_failures: int = 0
    challenger_only_failures: int = 0
    slower: Interval | None = None
    segments: tuple[SegmentAgreement, ...] = ()
    drops_e: float = 1.0
    noise: NoiseFloor | None = None
    vector_difference: VectorDifference | None = None
    self_test: str | None = None


class EstimatedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Quality estimated without outcomes, over the newest `n` sampled rows.

    `low` and `high` are the 99 % band of each metric, `trained` the same figures for training's rows; `loss` is a lower
    bound on the accuracy lost since training. `refused` says why nothing is estimated; the rest is then empty or None.
    """

    n: int
    metrics: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    trained: dict[str, float]
    loss: float | None
    refused: str | None


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of about the same score: its mean beside the share that came true."""

    n: int
    score: float
    came_true: float


class VersionQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One version's quality on rows whose outcome is known.

    Attributes:
        metrics: may hold accuracy, precision, recall, specificity, f1, brier, log_loss, auc, ece, mae, rmse.
        intervals: 95 %, valid at every look; of shares exactly, of the others asymptotically, and not of few rows.
        auc_error: the exact area lies within this of `auc`; 0.0 while each score has a cell of its own.
        bounds: of accuracy over all predicted rows, whatever the missing outcomes are (Manski); None without rows.
    """

    version: str
    predicted: int
    matched: int
    coverage: float | None
    metrics: dict[str, float]
    estimated: EstimatedQuality | None = None
    intervals: dict[str, Interval] = {}
    auc_error: float | None = None
    bounds: tuple[float, float] | None = None
    reliability: tuple[ReliabilityBin, ...] = ()


class Maturity(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are old enough for their outcome to have come, and what they say of champion and challenger.

    Attributes:
        after_s: the 95th percentile of the delays; None while too few are known, and then nothing is mature.
        predicted, matched, coverage: mature rows of the champion, those with an outcome, and their share.
        better, worse: mature rows on which just one was right; same: of the others as many as go with these, labelled
            or not, since rows on which both decide alike need no label.
        differing: mature rows on which the two decide differently; undecided: those of them without an outcome.
        bounds: of the difference of the shares that were right, whatever the undecided rows turn out to be.
        arrival_e: E-value against "whether an outcome comes does not depend on the champion's score".
        refused: why outcomes cannot judge a challenger here, whatever they say; None where they can.
    """

    after_s: float | None
    predicted: int
    matched: int
    coverage: float | None
    better: int
    worse: int
    same: int
    differing: int
    undecided: int
    bounds: tuple[float, float] | None
    arrival_e: float
    refused: str | None


class SegmentQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Champion and challenger on the rows of one segment.

    `e_inferior`: E-value against "the challenger is right at least as often"; `inferior`: among the segments that are
    named so, at most one in twenty is not, on average (e-BH).
    """

    segment: str
    matched: int
    better: int
    worse: int
    same: int
    e_inferior: float
    inferior: bool


class PairedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Champion and challenger on the same rows with the same outcome. better: only the challenger was right.

    Attributes:
        gaps: challenger less champion for accuracy, brier, log_loss, ece and mae, each with an interval that is valid
            at every look (accuracy exactly, the others asymptotically); below zero is better but for accuracy.
        maturity: what rows say whose outcomes have had their time; None where the times are not known.
    """

    champion: VersionQuality
    challenger: VersionQuality
    matched: int
    better: int
    worse: int
    same: int
    gaps: dict[str, Interval] = {}
    maturity: Maturity | None = None
    segments: tuple[SegmentQuality, ...] = ()


class LabelWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A row on which champion and challenger decide differently; `order` places it in the sample."""

    request_id: str
    row: int
    at: float
    champion: str
    challenger: str
    order: str


class LabelWants(msgspec.Struct, frozen=True, kw_only=True):
    """`differing`: rows seen on which the two decide differently; `waiting`: those kept and without an outcome."""

    differing: int
    waiting: int
    items: tuple[LabelWanted, ...]
