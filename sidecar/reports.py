"""What observers report: the only form in which facts reach `decide`, the API, metrics and the dashboard.

Frozen; every number carries its n where n matters; None means "not known", never zero. Observers make reports, the
rest reads them; nobody here folds or judges.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sidecar.version_reports import (
    ComparisonReport,
    Copies,
    Disagreement,
    EstimatedQuality,
    Interval,
    LabelWanted,
    LabelWants,
    Maturity,
    NoiseFloor,
    PairedQuality,
    Quantiles,
    ReliabilityBin,
    ScoreDifference,
    SegmentAgreement,
    SegmentQuality,
    ThresholdFlips,
    VectorDifference,
    VersionQuality,
)

# Handed on from here: whoever reads reports imports them from one place.
__all__ = [
    "ComparisonReport",
    "Copies",
    "Disagreement",
    "EstimatedQuality",
    "Interval",
    "LabelWanted",
    "LabelWants",
    "Maturity",
    "NoiseFloor",
    "PairedQuality",
    "Quantiles",
    "ReliabilityBin",
    "ScoreDifference",
    "SegmentAgreement",
    "SegmentQuality",
    "ThresholdFlips",
    "VectorDifference",
    "VersionQuality",
]

Verdict = Literal["pass", "fail", "insufficient", "off"]
CauseKind = Literal[
    "scale", "affine", "sign", "function", "constant", "swap", "scaler", "type", "recode", "missing",
    "new_category", "unexplained",
]  # fmt: skip
AlarmKind = Literal["data.broken", "drift.detected", "prediction.shifted", "outcome.degraded", "mirror.silent"]
Severity = Literal["none", "info", "warning", "critical"]


class ComparisonShape(msgspec.Struct, frozen=True, kw_only=True):
    """The distributions behind a comparison, for its pictures; no gate reads them.

    Attributes:
        scores: (champion's from, to, challenger's from, to, rows) of joint cells.
        differences: (from, to, rows) of challenger's less champion's score, ascending.
        latency_champion, latency_challenger: (from, to, paired requests) in milliseconds, ascending.
    """

    scores: tuple[tuple[float, float, float, float, int], ...]
    differences: tuple[tuple[float, float, int], ...]
    latency_champion: tuple[tuple[float, float, int], ...]
    latency_challenger: tuple[tuple[float, float, int], ...]


class Cause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a feature moved. live = factor × trained + offset; `share` of the rows switched; `explained` in 0..1.

    `name` is a function's or a scaler's; `with_` (in JSON `with`) the column whose values came in place of these.
    """

    kind: CauseKind
    says: str
    share: float = 1.0
    explained: float = 0.0
    confirmed: bool = False
    factor: float | None = None
    offset: float | None = None
    value: float | str | None = None
    name: str | None = None
    with_: str | None = msgspec.field(default=None, name="with")
    type_from: str | None = None
    type_to: str | None = None
    values: tuple[str, ...] = ()


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One feature, live against the baseline, in the baseline's frozen cells.

    Attributes:
        n: live rows counted; psi: classic PSI; psi_noise: what sampling alone would give on average.
        kl_lower: anytime-valid lower bound on KL(baseline || live) in nats; e_value: evidence against
            "within tolerance" since counting began, capped at 1e300.
        missing, wrong_type, unseen: shares of n.
        cells, baseline_counts, live_counts: for the overlay; live_counts are the recent window's.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    n: int
    psi: float | None
    psi_noise: float | None
    kl_lower: float
    e_value: float
    alarm: bool
    since: float | None
    missing: float
    wrong_type: float
    unseen: float
    cause: Cause | None
    cells: tuple[str, ...]
    baseline_counts: tuple[int, ...]
    live_counts: tuple[int, ...]


class ExtraColumn(msgspec.Struct, frozen=True):
    """A key of live rows that the baseline does not know, and the rows that had it."""

    name: str
    rows: int


class SharedShift(msgspec.Struct, frozen=True, kw_only=True):
    """The share of the predictions' shift that goes with each moved feature, put back by rank on so many rows.

    They act together, so the shares need not add up to 1; `together` is that of the (at most) three largest at once.
    """

    since: float
    rows: int
    shares: dict[str, float]
    together: float | None = None


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every watched feature against one baseline. `baseline_digest` None: there is no baseline, nothing is judged.

    Attributes:
        against: training is skew, recent is drift: against healthy live traffic that was frozen at `reference_at`
            (`reference_rows` of it); while none was, both are None and the last buckets stand against those before.
        sampling_rate: the share of requests that is sampled now.
        schema: rows by their form, as trained or not.
        moved_now: keys of the columns that moved within the last 16 buckets, as alarms have them; at most one in
            twenty of them has not, on average. Alarms are latched and rise later.
        extra: the keys that training did not have, the most frequent first, at most 64.
        weighted: the features' lower bounds in nats, summed by what each weighs with the model; None without features.
        shift: which features the predictions' shift goes with; None where nobody asked the champion.
    """

    against: Literal["training", "recent"]
    baseline_model: str | None
    baseline_version: str | None
    baseline_digest: str | None
    rows_seen: int
    rows_sampled: int
    undecodable: int
    severity: Severity
    features: tuple[FeatureDrift, ...]
    prediction: FeatureDrift | None
    schema: FeatureDrift | None = None
    sampling_rate: float = 1.0
    reference_at: float | None = None
    reference_rows: int | None = None
    moved_now: tuple[str, ...] = ()
    extra: tuple[ExtraColumn, ...] = ()
    weighted: float | None = None
    shift: SharedShift | None = None


class FeatureSkew(msgspec.Struct, frozen=True, kw_only=True):
    """One feature as two pipelines wrote it for the same rows.

    Attributes:
        compared, differs: rows; share: differs / compared; share_lower: an anytime-valid lower bound (99 %).
        median_ratio, median_difference: live against offline over the differing rows, within 2 %; None where unknown.
        e_value: evidence against "no more than 1 % of the rows differ", capped at 1e300.
        since: the first row that differs, seconds since the epoch; `cause.share` is that of the differing rows.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    compared: int
    differs: int
    share: float
    share_lower: float
    median_ratio: float | None
    median_difference: float | None
    e_value: float
    alarm: bool
    since: float | None
    cause: Cause | None


class RowSkewReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the offline pipeline says beside what was live, row by row. `rows` were compared since `since`."""

    since: float
    rows: int
    features: tuple[FeatureSkew, ...]


class RowsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """What became of posted rows: compared, already compared before, or not among the kept rows (any more)."""

    compared: int = 0
    duplicate: int = 0
    unknown: int = 0
    ignored_values: int = 0


class AlarmChange(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm began, changed its kind when the cause was found, or ended. `key` is stable: kind-free.

    `explained_by` is the key of the alarm whose story this one belongs to: one page for the owner, not two.
    `swapped_with` is the feature that this one's values were swapped with, `lost_with` the one that tells of all that
    went missing with it; `owner` hears of it in place of the deployment's, where there is one.
    """

    key: str
    kind: AlarmKind
    severity: Severity
    says: str
    action: str
    since: float
    ended: bool = False
    explained_by: str | None = None
    swapped_with: str | None = None
    lost_with: str | None = None
    cause: CauseKind | None = None
    owner: str = ""


class OutcomeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of posted outcomes (CONTRACT.md, fine print)."""

    matched: int = 0
    pending: int = 0
    duplicate: int = 0
    conflict: int = 0
    orphan: int = 0
    late: int = 0


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the gate table. `observed` and `required` are texts or numbers for people; `detail` one sentence.

    `policy`: the gate's settings as it was judged by; empty where it is off.
    """

    name: str
    verdict: Verdict
    observed: float | str | None
    required: float | str | None
    n: int
    detail: str
    policy: dict[str, Any] = {}


class GateTable(msgspec.Struct, frozen=True, kw_only=True):
    """All gates on one challenger against one champion and one baseline; `evidence` is the digest over all of it."""

    deployment: str
    champion: str
    challenger: str
    verdict: Verdict
    evidence: str
    gates: tuple[GateVerdict, ...]
