"""Faults done to a numeric column on purpose, as a pipeline would commit them, and when a name for one is right.

Keeps: a fault is a plain function of the values and of what training knew; nothing here is taken from the catalogue
of names, so that a wrong formula there does not make itself right.
Called by the bench of naming.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from sidecar.observe.counterfactual import transform_of
from sidecar.reports import Cause

Floats = NDArray[np.float64]
Break = Callable[[Floats, FeatureBaseline], Floats]
_ALIKE = 0.015
_ALIKE_SPREAD = 0.02


class Corruption(msgspec.Struct, frozen=True):
    """A fault: `apply(values, what training knew)`; `needs` says which columns it makes sense for."""

    name: str
    apply: Break
    needs: str = "any"
    constant: bool = False


def _sd(known: FeatureBaseline) -> float:
    return known.sd or 1.0


def _mean(known: FeatureBaseline) -> float:
    return known.mean or 0.0


def _span(known: FeatureBaseline) -> float:
    return ((known.maximum or 0.0) - (known.minimum or 0.0)) or 1.0


def _of_values(change: Callable[[Floats], Floats]) -> Break:
    return lambda x, _: np.asarray(change(x), dtype=np.float64)


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("× 100", _of_values(lambda x: x * 100)),
    Corruption("÷ 100", _of_values(lambda x: x / 100)),
    Corruption("× 1000", _of_values(lambda x: x * 1000)),
    Corruption("÷ 1000", _of_values(lambda x: x / 1000)),
    Corruption("× 60", _of_values(lambda x: x * 60)),
    Corruption("× 2.54", _of_values(lambda x: x * 2.54)),
    Corruption("× 1.609", _of_values(lambda x: x * 1.609344)),
    Corruption("× 0.4536", _of_values(lambda x: x * 0.45359237)),
    Corruption("°F to °C", _of_values(lambda x: (x - 32) / 1.8)),
    Corruption("°C to K", _of_values(lambda x: x + 273.15)),
    Corruption("sign", _of_values(lambda x: -x), needs="signed"),
    Corruption("ln", _of_values(np.log), needs="positive"),
    Corruption("log1p", _of_values(np.log1p), needs="not negative"),
    Corruption("log10", _of_values(np.log10), needs="positive"),
    Corruption("square root", _of_values(np.sqrt), needs="not negative"),
    Corruption("square", _of_values(np.square), needs="not negative"),
    Corruption("standardised", lambda x, known: (x - _mean(known)) / _sd(known)),
    Corruption("standardised twice", lambda x, known: ((x - _mean(known)) / _sd(known) - _mean(known)) / _sd(known)),
    Corruption("min-max", lambda x, known: (x - (known.minimum or 0.0)) / _span(known)),
    Corruption("constant -1", _of_values(lambda x: np.full_like(x, -1.0)), constant=True),
    Corruption("constant 999", _of_values(lambda x: np.full_like(x, 999.0)), constant=True),
    Corruption("constant mean", lambda x, known: np.full_like(x, _mean(known)), constant=True),
)


def applies(corruption: Corruption, known: FeatureBaseline) -> bool:
    """Whether a pipeline could commit this fault on such a column."""
    low, high = known.minimum or 0.0, known.maximum or 0.0
    if corruption.needs == "positive":
        return low > 0
    if corruption.needs == "not negative":
        return low >= 0
    return high > low


def is_right(cause: Cause, corruption: Corruption, known: FeatureBaseline) -> bool:
    """Whether the name makes of training's values what the fault makes of them, to 1.5 %."""
    atoms = np.asarray(known.quantiles, dtype=np.float64)
    with np.errstate(all="ignore"):
        truth = corruption.apply(atoms, known)
    if cause.kind == "constant":
        told_value = cause.value if isinstance(cause.value, float) else np.nan
        return corruption.constant and bool(np.isclose(told_value, truth[0], rtol=0.02))
    transform = transform_of(cause)
    if transform is None:
        return False
    told = transform.apply(atoms)
    both = np.isfinite(told) & np.isfinite(truth)
    apart, size = np.abs(told - truth)[both], np.abs(truth)[both]
    spread = float(np.subtract(*np.quantile(truth[both], [0.75, 0.25])))
    near = (apart <= _ALIKE * size) | (apart <= _ALIKE_SPREAD * spread)
    return bool(np.mean(near) >= 0.9)
