"""What training saw, as a versioned JSON document: format `sidecar-baseline/1`.

Invariant: a Baseline that `from_json` or `to_json` returned is consistent (counts fit their cells, edges ascend,
names differ, every number is finite) and its digest is that of its content: sha256 over the document as JSON with
sorted keys, without spaces, without members that have their default, without `digest`. It does no I/O and builds
nothing. Read by the drift watcher, written by `from_columns` and `build`, stored by registries.
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
DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class FeatureBaseline(
    msgspec.Struct, frozen=True, dict=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One column as training saw it.

    `counts` has the layout of `cells.count`. Numeric columns have `edges`, 512 equal-mass `quantiles` (values that
    occurred, ascending), `log_histogram` and the figures over finite values: `minimum`, `maximum`, `mean`, `sd`
    (population), `integers_share`. Categorical columns have `categories` and `tail`. `n` counts rows, those with
    `missing` and `wrong_type` included. `importance` is the model's, where the builder knew it.
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

    @cached_property
    def cells(self) -> Cells:
        """The ruler of this column; ValueError where the edges or categories are no ruler."""
        if self.kind == "numeric":
            return NumericCells(self.edges)
        return CategoricalCells(self.categories, self.tail)


class Source(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where the rows came from: a name for people, and the digest of the file if it was one."""

    name: Annotated[str, msgspec.Meta(max_length=4_096)] = ""
    digest: str | None = None


class OutcomeBaseline(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The truth as training knew it: rows with and without one; `positives` where it is 0/1 or false/true."""

    name: _Name
    n: _Count
    missing: _Count
    positives: _Count | None = None


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


def _faults(feature: FeatureBaseline, rows: int) -> Iterator[str]:
    """What is wrong with one column, as sentences; later ones may assume that earlier ones were not given."""
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
    yield from _numeric_faults(feature) if feature.kind == "numeric" else _categorical_faults(feature)


def _numeric_faults(feature: FeatureBaseline) -> Iterator[str]:
    if feature.categories or feature.tail:
        yield "a numeric column has categories"
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


def _figures(feature: FeatureBaseline) -> tuple[float | None, ...]:
    return (feature.minimum, feature.maximum, feature.mean, feature.sd, feature.integers_share)
