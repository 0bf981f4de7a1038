"""What training saw, as a versioned JSON document: format `sidecar-baseline/1`.

Invariant: a Baseline that `from_json` or `to_json` returned is consistent (counts fit their cells, edges ascend,
names differ, every number is finite) and its digest is that of its content: sha256 over the document as JSON with
sorted keys, without spaces, without members that have their default, without `digest`. It does no I/O and builds
nothing. Read by the drift watcher, written by table summaries, stored by registries. Members that have a default may
be added without a new format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from registry_client.cells import CategoricalCells, Cells, NumericCells
from registry_client.errors import InvalidDocument
from registry_client.log_histogram import LogHistogram, LogHistogramDocument

FORMAT: Literal["sidecar-baseline/1"] = "sidecar-baseline/1"
QUANTILES = 512
FEATURE_LIMIT = 5_000
# Of one column. A builder makes a few dozen; what each edge costs to prepare is paid before anything else is known.
CELL_LIMIT = 10_000
DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class FeatureBaseline(
    msgspec.Struct, frozen=True, dict=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One column as training saw it.

    `counts` has the layout of `cells.count`. Numeric columns have `edges`, 512 equal-mass `quantiles` (values that
    occurred, ascending), `log_histogram` and the figures over finite values: `minimum`, `maximum`, `mean`, `sd`
    (population), `integers_share`. Categorical columns have `categories` and `tail`; `categories_sampled` says that
    there were more different texts than could be counted, so that some count as never seen in training, too;
    `singletons` are those of `tail` that came once, which tells how many more there must be that never came. `n`
    counts rows, those with `missing` and `wrong_type` included. `importance` is the model's, where the builder knew it.
    `natural_variation` (nats) and `overdispersion` (a factor) say how much the `blocks` of time of the training set
    differ in these cells beyond chance (see `natural_variation`); 0 blocks: unknown, and these two are 0 and 1.
    `gap_variation` (nats) is that of the shares of missing and wrong values alone; None: unknown.
    """

    name: _Name
    kind: Literal["numeric", "categorical"]
    counts: tuple[_Count, ...]
    n: _Count
    missing: _Count
    wrong_type: _Count
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    log_histogram: LogHistogramDocument | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    sd: float | None = None
    integers_share: float | None = None
    importance: float | None = None
    natural_variation: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    overdispersion: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    blocks: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    gap_variation: Annotated[float, msgspec.Meta(ge=0)] | None = None
    categories_sampled: bool = False
    singletons: _Count = 0

    @cached_property
    def cells(self) -> Cells:
        """The ruler of this column; ValueError where the edges or categories are no ruler."""
        if self.kind == "numeric":
            return NumericCells(self.edges)
        return CategoricalCells(self.categories, self.tail)


class Source(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where the rows came from: a name for people, how many `files`, and their digest.

    The digest of one file is its sha256; of several, that of the lines `<sha256 in hex>  <name>`, sorted.
    """

    name: Annotated[str, msgspec.Meta(max_length=4_096)] = ""
    digest: str | None = None
    files: _Count = 0


class OutcomeBaseline(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The truth as training knew it: rows with and without one; `positives` where it is 0/1 or false/true."""

    name: _Name
    n: _Count
    missing: _Count
    positives: _Count | None = None


class TimeBlocks(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How the rows were told apart by time: by the `column`, into `blocks` of so many days (UTC); `undated` without."""

    column: _Name
    blocks: Annotated[int, msgspec.Meta(ge=0, le=64)]
    days_per_block: _Count
    first_day: str | None = None
    last_day: str | None = None
    undated: _Count = 0


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The prediction against the outcome 0/1, in bins: bin i holds scores with `edges[i] <= score < edges[i+1]`.

    `counts` rows with a score and a known outcome, of which `positives` were positive; `means` are those of the
    scores (the middle of an empty bin).
    """

    edges: tuple[float, ...]
    counts: tuple[_Count, ...]
    positives: tuple[_Count, ...]
    means: tuple[float, ...]


class Baseline(msgspec.Struct, frozen=True, dict=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A training set summed up: `rows` rows, one FeatureBaseline a column, in the order of the columns."""

    format: Literal["sidecar-baseline/1"]
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    rows: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
    source: Source
    features: tuple[FeatureBaseline, ...]
    model: str | None = None
    version: str | None = None
    prediction: FeatureBaseline | None = None
    outcome: OutcomeBaseline | None = None
    time: TimeBlocks | None = None
    calibration: Calibration | None = None
    digest: str = ""

    @cached_property
    def by_name(self) -> dict[str, FeatureBaseline]:
        """The features by name; the prediction and the outcome are not among them."""
        return {feature.name: feature for feature in self.features}


def sealed(baseline: Baseline) -> Baseline:
    """The same baseline with the digest of its content; InvalidDocument where it contradicts itself."""
    _check(baseline)
    return msgspec.structs.replace(baseline, digest=_digest(baseline))


def named_for(baseline: Baseline, model: str, version: str) -> Baseline:
    """The same baseline for a model version, sealed anew: the model and version are part of the digest."""
    return sealed(msgspec.structs.replace(baseline, model=model, version=version))


def to_json(baseline: Baseline) -> bytes:
    """A sealed baseline as JSON in UTF-8; InvalidDocument where it is not sealed or contradicts itself."""
    _check(baseline)
    _check_digest(baseline)
    return msgspec.json.encode(baseline, order="sorted")


def from_json(data: bytes) -> Baseline:
    """Read and check a document of at most 64 MiB; InvalidDocument says in a sentence what is wrong with it."""
    if len(data) > DOCUMENT_LIMIT_BYTES:
        raise InvalidDocument(f"a baseline of {len(data)} bytes is larger than {DOCUMENT_LIMIT_BYTES}")
    try:
        found = msgspec.json.decode(data, type=_Envelope).format
        if found != FORMAT:
            raise InvalidDocument(f"the document has format {found[:80]!r}, this version reads {FORMAT!r}")
        baseline = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"the baseline cannot be read: {error}") from error
    _check(baseline)
    _check_digest(baseline)
    return baseline


class _Envelope(msgspec.Struct):
    """Read first, so that a newer format is called that and not a list of unknown members."""

    format: str = ""


def _digest(baseline: Baseline) -> str:
    # The empty digest is the default and so is left out.
    try:
        content = msgspec.json.encode(msgspec.structs.replace(baseline, digest=""), order="sorted")
    except UnicodeEncodeError as error:
        raise InvalidDocument(f"a baseline holds text that is not Unicode: {error.reason}") from error
    return f"sha256:{sha256(content).hexdigest()}"


def _check_digest(baseline: Baseline) -> None:
    if (actual := _digest(baseline)) != baseline.digest:
        raise InvalidDocument(f"the baseline says digest {baseline.digest[:80]!r} but its content has {actual!r}")


def _check(baseline: Baseline) -> None:
    if len(baseline.features) > FEATURE_LIMIT:
        raise InvalidDocument(f"a baseline has {len(baseline.features)} features, more than {FEATURE_LIMIT}")
    if len(baseline.by_name) != len(baseline.features):
        raise InvalidDocument("a baseline has two features of the same name")
    columns = (*baseline.features, *((baseline.prediction,) if baseline.prediction else ()))
    for feature in columns:
        if fault := next(_faults(feature, baseline.rows), None):
            raise InvalidDocument(f"column {feature.name[:80]!r} of the baseline: {fault}")
    outcome = baseline.outcome
    if outcome and (outcome.n + outcome.missing != baseline.rows or (outcome.positives or 0) > outcome.n):
        raise InvalidDocument(f"the outcome {outcome.name[:80]!r} of the baseline does not add up to its rows")
    if fault := next(_calibration_faults(baseline), None):
        raise InvalidDocument(f"the calibration of the baseline: {fault}")
    if baseline.time is not None and baseline.time.undated > baseline.rows:
        raise InvalidDocument("more rows of the baseline are undated than there are")


def _calibration_faults(baseline: Baseline) -> Iterator[str]:
    calibration = baseline.calibration
    if calibration is None:
        return
    if baseline.prediction is None or baseline.outcome is None:
        yield "it needs a prediction and an outcome"
    bins = len(calibration.counts)
    lengths = (len(calibration.edges), len(calibration.positives), len(calibration.means))
    if not bins or lengths != (bins + 1, bins, bins):
        yield f"{bins} counts need {bins + 1} edges, and as many positives and means as counts"
    if not all(map(math.isfinite, (*calibration.edges, *calibration.means))):
        yield "an edge or mean is not finite"
    if any(left >= right for left, right in pairwise(calibration.edges)):
        yield "edges must ascend"
    if any(positive > count for positive, count in zip(calibration.positives, calibration.counts, strict=False)):
        yield "a bin has more positives than rows"
    if sum(calibration.counts) > baseline.rows:
        yield "it counts more rows than there are"


def _faults(feature: FeatureBaseline, rows: int) -> Iterator[str]:
    """What is wrong with one column, as sentences; later ones may assume that earlier ones were not given."""
    if len(feature.counts) > CELL_LIMIT or len(feature.edges) + len(feature.categories) > CELL_LIMIT:
        yield f"it has more than {CELL_LIMIT} cells"
        return
    try:
        cells = feature.cells
    except ValueError as error:
        yield str(error)
        return
    if len(feature.counts) != cells.size:
        yield f"{len(feature.counts)} counts for {cells.size} cells"
    if any(count < 0 for count in feature.counts):
        yield "a count is negative"
    if feature.n != rows or sum(feature.counts) != rows:
        yield f"counts add up to {sum(feature.counts)} and n is {feature.n}, but there are {rows} rows"
    at_ends = (feature.counts[cells.missing_index], feature.counts[cells.wrong_type_index])
    if at_ends != (feature.missing, feature.wrong_type):
        yield f"missing and wrong_type are {feature.missing}, {feature.wrong_type}, but counted {at_ends}"
    if feature.importance is not None and not math.isfinite(feature.importance):
        yield "the importance is not finite"
    if not math.isfinite(feature.natural_variation + feature.overdispersion + (feature.gap_variation or 0.0)):
        yield "the natural variation or over-dispersion is not finite"
    yield from _numeric_faults(feature) if feature.kind == "numeric" else _categorical_faults(feature)


def _numeric_faults(feature: FeatureBaseline) -> Iterator[str]:
    if feature.categories or feature.tail:
        yield "a numeric column has categories"
    if feature.singletons:
        yield "a numeric column has categories that came once"
    if len(feature.quantiles) != QUANTILES:
        yield f"{len(feature.quantiles)} quantiles instead of {QUANTILES}"
    if any(left > right for left, right in pairwise(feature.quantiles)):
        yield "quantiles must not descend"
    figures = [figure for figure in _figures(feature) if figure is not None]
    if len(figures) != len(_figures(feature)) or feature.log_histogram is None:
        yield "a numeric column needs minimum, maximum, mean, sd, integers_share and log_histogram"
        return
    if not all(map(math.isfinite, (*figures, *feature.quantiles))):
        yield "a figure or quantile is not finite"
    try:
        histogram = LogHistogram.from_document(feature.log_histogram)
    except ValueError as error:
        yield str(error)
        return
    if histogram.total + feature.missing + feature.wrong_type != feature.n:
        yield f"the log histogram counts {histogram.total} numbers of {feature.n} rows"


def _categorical_faults(feature: FeatureBaseline) -> Iterator[str]:
    if feature.edges or feature.quantiles or feature.log_histogram or set(_figures(feature)) != {None}:
        yield "a categorical column has figures of a numeric one"
    if feature.singletons > len(feature.tail):
        yield f"{feature.singletons} rare categories came once, but there are {len(feature.tail)}"


def _figures(feature: FeatureBaseline) -> tuple[float | None, ...]:
    return (feature.minimum, feature.maximum, feature.mean, feature.sd, feature.integers_share)
