"""What would the champion have said, had the feed not broken? Un-applies a named cause to kept rows, and judges.

Keeps: a cause is proven only where un-applying it removes 80 % of what the predictions are away from training's;
only rows that are likelier switched than not are changed. Shares are of divergence less what so few rows show anyway.
Does not: score (the champion does, asked by control) nor keep rows.
Called by: control's rescoring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from sidecar.observe.feature_cause import MOST_NAMED, NAME_LENGTH
from sidecar.observe.kept_rows import KeptRow
from sidecar.reports import Cause
from sidecar.stats.catalogue import Transform, function
from sidecar.stats.mixture_fit import live_counts
from sidecar.stats.named_functions import FUNCTIONS

Floats = NDArray[np.float64]
Values = dict[str, object]

FEWEST_ROWS = 50
PROVEN = 0.80
_NEARLY_ALL = 0.95
_GOLDEN = 0.6180339887498949
_PROOF = "; un-applying it removes "
_SMOOTHING = 0.5


@dataclass(frozen=True, slots=True)
class Undone:
    """Rows as they came and as they would have come; `changed` of them differ."""

    rows: tuple[KeptRow, ...]
    values: tuple[Values, ...]
    changed: int


def undone(
    rows: Sequence[KeptRow], feature: str, cause: Cause, baselines: Mapping[str, FeatureBaseline]
) -> Undone | None:
    """Kept rows (since the onset) with a cause un-applied; None where it cannot be, or on fewer than 50 rows."""
    baseline = baselines.get(feature)
    if len(rows) < FEWEST_ROWS or baseline is None:
        return None
    if cause.kind == "swap":
        values = _changed_places(rows, feature, cause, baselines)
    else:
        values = [_one(row, number, feature, cause, baseline) for number, row in enumerate(rows)]
        if cause.share < _NEARLY_ALL and values.count(None) < len(values):
            values = _likely_only(rows, values, feature, cause, baseline)
    changed = sum(value is not None for value in values)
    if changed == 0:
        return None
    return Undone(
        rows=tuple(rows),
        values=tuple(dict(row.values) if value is None else value for row, value in zip(rows, values, strict=True)),
        changed=changed,
    )


def shift_removed(prediction: FeatureBaseline, before: Sequence[object], after: Sequence[object]) -> float | None:
    """The share of the predictions' divergence from training that is gone; None where there was none to speak of.

    `before` and `after` are scores, or labels where the baseline's prediction is a category.
    """
    was, now = _excess(prediction, before), _excess(prediction, after)
    if was < 2.0 * _noise(prediction, len(before)):
        return None
    return 1.0 - now / was


def proven(cause: Cause, removed: float) -> Cause:
    """The cause, confirmed and with the figure in its sentence if un-applying it removed at least 80 %."""
    if removed < PROVEN:
        return cause
    says = f"{cause.says.partition(_PROOF)[0]}{_PROOF}{removed:.0%} of the prediction shift"
    return msgspec.structs.replace(cause, says=says, confirmed=True)


def transform_of(cause: Cause) -> Transform | None:
    """The transform that a cause names; None where it is none."""
    if cause.kind == "sign":
        return Transform("sign", -1.0)
    if cause.kind in ("scale", "affine", "scaler") and cause.factor is not None:
        return Transform(cause.kind, cause.factor, cause.offset or 0.0)
    if cause.kind == "function" and cause.name in FUNCTIONS:
        return function(cause.name, cause.value if isinstance(cause.value, float) else 0.0)
    return None


def _one(row: KeptRow, number: int, feature: str, cause: Cause, baseline: FeatureBaseline) -> Values | None:
    """One row un-done, None where it stays."""
    value = row.values.get(feature)
    if cause.kind in ("missing", "constant"):
        filled = _is_constant(value, cause) if cause.kind == "constant" else _is_absent(value)
        return {**row.values, feature: _typical(baseline, number)} if filled else None
    back: object | None
    if cause.kind == "recode":
        back = _renamed_back(cause).get(value) if isinstance(value, str) else None
    elif cause.kind == "type":
        back = _number_in(value)
    else:
        back = _undone_number(value, cause)
    return None if back is None else {**row.values, feature: back}


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _undone_number(value: object, cause: Cause) -> float | None:
    transform = transform_of(cause)
    if transform is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    found = transform.undo(np.array([float(value)]))
    return float(found[0]) if found is not None and math.isfinite(found[0]) else None


def _likely_only(
    rows: Sequence[KeptRow],
    values: list[Values | None],
    feature: str,
    cause: Cause,
    baseline: FeatureBaseline,
) -> list[Values | None]:
    """Leaves rows alone that are likelier as training knew them than switched, by where live rows lie."""
    transform = transform_of(cause)
    if transform is None:
        return values  # what was filled in, or lost its name, is told by its value
    atoms = np.asarray(baseline.quantiles, dtype=np.float64)
    return _by_weight(rows, values, feature, cause.share, atoms, transform.apply(atoms))


def _by_weight(
    rows: Sequence[KeptRow],
    values: list[Values | None],
    feature: str,
    share: float,
    before: Floats,
    after: Floats,
) -> list[Values | None]:
    """Keeps the change only where `share` of the rows lying as `after` outweighs the rest lying as `before`."""
    places = [index for index, value in enumerate(values) if value is not None]
    numbers = np.array([_as_number(rows[index].values[feature]) for index in places])
    live = live_counts(numbers, np.ones(numbers.size), 0)
    masses = live.masses(np.vstack([before, np.where(np.isfinite(after), after, before)]))
    cell = live.cell_of(numbers)
    switched = share * masses[1][cell] > (1.0 - share) * masses[0][cell]
    kept = {index for index, is_switched in zip(places, switched, strict=True) if is_switched}
    return [value if index in kept else None for index, value in enumerate(values)]


def _changed_places(
    rows: Sequence[KeptRow], feature: str, cause: Cause, baselines: Mapping[str, FeatureBaseline]
) -> list[Values | None]:
    """Two features back in their places; rows that lack one of them stay."""
    other = cause.with_ or ""
    own, others = baselines.get(feature), baselines.get(other)
    if own is None or others is None:
        return [None] * len(rows)
    values: list[Values | None] = [
        {**row.values, feature: row.values[other], other: row.values[feature]}
        if feature in row.values and other in row.values
        else None
        for row in rows
    ]
    numeric = own.kind == others.kind == "numeric"
    told = [value for row, value in zip(rows, values, strict=True) if value is not None and _number_of(row, feature)]
    if numeric and cause.share < _NEARLY_ALL and len(told) == len(values):
        before, after = np.asarray(own.quantiles), np.asarray(others.quantiles)
        return _by_weight(rows, values, feature, cause.share, before, after)
    return values


def _typical(baseline: FeatureBaseline, number: int) -> object:
    """A value as training had it; over many rows they come as often as in training."""
    place = (number + 1) * _GOLDEN % 1.0
    if baseline.kind == "numeric":
        return float(baseline.quantiles[int(place * len(baseline.quantiles))])
    shares = np.cumsum(baseline.counts[: len(baseline.categories)])
    if not shares.size or not shares[-1]:
        return None
    return baseline.categories[int(np.searchsorted(shares, place * shares[-1], side="right"))]


def _is_constant(value: object, cause: Cause) -> bool:
    if isinstance(cause.value, str):
        return value == cause.value
    if cause.value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isclose(value, cause.value, rel_tol=0.016)


def _renamed_back(cause: Cause) -> dict[str, str]:
    """Live text to trained text; nothing where the cause does not list them all, or cut one."""
    if len(cause.values) >= MOST_NAMED:
        return {}
    pairs = [text.split(" → ") for text in cause.values]
    if any(len(pair) != 2 or max(map(len, pair)) >= NAME_LENGTH or "�" in "".join(pair) for pair in pairs):
        return {}
    return {now: was for was, now in pairs}


def _number_in(value: object) -> float | None:
    """The number that a text spells."""
    if not isinstance(value, str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _number_of(row: KeptRow, feature: str) -> bool:
    value = row.values.get(feature)
    return isinstance(value, (int, float)) and math.isfinite(value)


def _as_number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _excess(prediction: FeatureBaseline, said: Sequence[object]) -> float:
    """KL(training || these predictions) in nats beyond what so few rows show anyway."""
    trained = np.asarray(prediction.counts, dtype=np.float64)
    p0 = (trained + _SMOOTHING) / (trained.sum() + _SMOOTHING * trained.size)
    live = prediction.cells.count(list(said)).astype(np.float64)
    strength = _SMOOTHING * trained.size
    p = (live + strength * p0) / (live.sum() + strength)
    return max(float((p0 * np.log(p0 / p)).sum()) - _noise(prediction, len(said)), 0.0)


def _noise(prediction: FeatureBaseline, rows: int) -> float:
    filled = sum(count > 0 for count in prediction.counts)
    return (filled - 1) / (2.0 * rows)
