"""Which of many explanations of a change may be named, if any: the rules that make silence the default.

Keeps: a name explains 90 % of the departure from the baseline, leaves no more than tolerance or noise, and beats
every rival of another meaning by 2 ln n: ordinary drift, and that nothing happened, are rivals. What data cannot tell
apart is told together.
Does not: know where explanations come from, nor of numbers or categories.
Called by: naming, of numbers and of categories. Source: model selection by penalised likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from sidecar.reports import Cause
from sidecar.stats.mixture_fit import deviance, fit_shares

Floats = NDArray[np.float64]

EXPLAINED = 0.90
NEARLY_ALL = 0.95
_WORTH_TELLING = 0.05
_TOLD_TOGETHER = 2
_SAME_RATIO = 0.06
_GENERAL_RATIO = 0.2  # a factor read off a part of few rows is known no better
_SAME_SPREAD = 0.03
_SAME_MASSES = 0.02


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may have happened. `cause` None: ordinary drift, a rival of every name.

    `masses`: share of rows in each cell if all switched; `atoms`: what training's values would be, where numeric;
    `brief`: the name in a list of names; `weak`: the world itself may move so, too; `general`: it says that something
    of its kind happened and not what, so that whatever says more of the same kind is no contradiction;
    `mixed`: what it costs that only a part of the rows switched, in ln n.
    """

    masses: Floats
    penalty: float
    cause: Cause | None
    brief: str = ""
    atoms: Floats | None = None
    weak: bool = False
    general: bool = False
    mixed: float = 1.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A candidate with its best share, what it leaves (`deviance`) and what it costs in all (`score`)."""

    candidate: Candidate
    share: float
    deviance: float
    score: float


@dataclass(frozen=True, slots=True)
class Scale:
    """What is large: `noise` is the deviance that a perfect name leaves, `tolerance` is in nats, `n` live rows.

    `inflated`: by what factor deviances differ more by chance than those from a baseline of endlessly many rows.
    """

    n: float
    noise: float
    tolerance: float
    inflated: float = 1.0

    @property
    def residual(self) -> float:
        """The deviance that a name may leave: KL within the tolerance, or three times the noise."""
        return max(2.0 * self.n * self.tolerance, 3.0 * self.noise)


def scale_of(observed: Floats, trained_rows: int, tolerance: float) -> Scale:
    """The scale for live rows in cells (shape (cells,)) against a baseline of so many rows (0: unknown, many)."""
    n = float(observed.sum())
    inflated = 1.0 + (n / trained_rows if trained_rows else 0.0)
    return Scale(n, (observed.size - 1) * inflated, tolerance, inflated)


def fitted(candidates: Sequence[Candidate], observed: Floats, unchanged: Floats) -> list[Fit]:
    """Every candidate with its best share; that only a part of the rows switched costs ln n, `mixed` times."""
    masses = [candidate.masses for candidate in candidates]
    shares, mixed = fit_shares(observed, unchanged, masses)
    whole, part = deviance(observed, np.asarray(masses)), math.log(float(observed.sum()))
    fits: list[Fit] = []
    for candidate, share, lost, lost_whole in zip(candidates, shares, mixed, whole, strict=True):
        cost = part * candidate.mixed if candidate.cause is not None else 0.0
        if lost_whole <= lost + cost:
            fits.append(Fit(candidate, 1.0, float(lost_whole), float(lost_whole) + candidate.penalty))
        else:
            fits.append(Fit(candidate, float(share), float(lost), float(lost) + candidate.penalty + cost))
    return fits


def accepted(fits: Sequence[Fit], identity: float, scale: Scale, credible: Callable[[Fit], bool]) -> Cause:
    """The best named fit as a cause, or an unexplained one with the two best guesses.

    `identity` is the deviance of the unchanged baseline; `credible` may refuse a fit for reasons of its own.
    """
    named = sorted((fit for fit in fits if fit.candidate.cause is not None), key=lambda fit: fit.score)
    if not named:
        return Cause(kind="unexplained", says="no known fault explains the change")
    margin = 2.0 * math.log(scale.n)
    best = _commonest(named, margin * scale.inflated)
    explained = explained_by(best.deviance, identity, scale)
    near = [fit for fit in fits if fit is not best and fit.score < best.score + margin]
    if (
        identity - scale.noise >= 2.0 * margin
        and explained >= EXPLAINED
        and best.deviance <= scale.residual
        and identity >= best.score + margin
        and all(same_meaning(fit.candidate, best.candidate) for fit in near)
        and credible(best)
    ):
        return _named(best, near, explained)
    # A guess that a handful of rows would do for is no help to a reader.
    guesses = " or ".join(_in_words(fit) for fit in named[:2] if fit.share >= _WORTH_TELLING)
    nearest = f"; the nearest: {guesses}" if guesses else ""
    return Cause(kind="unexplained", says=f"no known fault explains the change{nearest}")


def _commonest(named: Sequence[Fit], margin: float) -> Fit:
    """Of what means the same as the best and cannot be told from it, that of the smallest penalty.

    A swap first: it was found in both columns, and two faults that happen to be each other's inverse are rare. What
    was read off the data fits their noise as well, so a listed unit need not be as near as another one.
    """
    best = named[0]
    near = (1.5 if best.candidate.general else 0.5) * margin
    alike = [
        fit for fit in named if fit.deviance < best.deviance + near and same_meaning(fit.candidate, best.candidate)
    ]
    return min(alike, key=lambda fit: (not _is_swap(fit), fit.candidate.penalty), default=best)


def _is_swap(fit: Fit) -> bool:
    return fit.candidate.cause is not None and fit.candidate.cause.kind == "swap"


def explained_by(left: float, identity: float, scale: Scale) -> float:
    """The share of the departure that is gone, both sides less the noise which no name can explain."""
    moved = identity - scale.noise
    return 1.0 - max(left - scale.noise, 0.0) / moved if moved > 0 else 0.0


def same_meaning(one: Candidate, other: Candidate) -> bool:
    """Whether both make nearly the same of training's values: 1000 and 1024, ln and log1p, -x and 1 - x where wide.

    >>> wide, says = np.linspace(1.0, 500.0, 512), Cause(kind="function", says="")
    >>> ln, log1p, root = (Candidate(wide, 0.0, says, "", f(wide)) for f in (np.log, np.log1p, np.sqrt))
    >>> same_meaning(ln, log1p), same_meaning(ln, root)
    (True, False)
    """
    if one.cause is None or other.cause is None:
        return False
    general = one.general or other.general
    if general and one.atoms is None and other.atoms is None:
        return one.cause.kind == other.cause.kind
    if one.atoms is None or other.atoms is None or one.atoms.shape != other.atoms.shape:
        alike = float(np.abs(one.masses - other.masses).sum()) <= _SAME_MASSES
        return alike and one.cause.kind == other.cause.kind and one.cause.value == other.cause.value
    apart = np.abs(one.atoms - other.atoms)
    size = 0.5 * (np.abs(one.atoms) + np.abs(other.atoms))
    some = size > 0  # what a factor does to zeros says nothing of it
    if not np.any(some):
        return True
    ratio = float(np.median(apart[some] / size[some]))
    spread = float(np.subtract(*np.quantile(one.atoms[some], [0.75, 0.25])))
    near = float(np.median(apart[some])) <= _SAME_SPREAD * spread
    return near or ratio <= (_GENERAL_RATIO if general else _SAME_RATIO)


def _named(best: Fit, near: Sequence[Fit], explained: float) -> Cause:
    cause = best.candidate.cause
    if cause is None:
        raise ValueError("ordinary drift has no name")
    ranked = sorted(near, key=lambda fit: fit.score)
    others = (fit.candidate for fit in ranked if not fit.candidate.general)  # what says less is no other name
    told = {other.brief: None for other in others if other.brief not in ("", best.candidate.brief)}
    as_well = f"; {' or '.join([*told][:_TOLD_TOGETHER])} fits as well" if told else ""
    return msgspec.structs.replace(
        cause,
        says=_in_words(best) + as_well,
        share=round(best.share, 4),
        explained=round(min(explained, 1.0), 4),
    )


def _in_words(fit: Fit) -> str:
    says = fit.candidate.cause.says if fit.candidate.cause is not None else ""
    return says + (f", in about {fit.share:.0%} of the rows" if fit.share < NEARLY_ALL else "")
