"""How one value written by two pipelines may differ: the named forms, and which rows each of them explains.

Keeps: a form explains a row where its map of the offline value is the live one, within a thousandth (constants of a
scaler are printed with few digits). Looks at values, keeps none.
Does not: count, judge, or say that a form is the cause (`row_skew` does, from counts over many rows).
Source: the catalogue of named faults, applied to pairs of values instead of two distributions.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry_client.baseline import FeatureBaseline
from registry_client.column import category_text
from sidecar.observe.outcomes import as_number, label_text
from sidecar.reports import Cause, CauseKind
from sidecar.stats.catalogue import SCALES

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

_MAPPED = 1e-3  # a row's live value is the mapped offline one within this share of either
_FEWEST_FOR_A_LINE = 10
_ENOUGH = 0.9  # share of rows under which a line of their own is looked for
_DIGITS = 1e-6
_LONGEST_CODE = 15
_STANDARD = 0.25  # a column whose mean is this near 0 and whose deviation is this near 1 was standardised


@dataclass(frozen=True, slots=True)
class Form:
    """One way to differ; `says` completes "live is the offline value …"."""

    key: str
    kind: CauseKind
    says: str
    factor: float | None = None
    offset: float | None = None
    name: str | None = None

    def cause(self, share: float) -> Cause:
        """The cause that it is for `share` of the differing rows."""
        return Cause(
            kind=self.kind,
            says=self.says,
            share=round(share, 4),
            explained=round(share, 4),
            factor=self.factor,
            offset=self.offset,
            name=self.name,
        )


_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "ln": np.log,
    "log1p": np.log1p,
    "log10": np.log10,
    "log2": np.log2,
    "exp": np.exp,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "abs": np.abs,
    "truncate": np.trunc,
    "round": np.round,
    "round to 1 decimal": lambda x: np.round(x, 1),
    "round to 2 decimals": lambda x: np.round(x, 2),
    "round to 3 decimals": lambda x: np.round(x, 3),
}
MISSING_LIVE = Form("missing live", "missing", "missing where the offline pipeline has a value")
MISSING_OFFLINE = Form("missing offline", "missing", "there where the offline pipeline has none")
_TYPE = Form("type", "type", "the same number written as another type")
_TEXTS = (
    Form("case", "recode", "the same text in another case"),
    Form("space", "recode", "the same text with other blanks around it"),
    Form("unicode", "recode", "the same text in another Unicode form"),
    Form("number", "recode", "the same number written otherwise"),
    Form("zeros", "recode", "the same code with other leading zeros"),
    Form("off by one", "recode", "the same codes, counted one higher", factor=1.0, offset=1.0),
    Form("off by minus one", "recode", "the same codes, counted one lower", factor=1.0, offset=-1.0),
)
_FORMS: dict[str, Form] = {
    form.key: form
    for form in (
        MISSING_LIVE,
        MISSING_OFFLINE,
        _TYPE,
        *_TEXTS,
        Form("sign", "sign", "the offline value with its sign turned", factor=-1.0),
        Form("plus one", "affine", "one more than the offline value (off by one)", factor=1.0, offset=1.0),
        Form("minus one", "affine", "one less than the offline value (off by one)", factor=1.0, offset=-1.0),
        *(
            Form(f"× {scale.factor!r}", "scale", f"{_short} × the offline value ({scale.story})", factor=scale.factor)
            for scale in SCALES
            for _short in (f"{scale.factor:.6g}",)
        ),
        *(Form(name, "function", f"{name} of the offline value", name=name) for name in _FUNCTIONS),
    )
}
_LINES = (
    *(Form(f"affine {story}", "affine", f"the offline value {story}", factor=factor, offset=offset)
    for factor, offset, story in (
        (1.8, 32.0, "turned from degrees Celsius into Fahrenheit"),
        (5 / 9, -160 / 9, "turned from degrees Fahrenheit into Celsius"),
        (1.0, 273.15, "turned from degrees Celsius into kelvins"),
        (1.0, -273.15, "turned from kelvins into degrees Celsius"),
        (-1.0, 1.0, "as a share counted from the other end"),
        (-1.0, 100.0, "as a percentage counted from the other end"),
    )),
)  # fmt: skip
_FORMS |= {form.key: form for form in _LINES}
# All straight lines of the catalogue at once, a row each.
_STRAIGHT = [form.key for form in _FORMS.values() if form.kind in ("scale", "sign", "affine")]
_FACTORS: Floats = np.array([[_FORMS[key].factor or 0.0] for key in _STRAIGHT])
_OFFSETS: Floats = np.array([[_FORMS[key].offset or 0.0] for key in _STRAIGHT])


_STORIES = {
    "plain": "",
    "twice": "as when the normalisation is applied twice",
    "live": "as when only the live value is normalised",
    "offline": "as when only the offline value is normalised",
}


def form_of(key: str) -> Form | None:
    """A form by its key, the lines that rows have shown included (`line a b`); None for no key of ours."""
    if not key.startswith("line "):
        return _FORMS.get(key)
    try:
        _, factor, offset, story = key.split(" ")
        return _line(float(factor), float(offset), story)
    except (ValueError, KeyError):
        return None


def explained_numbers(
    offline: Floats, live: Floats, baseline: FeatureBaseline | None, known: Sequence[str] = ()
) -> dict[str, Truths]:
    """Which of the differing rows each form explains, finite numbers in two arrays of one shape.

    Forms that explain none are left out. `known`: keys of lines that earlier rows have shown.
    """
    with np.errstate(all="ignore"):
        straight = _near(_FACTORS * offline + _OFFSETS, live, _DIGITS * (np.abs(_FACTORS * offline) + np.abs(_OFFSETS)))
        found = dict(zip(_STRAIGHT, straight, strict=True))
        found |= {name: _near(function(offline), live) for name, function in _FUNCTIONS.items()}
        lines = [line for key in known if (line := form_of(key)) is not None]
        found |= {line.key: _on_line(line, offline, live) for line in lines}
        if not any(rows.mean() >= _ENOUGH for rows in found.values()):
            through = _line_through(offline, live, baseline)
            if through is not None:
                found[through.key] = _on_line(through, offline, live)
    return {key: rows for key, rows in found.items() if rows.any()}


def explained_text(offline: object, live: object) -> tuple[str, ...]:
    """Keys of the forms that explain one pair of values that are not both numbers."""
    left, right = category_text(offline), category_text(live)
    if left is None or right is None:
        return ()
    here = (
        left.casefold() == right.casefold(),
        left.strip() == right.strip(),
        unicodedata.normalize("NFKC", left) == unicodedata.normalize("NFKC", right),
        label_text(left) == label_text(right) or _equal(as_number(left), as_number(right)),
        left.lstrip("0") == right.lstrip("0"),
        _steps(left, right) == 1,
        _steps(left, right) == -1,
    )
    return tuple(form.key for form, yes in zip(_TEXTS, here, strict=True) if yes)


def explained_type(offline: object, live: object) -> bool:
    """Whether one is a number and the other the same number as a text or a truth value."""
    if type(offline) is type(live):
        return False
    left, right = (_number_in(value) for value in (offline, live))
    return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-6)


TYPE_KEY = _TYPE.key


def _number_in(value: object) -> float | None:
    if isinstance(value, bool):
        return float(value)
    return as_number(value) if isinstance(value, str | int | float) else None


def _on_line(form: Form, offline: Floats, live: Floats) -> Truths:
    factor, offset = form.factor or 0.0, form.offset or 0.0
    # Where factor and offset nearly cancel, their own last digits are all that is left.
    return _near(factor * offline + offset, live, _DIGITS * (np.abs(factor * offline) + abs(offset)))


def _near(mapped: Floats, live: Floats, slack: Floats | float = 1e-12) -> Truths:
    near: Truths = np.abs(mapped - live) <= _MAPPED * np.maximum(np.abs(mapped), np.abs(live)) + slack
    return near & np.isfinite(mapped)


def _line_through(offline: Floats, live: Floats, baseline: FeatureBaseline | None) -> Form | None:
    """The line that the middle of the rows lies on, where most rows lie on it; robust against a tenth that do not."""
    if offline.size < _FEWEST_FOR_A_LINE:
        return None
    order = np.argsort(offline, kind="stable")
    x, y = offline[order], live[order]
    half = x.size // 2
    run, rise = x[half : 2 * half] - x[:half], y[half : 2 * half] - y[:half]
    if not np.any(run > 0):
        return None
    factor = float(np.median(rise[run > 0] / run[run > 0]))
    offset = float(np.median(y - factor * x))
    if not (math.isfinite(factor) and math.isfinite(offset)) or factor == 0.0:
        return None
    if abs(offset) <= _DIGITS * float(np.median(np.abs(y))):
        offset = 0.0
    return _line(float(f"{factor:.8g}"), float(f"{offset:.8g}"), _story(factor, offset, baseline))


def _story(factor: float, offset: float, baseline: FeatureBaseline | None) -> str:
    """Which fault of a scaler a line is, from what training saw; "plain" where it is none."""
    if baseline is None or baseline.mean is None or not baseline.sd:
        return "plain"
    mean, sd = baseline.mean, baseline.sd
    if abs(mean) <= _STANDARD and abs(sd - 1.0) <= _STANDARD:
        return "twice"
    if _about(factor, 1.0 / sd) and _about(offset, -mean / sd):
        return "live"
    return "offline" if _about(factor, sd) and _about(offset, mean) else "plain"


def _about(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= 0.02 * max(abs(value), abs(wanted))


def _line(factor: float, offset: float, story: str) -> Form:
    key, told = f"line {factor!r} {offset!r} {story}", _STORIES[story]
    says = f"{factor:.6g} × the offline value"
    if offset:
        says += f" {'+' if offset > 0 else '−'} {abs(offset):.6g}"
    if told:
        return Form(key, "scaler", f"{says} ({told})", factor, offset)
    return Form(key, "affine" if offset else "scale", says, factor, offset)


def _equal(left: float | None, right: float | None) -> bool:
    return left is not None and left == right


def _steps(left: str, right: str) -> int | None:
    """How much higher the right code is, where both are short whole numbers."""
    if not all(text.isascii() and text.lstrip("-").isdigit() and len(text) <= _LONGEST_CODE for text in (left, right)):
        return None
    return int(right) - int(left)
