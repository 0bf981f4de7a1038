"""Which features moved the predictions: rows with one feature put back by rank to where training had it.

Keeps: a row's place among the live rows stays, only the values that belong to the places are training's again
(x → Q_training(F_live(x))), so it works for any model and needs no name for the change. Deterministic: ties are
dealt by a digest of the requests' ids, which know nothing of values.
Does not: score rows (the champion does) or judge more than shares of one shift; they need not add up to 100 %, since
features act together. Pure. Called by: control's shares of a shift. Source: quantile transport in one dimension.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from registry_client.baseline import FeatureBaseline
from registry_client.column import categories_in
from sidecar.observe.kept_rows import KeptRow

Values = dict[str, object]

_GOLDEN = 0.6180339887498949


def ranked_back(
    rows: Sequence[KeptRow], feature: str, baselines: Mapping[str, FeatureBaseline]
) -> tuple[object, ...] | None:
    """The feature's value in each row as it would be, were it distributed as in training; None where nothing differs.

    Gaps beyond training's are filled; gaps that training had and live rows lack are not made.
    """
    baseline = baselines.get(feature)
    if baseline is None or not rows:
        return None
    was = [row.values.get(feature) for row in rows]
    # A deal that knows only whose row it is.
    deal = sorted(range(len(rows)), key=lambda index: _digest(rows[index]))
    now = _numbers_back(was, deal, baseline) if baseline.kind == "numeric" else _names_back(was, deal, baseline)
    differs = any(new is not old and new != old for new, old in zip(now, was, strict=True))
    return tuple(now) if differs else None


def with_values(rows: Sequence[KeptRow], columns: Mapping[str, Sequence[object]]) -> tuple[Values, ...]:
    """The rows with these features in place of theirs; a row that lacked one and gets None lacks it still."""
    changed = []
    for number, row in enumerate(rows):
        new = {name: column[number] for name, column in columns.items()}
        changed.append({**row.values, **{n: v for n, v in new.items() if v is not None or n in row.values}})
    return tuple(changed)


def _numbers_back(was: Sequence[object], deal: Sequence[int], baseline: FeatureBaseline) -> list[object]:
    now = list(was)
    atoms = baseline.quantiles
    numbers = {index: number for index in deal if (number := _number(was[index])) is not None}
    ranked = sorted(numbers, key=numbers.__getitem__)  # stable: equal ones stay as they were dealt
    gaps = [index for index in deal if index not in numbers]
    for rank, index in enumerate(ranked):
        found = atoms[int((rank + 0.5) / len(ranked) * len(atoms))]
        now[index] = _like(found, was[index])
    usual = round(len(was) * (baseline.missing + baseline.wrong_type) / baseline.n)
    whole = baseline.integers_share == 1.0
    for number, index in enumerate(gaps[usual:], start=1):
        found = atoms[int(number * _GOLDEN % 1.0 * len(atoms))]
        now[index] = round(found) if whole else found
    return now


def _names_back(was: Sequence[object], deal: Sequence[int], baseline: FeatureBaseline) -> list[object]:
    """As few rows as possible get another category: those of which there are too many, as they were dealt."""
    now = list(was)
    texts = [_text(value) for value in was]
    left = _wanted(baseline, len(was))
    too_many = []
    for index in deal:
        if left.get(texts[index], 0) > 0:
            left[texts[index]] -= 1
        else:
            too_many.append(index)
    spelled = {text: value for text, value in zip(texts, was, strict=True) if text is not None}
    integers = {type(value) for value in spelled.values()} == {int}
    free = [text for text in left if text is not None for _ in range(left[text])]
    # Where live rows lack gaps that training had, rows are left over and stay as they are.
    for index, text in zip(too_many, free, strict=False):
        now[index] = spelled[text] if text in spelled else _spelled(text, integers=integers)
    return now


def _wanted(baseline: FeatureBaseline, rows: int) -> dict[str | None, int]:
    """How many of the rows each category would have in training, None standing for missing; largest remainders."""
    known = len(baseline.categories)
    weights: dict[str | None, float] = dict(zip(baseline.categories, map(float, baseline.counts), strict=False))
    if baseline.tail:
        rare = math.fsum(baseline.counts[known : baseline.cells.missing_index])
        weights |= dict.fromkeys(baseline.tail, rare / len(baseline.tail))
    weights[None] = float(baseline.missing)
    whole = math.fsum(weights.values()) or 1.0
    exact = {text: rows * weight / whole for text, weight in weights.items()}
    counts = {text: math.floor(share) for text, share in exact.items()}
    by_remainder = sorted(exact, key=lambda text: (counts[text] - exact[text], text or ""))
    for text in by_remainder[: rows - sum(counts.values())]:
        counts[text] += 1
    return counts


def _text(value: object) -> str | None:
    """The category that a value is; None for missing ones and for lists."""
    return next(iter(categories_in([value]).texts), None)


def _spelled(text: str, *, integers: bool) -> object:
    """A category of training as live rows would spell it: some clients send codes as whole numbers."""
    return int(text) if integers and text.removeprefix("-").isdecimal() else text


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _like(number: float, old: object) -> object:
    """A number of training as the row had its own: whole where that was."""
    return int(number) if isinstance(old, int) and number.is_integer() else number


def _digest(row: KeptRow) -> bytes:
    return hashlib.blake2b(f"{row.request_id}/{row.row}".encode("utf-8", "replace"), digest_size=8).digest()
