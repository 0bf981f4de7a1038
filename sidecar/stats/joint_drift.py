"""Whether newer rows differ from earlier ones as whole rows, where no single feature moved: the joint backstop.

Keeps: while both sets of rows come from one distribution (in any order), the mean of E is at most 1: labels are dealt
at random over the pooled rows, and each bet is fair given the labels already turned up. Exact for any sizes.
Does not: compare with training (a baseline keeps no joint rows); keep, sample or encode rows; say which pair moved.
Called by: whoever holds kept rows of healthy live traffic and newer ones, in memory.
Source: Podkopaev & Ramdas 2023, "Sequential predictive two-sample and independence testing" (bets on a classifier),
here with labels drawn without replacement; kernel ridge regression with a quadratic kernel as the classifier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

FEWEST_ROWS = 32
MOST_ROWS = 512
_STAKES = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
_ROUNDS = 8
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class JointDrift:
    """`log_e`: ln E against "one distribution"; `accuracy`: right guesses of which set a row came from (None: none).

    `rows` is how many rows were guessed; `chance` what guessing the larger set always would get.
    """

    log_e: float
    rows: int
    accuracy: float | None
    chance: float


def joint_drift(before: ArrayLike, after: ArrayLike, rng: np.random.Generator) -> JointDrift:
    """Earlier rows (shape (n, d)) against newer ones (shape (m, d)); `rng` deals the labels.

    Numbers as they are (only their order within a column counts), NaN for missing; categories as one column of 0 and
    1 each. At most the newest 512 rows of either are used; below 32 of either nothing is said. Look again
    only with fresh rows: one E is valid for one look.

    >>> rng = np.random.default_rng(1)
    >>> together = rng.normal(size=(300, 1)).repeat(2, axis=1)
    >>> joint_drift(together, together * [1, -1], rng).log_e > 10
    True
    """
    earlier, newer = _matrix(before), _matrix(after)
    if earlier.shape[1] != newer.shape[1]:
        raise ValueError(f"earlier rows have {earlier.shape[1]} columns and newer ones {newer.shape[1]}")
    earlier, newer = earlier[-MOST_ROWS:], newer[-MOST_ROWS:]
    total = len(earlier) + len(newer)
    chance = max(len(earlier), len(newer)) / total if total else 0.5
    nothing = JointDrift(log_e=0.0, rows=0, accuracy=None, chance=chance)
    if min(len(earlier), len(newer)) < FEWEST_ROWS:
        return nothing
    scores, _ = _normal_scores(np.vstack([earlier, newer]))
    if not scores.shape[1]:
        return nothing
    order = rng.permutation(total)
    labels = (order >= len(earlier)).astype(np.float64)
    leaning = _leaning(scores[order], labels)
    turned = np.concatenate([[0.0], np.cumsum(labels)[:-1]])
    fair = (len(newer) - turned) / (total - np.arange(total))
    edge = leaning * (labels - fair) / np.maximum(np.maximum(fair, 1.0 - fair), 0.5)
    wealth = np.log1p(_STAKES[:, None] * edge[None, :]).sum(axis=1)
    peak = float(wealth.max())
    guessed = leaning != 0.0
    return JointDrift(
        log_e=peak + math.log(float(np.exp(wealth - peak).mean())),
        rows=int(np.count_nonzero(guessed)),
        accuracy=float(np.mean((leaning > 0)[guessed] == (labels > 0)[guessed])) if guessed.any() else None,
        chance=chance,
    )


def strengths(before: ArrayLike, after: ArrayLike) -> list[float]:
    """How much each column carries the classifier that tells the two sets apart, in arbitrary units, none negative.

    The quadratic kernel's weights written out: |linear| plus every |product| with another column. A description of
    what was found, never evidence: noise carries something, too.
    """
    earlier, newer = _matrix(before)[-MOST_ROWS:], _matrix(after)[-MOST_ROWS:]
    scores, places = _normal_scores(np.vstack([earlier, newer]))
    carried = [0.0] * earlier.shape[1]
    if not scores.shape[1]:
        return carried
    labels = np.repeat([0.0, 1.0], [len(earlier), len(newer)])
    kernel = _kernel(scores)
    ridge = _RIDGE * float(np.trace(kernel)) / len(labels)
    weights = np.linalg.solve(kernel + ridge * np.eye(len(labels)), labels - labels.mean())
    root = math.sqrt(scores.shape[1])
    each = np.abs(2.0 * scores.T @ weights / root) + np.abs((scores.T * weights) @ scores / root**2).sum(axis=1)
    for place, carries in zip(places, each.tolist(), strict=True):
        carried[place] += carries
    return carried


def _kernel(rows: Floats) -> Floats:
    kernel: Floats = np.square(1.0 + rows @ rows.T / math.sqrt(rows.shape[1]))
    return kernel


def _matrix(rows: ArrayLike) -> Floats:
    matrix = np.asarray(rows, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"rows are a table of numbers, got shape {matrix.shape}")
    return matrix


def _normal_scores(pooled: Floats) -> tuple[Floats, list[int]]:
    """Each column as normal scores of its pooled ranks, missing as 0 with a column of its own; constants left out.

    With the place among `pooled`'s columns that each came from.
    """
    columns: list[Floats] = []
    places: list[int] = []
    for place, values in enumerate(pooled.T):
        missing = np.isnan(values)
        known = values[~missing]
        scores = np.zeros(values.size)
        if known.size:
            scores[~missing] = ndtri(_middle_ranks(known) / known.size)
        both = [column for column in (scores, missing.astype(np.float64)) if np.ptp(column) > 0]
        columns += both
        places += [place] * len(both)
    scaled = [(column - column.mean()) / column.std() for column in columns]
    return np.column_stack(scaled) if scaled else np.zeros((len(pooled), 0)), places


def _middle_ranks(values: Floats) -> Floats:
    """How many values lie below each, equal ones counted half."""
    _, places, repeats = np.unique(values, return_inverse=True, return_counts=True)
    below: Floats = (np.cumsum(repeats) - 0.5 * repeats)[places]
    return below


def _leaning(rows: Floats, labels: Floats) -> Floats:
    """For each row a guess from -1 (earlier) to 1 (newer), learnt from the rows before its round; 0 in the first."""
    kernel = _kernel(rows)
    leaning = np.zeros(len(rows))
    borders = np.linspace(0, len(rows), _ROUNDS + 1).astype(int)
    for start, end in pairwise(borders[1:].tolist()):
        known = labels[:start] - labels[:start].mean()
        ridge = _RIDGE * float(np.trace(kernel[:start, :start])) / start
        weights = np.linalg.solve(kernel[:start, :start] + ridge * np.eye(start), known)
        leaning[start:end] = np.clip(2.0 * (kernel[start:end, :start] @ weights), -1.0, 1.0)
    return leaning
