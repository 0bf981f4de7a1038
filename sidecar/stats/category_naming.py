"""Why did a categorical feature move? Another spelling, other codes, places changed, many made one, one for all.

Keeps: silence over a wrong name, by the rules of `acceptance` and at least 50 rows in every cell that a recoding
matched by frequency; values stand in `Cause.values` and `Cause.value`, never in the sentence.
Does not: test whether there is drift, nor know of missing values and wrong types.
Called by: `feature_cause`. Source: recodes as patches after Data Diff (Sutton et al., KDD 2018); the assignment of
least Kullback-Leibler divergence between two frequency profiles is the one that sorts both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sidecar.reports import Cause
from sidecar.stats.acceptance import Candidate, Fit, accepted, fitted, scale_of
from sidecar.stats.mixture_fit import deviance
from sidecar.stats.spelling import SPELLINGS
from sidecar.stats.text_forms import common_form, form_of

Floats = NDArray[np.float64]

FEWEST_ROWS = 50
MOST_UNSEEN = 16
_ROWS_MATCHED = 50
_LEAST_KL = 0.05
_GONE = 0.2
_LEAST_COLLAPSED = 0.1  # a few rare ones come and go by themselves
_MOST_VALUES = 5
_SMOOTHING = 0.05
_ATOMS = 512
_FILLERS = frozenset({"", "?", "-", "-1", "0", "na", "n/a", "nan", "none", "null", "other", "unknown", "missing"})
_TAIL, _REST = -2, -1
_MOST_SPELLED = 0.9
_NAMELESS = "\0"
_ALL_GONE = 0.95
_PROFILES_APART = 0.2


@dataclass(frozen=True)
class Categories:
    """Known `categories` with the rows of training and of live traffic; rare known ones together; unseen ones.

    `unseen`: the most frequent texts that training did not see, with rows (estimates); `trained_unseen` and
    `live_unseen` count all such rows.
    """

    categories: tuple[str, ...]
    trained: tuple[int, ...]
    live: tuple[int, ...]
    tail: tuple[str, ...] = ()
    trained_tail: int = 0
    live_tail: int = 0
    unseen: tuple[tuple[str, int], ...] = ()
    trained_unseen: int = 0
    live_unseen: int = 0

    @cached_property
    def told(self) -> tuple[tuple[str, int], ...]:
        """Unseen texts whose rows are known; where there may be more texts than are named, nobody knows any."""
        return self.unseen if len(self.unseen) < MOST_UNSEEN else ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Texts with a cell of their own: known categories, then unseen ones."""
        return (*self.categories, *(text for text, _ in self.told))

    @cached_property
    def place(self) -> dict[str, int]:
        """Where a text is counted; others are in the tail or among the rest."""
        places = dict.fromkeys(self.tail, len(self.names))
        return places | {name: index for index, name in enumerate(self.names)}

    @cached_property
    def observed(self) -> Floats:
        """Live rows: by name, in the tail, unseen ones without a name."""
        told = np.array([rows for _, rows in self.told], dtype=np.float64)
        if told.size and told.sum() > 0:
            told *= self.live_unseen / told.sum()
        rest = self.live_unseen - told.sum()
        return np.array([*self.live, *told, self.live_tail, max(rest, 0.0)], dtype=np.float64)

    @cached_property
    def before(self) -> Floats:
        """Training's shares in the same cells, not smoothed."""
        rows = np.array([*self.trained, *[0] * len(self.told), self.trained_tail, self.trained_unseen], np.float64)
        shares: Floats = rows / max(rows.sum(), 1.0)
        return shares

    def pushed(self, renamed: Callable[[str], str]) -> Floats:
        """Training's shares if every text came as `renamed` says; each rare text counts alike."""
        masses = np.zeros(len(self.names) + 2)
        masses[_REST] = self.before[_REST]
        for category, share in zip(self.categories, self.before, strict=False):
            masses[self.place.get(renamed(category), _REST)] += share
        for text in self.tail:
            masses[self.place.get(renamed(text), _REST)] += self.before[_TAIL] / len(self.tail)
        return masses


def name_recode(columns: Categories, *, tolerance: float) -> Cause | None:
    """Names the cause of a drift already established; None with fewer than 50 rows.

    Returns:
        A cause of kind `recode` or `constant`, or `unexplained` when nothing fits well enough.

    >>> cities = Categories(("Bonn", "Oslo"), (600, 400), (0, 0), unseen=(("BONN", 61), ("OSLO", 39)), live_unseen=100)
    >>> name_recode(cities, tolerance=0.005).says
    'categories come in upper or lower case'
    """
    observed, n = columns.observed, float(columns.observed.sum())
    if n < FEWEST_ROWS or not columns.categories:
        return None
    unchanged = _smoothed(columns.before)
    candidates = [
        *_spelled(columns),
        *_coded(columns),
        *_permuted(columns),
        *_collapsed(columns),
        *_filled(columns),
        *_of_another_form(columns),
    ]
    rows = sum(columns.trained) + columns.trained_tail + columns.trained_unseen
    scale = scale_of(observed, rows, tolerance)
    identity = float(deviance(observed, unchanged[None, :])[0])
    if not candidates:
        return Cause(kind="unexplained", says="no known fault explains the change")
    return accepted(fitted(candidates, observed, unchanged), identity, scale, lambda fit: _credible(fit, identity, n))


def _credible(fit: Fit, identity: float, n: float) -> bool:
    """Places that changed by frequency alone need a large departure, as shares near each other change by themselves."""
    return not fit.candidate.weak or (fit.share == 1.0 and identity / (2.0 * n) >= _LEAST_KL)


def _spelled(columns: Categories) -> Iterator[Candidate]:
    """Texts that training did not see, and that are spellings of those it did; by the first that suffices."""
    found: list[Mapping[str, str]] = []
    for says, form in SPELLINGS:
        known = {form(text): text for text in (*columns.tail, *columns.categories)}
        came = {known[form(text)]: text for text, _ in columns.unseen if form(text) in known}
        if not came or came in found:
            continue
        if not columns.told and len(came) < _MOST_SPELLED * len(columns.unseen):
            continue  # how often each came is not known, so they have to speak by their number
        found.append(came)
        # Beyond the unseen texts that have a name, a respelled one is among those without.
        unnamed = None if columns.told else _NAMELESS
        yield _candidate(columns, _renaming(came, unnamed), f"categories come {says}", came)


def _renaming(came: Mapping[str, str], unnamed: str | None = None) -> Callable[[str], str]:
    """A text's new name; what has none stays as it is, or comes as `unnamed`."""
    return lambda text: came.get(text, text if unnamed is None else unnamed)


def _coded(columns: Categories) -> Iterator[Candidate]:
    """Codes that are one off, and codes in place of names, in alphabetical order."""
    known = (*columns.categories, *columns.tail)
    whole = {text: int(text) for text in known if text.lstrip("-").isdecimal() and len(text) < 16}
    if len(whole) > 0.9 * len(known):
        for step, says in ((1, "codes are one higher"), (-1, "codes are one lower")):
            came = {text: str(code + step) for text, code in whole.items()}
            yield _candidate(columns, _renaming(came), says, came)
        return
    for first in (0, 1):
        came = {text: str(code) for code, text in enumerate(sorted(known), first)}
        if any(text in columns.place for text in came.values()):
            says = f"names come as their numbers in alphabetical order, from {first}"
            yield _candidate(columns, _renaming(came), says, came)


def _of_another_form(columns: Categories) -> Iterator[Candidate]:
    """Numbers where words were, or keys, or dates: another coding, whichever text stands for which.

    A world that brings categories of another form brings them beside the others. So either nothing else comes any
    more, or the new ones are as many, and spread over the rows, as training's were.
    """
    now = common_form(columns.unseen)
    known = [(text, float(rows)) for text, rows in zip(columns.categories, columns.trained, strict=True)]
    known += [(text, columns.trained_tail / len(columns.tail)) for text in columns.tail]
    was = common_form(known)
    if now is None or was is None or now == was or len(columns.unseen) < 2:
        return
    if any(form_of(text) == now for text, _ in known):
        return
    unseen, n = columns.live_unseen, float(columns.observed.sum())
    if unseen < _ALL_GONE * n and not _alike_spread(columns):
        return
    masses = columns.observed.copy()
    masses[: len(columns.categories)] = masses[_TAIL] = 0.0
    says = f"categories come as {now} instead of {was}"
    cause = Cause(kind="recode", says=says, values=tuple(text for text, _ in columns.unseen[:_MOST_VALUES]))
    penalty = len(columns.unseen) * math.log(n)
    yield Candidate(_smoothed(masses / masses.sum()), penalty, cause, brief=says, general=True)


def _alike_spread(columns: Categories) -> bool:
    """Whether unseen texts share their rows as training's did, sorted by size; by their number if rows are unknown."""
    known = len(columns.categories) + len(columns.tail)
    if not columns.told:
        return known >= MOST_UNSEEN
    trained = sorted(columns.trained, reverse=True)
    trained_shares = np.array([*trained, *[0] * len(columns.told)], dtype=np.float64) / max(sum(trained), 1)
    rows = np.sort(np.array([rows for _, rows in columns.told], dtype=np.float64))[::-1]
    live_shares = np.zeros(trained_shares.size)
    live_shares[: rows.size] = rows / max(float(rows.sum()), 1.0)
    return 0.5 * float(np.abs(trained_shares - live_shares).sum()) <= _PROFILES_APART


def _permuted(columns: Categories) -> Iterator[Candidate]:
    """The same profile of frequencies under other names: known ones, or new ones for all."""
    known = len(columns.categories)
    trained, observed = columns.before[:known], columns.observed
    order = np.argsort(-trained, kind="stable")
    for says, cells in (
        ("categories changed places", np.arange(known)),
        ("every category has another name", np.arange(known, len(columns.names))),
    ):
        if len(cells) < min(known, 2) or known < 2:
            continue
        ranked = cells[np.argsort(-observed[cells], kind="stable")]
        came = {columns.categories[int(was)]: columns.names[int(now)] for was, now in zip(order, ranked, strict=False)}
        matched = [observed[columns.place[now]] for was, now in came.items() if now != was]
        if not matched or min(matched) < _ROWS_MATCHED or (known == 2 and max(trained) < 0.8):
            continue
        made = _candidate(columns, _renaming(came), says, came)
        yield Candidate(made.masses, math.log(observed.sum()), made.cause, weak=True)


def _collapsed(columns: Categories) -> Iterator[Candidate]:
    """Several categories that are nearly gone, and one that has their rows."""
    n = columns.observed.sum()
    known = len(columns.categories)
    live, trained = columns.observed / n, columns.before
    gone = [i for i in range(known) if live[i] < _GONE * trained[i] and trained[i] * n >= 10]
    gainer = int(np.argmax((live - trained)[: len(columns.names)]))
    if len(gone) < 2 or gainer in gone or trained[gone].sum() < _LEAST_COLLAPSED:
        return
    lost, to = {columns.categories[i] for i in gone}, columns.names[gainer]
    came = dict.fromkeys(sorted(lost), to)
    says = f"{len(lost)} categories come as one"
    made = _candidate(columns, lambda text: to if text in lost else text, says, came)
    yield Candidate(made.masses, len(lost) * math.log(n), made.cause, made.brief, weak=True)


def _filled(columns: Categories) -> Iterator[Candidate]:
    """One text in place of others: a known filler, or in nearly all rows."""
    n = columns.observed.sum()
    for index in np.argsort(-columns.observed[: len(columns.names)])[:3].tolist():
        text, before = columns.names[index], columns.before[index]
        filler = text.strip().lower() in _FILLERS and before < 0.25
        if not filler and (columns.observed[index] < 0.99 * n or before > 0.5):
            continue
        masses = np.zeros(len(columns.names) + 2)
        masses[index] = 1.0
        says = "rows hold one value" + (", as is written where there is none" if filler else "")
        cause = Cause(kind="constant", says=says, value=text)
        yield Candidate(_smoothed(masses), math.log(n), cause, brief=f"constant {index}")


def _candidate(columns: Categories, renamed: Callable[[str], str], says: str, came: Mapping[str, str]) -> Candidate:
    cause = Cause(kind="recode", says=says, values=_told(columns, came))
    return Candidate(_smoothed(columns.pushed(renamed)), 0.0, cause, brief=says)


def _told(columns: Categories, came: Mapping[str, str]) -> tuple[str, ...]:
    """The most frequent that changed, as `was → now`."""
    changed = [text for text in (*columns.categories, *columns.tail) if came.get(text, text) != text]
    return tuple(f"{text} → {came[text]}" for text in changed[:_MOST_VALUES])


def _smoothed(shares: Floats) -> Floats:
    masses: Floats = (_ATOMS * shares + _SMOOTHING) / (_ATOMS + _SMOOTHING * shares.size)
    return masses
