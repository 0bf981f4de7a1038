"""What may have happened to a numeric column: the catalogue, factors read off the data, constants, other columns.

Keeps: every candidate is a set of cell masses over the live cells; ordinary drift (shifts and spreads that a market
or a season could make) is among them, without a name, as the rival of every name.
Does not: fit or choose (`acceptance` does).
Called by: naming.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sidecar.reports import Cause
from sidecar.stats.acceptance import Candidate
from sidecar.stats.alignment import aligned, repeats
from sidecar.stats.catalogue import OTHER_END, Figures, Transform, function, transforms_for
from sidecar.stats.free_lines import free_lines
from sidecar.stats.free_scale import MIDDLE_HALF, free_factor, line_between, mixture_factors, moved_values
from sidecar.stats.mixture_fit import LiveCounts, lattice_key, smoothed
from sidecar.stats.reweighting import reweighted

Floats = NDArray[np.float64]

# What a name costs before the data speak: a prior, from how often pipelines do such things by mistake. In units of
# ln n, as if it had so many free parameters more than it has, two of which are the margin that a name must win by.
RARE_PENALTY = 6.0  # nats of deviance, not ln n: units that few columns have
SELDOM = 3.0
FREE = 2.0
FREE_LINE = 3.0
SCALED_ANEW = 2.5
POPULATIONS = 4.0  # that part of the rows moved by less than the column's width: so do two populations that mix anew
LARGE_MOVE = 4.0  # an ordinary shift by more than the column's own width: rare in the world, but not impossible
FILLERS = (0.0, -1.0, 1.0, 99.0, -99.0, 999.0, -999.0, 9999.0, -9999.0, 99999.0, -99999.0)
# Functions and scalers that pipelines seldom apply by mistake, and that now and then land where a unit does.
UNCOMMON = frozenset(
    {
        "log2", "exp10", "exp2", "sqrt", "square", "reciprocal",
        "not standardised", "by the variance", "not centred", "min-max to ±1", "not min-max", "robust",
    }
)  # fmt: skip
_LEAST_CONSTANT = 0.05
_ALL = 0.99
_LEAST_CUT = 0.02
_SMALL_FACTOR = 9.0
_COMMONLY, _STRETCHED = 1.55, 4.0
_FREE = 2.5
_AROUND = tuple(2.0 ** (step / 64) for step in range(-6, 7))


def candidates_for(
    trained: Floats,
    figures: Figures,
    live: LiveCounts,
    unchanged: Floats,
    frequent: Sequence[float] | None,
    others: Mapping[str, Floats],
) -> list[Candidate]:
    """Every candidate. `trained`: ascending atoms; `unchanged`: their masses in the live cells."""
    made = [
        *_transforms(trained, figures, live, unchanged, frequent),
        *_swaps(trained, others, live),
        *_ordinary(trained, live),
    ]
    observed, log_n = live.observed(), math.log(live.n)
    masses = live.masses(np.asarray([atoms for atoms, _, _ in made]))
    moved = [
        Candidate(
            masses=share,
            penalty=penalty,
            cause=cause,
            brief=_brief(cause),
            atoms=atoms,
            # A factor read off the data is known to some per cent: a unit that is near is no contradiction.
            general=cause is not None and cause.kind == "scale" and not _brief(cause),
            mixed=_mixed(cause, trained, atoms),
        )
        for (atoms, penalty, cause), share in zip(made, masses, strict=True)
    ]
    known = live.shares(trained[None, :])[0]
    mixes = [
        Candidate(smoothed(mass, trained.size), degree * log_n, None) for degree, mass in reweighted(observed, known)
    ]
    return [*moved, *mixes, *_constants(trained, figures, live, frequent)]


def _mixed(cause: Cause | None, trained: Floats, atoms: Floats) -> float:
    """What it costs, in ln n, that only a part of the rows switched."""
    if cause is None or cause.kind in ("sign", "swap") or not _overlap(trained, atoms):
        return 1.0
    return POPULATIONS if cause.kind in ("scale", "affine") else 2.0


def is_small(cause: Cause, trained: Floats, atoms: Floats) -> bool:
    """Whether values may well lie so by themselves: moved by less than about the column's own width."""
    if cause.kind in ("sign", "swap"):
        return False
    if cause.kind == "scale" and cause.factor is not None:
        return 1 / _SMALL_FACTOR < cause.factor < _SMALL_FACTOR
    return _overlap(trained, atoms)


def _overlap(trained: Floats, atoms: Floats) -> bool:
    spread, made = (float(np.subtract(*np.quantile(column, [0.75, 0.25]))) for column in (trained, atoms))
    if not spread / _SMALL_FACTOR < made < spread * _SMALL_FACTOR:
        return False
    return abs(float(np.median(atoms) - np.median(trained))) < 2.0 * spread


Made = tuple[Floats, float, Cause | None]


def cause_of(transform: Transform) -> Cause:
    """A transform as a cause, before its share is known.

    >>> cause_of(Transform("scale", 0.01)).factor, cause_of(function("ln")).name
    (0.01, 'ln')
    """
    linear = transform.kind in ("scale", "affine", "scaler")
    return Cause(
        kind=transform.kind,
        says=transform.says,
        name=transform.name or None,
        factor=transform.factor if linear else None,
        offset=transform.offset if transform.kind in ("affine", "scaler") else None,
        value=transform.parameter if transform.name.startswith(("clip", "round")) else None,
    )


def _transforms(
    trained: Floats, figures: Figures, live: LiveCounts, unchanged: Floats, frequent: Sequence[float] | None
) -> Iterator[Made]:
    log_n = math.log(live.n)
    for transform in transforms_for(trained, figures):
        atoms = _pushed(transform.apply(trained))
        if not atoms.size:
            continue
        if transform.kind == "function" and atoms[0] == atoms[-1] and trained[0] != trained[-1]:
            continue  # all the same value: that is a constant, whatever function it went through
        yield atoms, _prior(transform, log_n), cause_of(transform)
    for transform in _cuts(trained, live, frequent):
        yield _pushed(transform.apply(trained)), log_n, cause_of(transform)
    for factor in _free_factors(trained, live, unchanged):
        told = Transform("scale", float(f"{factor:.3g}"), story="no common unit")
        yield factor * trained, FREE * log_n, cause_of(told)
    for transform, atoms in free_lines(trained, figures, live, unchanged):
        yield atoms, (SCALED_ANEW if transform.kind == "scaler" else FREE_LINE) * log_n, cause_of(transform)


def _prior(transform: Transform, log_n: float) -> float:
    """What a listed transform costs."""
    if transform.name == OTHER_END:
        return LARGE_MOVE * log_n  # values that lie alike on both sides are turned round by a mere shift, too
    if transform.name in UNCOMMON:
        return SELDOM * log_n
    return RARE_PENALTY if transform.rare else 0.0


def _free_factors(trained: Floats, live: LiveCounts, unchanged: Floats) -> Iterator[float]:
    """Factors read off the data, listed units or not: for all rows, and around those of the rows that moved.

    A unit that is near has the smaller penalty, and so keeps its name unless the data refuse it.
    """
    whole, _ = free_factor(trained, live)
    moved = moved_values(trained, live, unchanged)
    readings = [(whole, (1.0,), live.values)]
    readings += [(peak, _AROUND, moved) for peak, _ in mixture_factors(trained, live, unchanged)]
    for factor, around, seen in readings:
        if factor is None or not 0.0 < factor < math.inf or 1 / _FREE < factor < _FREE:
            continue
        yield from (factor * step for step in around)
        if 1 / _SMALL_FACTOR < factor < _SMALL_FACTOR or not repeats(trained):
            continue  # what the world does by itself must not be fitted any better than units are
        half = factor * float(np.subtract(*np.quantile(trained, [0.75, 0.25])))
        exact, _ = aligned(trained, seen, (factor, 0.0), half, through_zero=True)
        if exact != factor:
            yield exact


def _cuts(trained: Floats, live: LiveCounts, frequent: Sequence[float] | None) -> Iterator[Transform]:
    """Cut at the largest or smallest live value, where that alone holds 2 % of the rows and training goes beyond."""
    for index, name in ((-1, "clip above"), (0, "clip below")):
        key = int(live.keys[index])
        inside = live.keys == key
        if live.counts[inside].sum() < _LEAST_CUT * live.n or live.keys[0] == live.keys[-1]:
            continue
        exact = [value for value in frequent or () if _key(value, live) == key]
        if frequent is not None and not exact:
            continue  # many values lie there: nothing was cut to one
        limit = exact[0] if exact else float(live.values[index])
        beyond = float(np.mean(trained > limit) if index else np.mean(trained < limit))
        if beyond >= _LEAST_CUT:
            yield function(name, limit)


def _swaps(trained: Floats, others: Mapping[str, Floats], live: LiveCounts) -> Iterator[Made]:
    for name, atoms in others.items():
        says = f"the values are those of {name}"
        # ln n for the swap, half of it from each column.
        yield _resampled(atoms, trained.size), 0.5 * math.log(live.n), Cause(kind="swap", says=says, with_=name)


def _constants(
    trained: Floats, figures: Figures, live: LiveCounts, frequent: Sequence[float] | None
) -> Iterator[Candidate]:
    """Values that hold 5 % of the live rows; new ones (under 1 % of training), or a known filler in many rows.

    Where it is known which exact values are frequent, a cell without one holds many values and no constant.
    """
    centre = {"training's mean": figures.mean, "training's median": float(np.median(trained))}
    distinct, start = np.unique(live.keys, return_index=True)
    shares = np.add.reduceat(live.counts, start) / live.n
    # All of them: where values are narrow a few cells of the histogram hold most rows, and a filler comes after those.
    for index in np.argsort(-shares):
        key, share = int(distinct[index]), float(shares[index])
        if share < _LEAST_CONSTANT:
            return
        exact = [value for value in frequent or () if _key(value, live) == key]
        if frequent is not None and not exact:
            continue
        near = exact or [value for value in (*FILLERS, *centre.values()) if _key(value, live) == key]
        value = near[0] if near else float(live.values[start[index]])
        same = trained == value if exact else lattice_key(trained, live.coarsening) == key
        before, filler = float(np.mean(same)), value in FILLERS
        if share < _ALL and float(np.mean(lattice_key(trained, live.coarsening) == key)) - before >= _LEAST_CONSTANT:
            continue  # training's other values lie in that cell as well: how many rows hold this one is not known
        if not (before < 0.01 or (filler and share >= 0.5 and before < 0.25)):
            continue
        name = next((name for name, middle in centre.items() if math.isclose(value, middle, rel_tol=1e-6)), "one value")
        known_filler = f" ({value:g}, often written where there is none)" if filler else ""
        says = f"rows hold {name}{known_filler}, which training hardly knew"
        cause = Cause(kind="constant", says=says, value=value)
        yield Candidate(live.mass_of_key(key), math.log(live.n), cause, brief=f"constant {index}")


def _key(value: float, live: LiveCounts) -> int | None:
    return int(lattice_key(np.array([value]), live.coarsening)[0]) if math.isfinite(value) else None


def _ordinary(trained: Floats, live: LiveCounts) -> Iterator[Made]:
    """What a changing world does: the best fitting and some plain shifts and spreads, of values and of their logs."""
    middle, half = float(np.median(trained)), float(np.subtract(*np.quantile(trained, [0.75, 0.25])))
    atoms = [trained + step * half for step in (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)]
    atoms += [middle + factor * (trained - middle) for factor in (0.7, 0.85, 1.2, 1.4)]
    for line, large in _ordinary_line(trained, live.quantile(MIDDLE_HALF), half):
        yield line, LARGE_MOVE * math.log(live.n) * large, None
    if trained[0] > 0 and live.values[0] > 0:
        logs = np.log(trained)
        width = float(np.subtract(*np.quantile(logs, [0.75, 0.25])))
        lines = _ordinary_line(logs, np.log(live.quantile(MIDDLE_HALF)), min(width, 0.4))
        atoms += [np.exp(line) for line, large in lines if not large]
        atoms += [trained * math.exp(step) for step in (-0.3, -0.2, -0.1, 0.1, 0.2, 0.3)]
    for changed in atoms:
        yield changed, 0.0, None


def _ordinary_line(trained: Floats, live_middle: Floats, reach: float) -> Iterator[tuple[Floats, bool]]:
    """Trained atoms on the line through the middle-half quantile pairs, and whether that is a large move."""
    line = line_between(np.quantile(trained, MIDDLE_HALF), live_middle)
    if line is None or not 1 / _STRETCHED <= line[0] <= _STRETCHED:
        return
    factor, offset = line
    shift = float(np.median(live_middle) - np.median(np.quantile(trained, MIDDLE_HALF)))
    yield factor * trained + offset, abs(shift) > reach or not 1 / _COMMONLY <= factor <= _COMMONLY


def _brief(cause: Cause | None) -> str:
    """The name in a list of names."""
    if cause is None:
        return ""
    if cause.kind == "scale" and cause.factor is not None:
        return "" if "no common unit" in cause.says else f"× {cause.factor:.4g}"
    return cause.name or cause.says


def _pushed(atoms: Floats) -> Floats:
    """Atoms without those outside of a function's domain, as many as before."""
    valid = atoms[np.isfinite(atoms)]
    return atoms if valid.size == atoms.size else _resampled(valid, atoms.size)


def _resampled(atoms: Floats, size: int) -> Floats:
    if atoms.size in (0, size):
        return atoms
    return atoms[np.linspace(0, atoms.size - 1, size).round().astype(np.int64)]
