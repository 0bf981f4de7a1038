"""Ways in which feeds break, written by someone who has not read the catalogue of causes: what is done, what is true.

Each takes a column as training had it and gives the broken one; `holds` says whether a cause that was named is right.
Words and types are broken too. Used by the experiment on naming, beside the catalogue's author's own. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.drift.data import Column
from sidecar.reports import Cause

Floats = NDArray[np.float64]
Breaks = Callable[[Column], Column]
Applies = Callable[[Column], bool]


class Break(msgspec.Struct, frozen=True):
    """What breaks. `applies` says whether a column can be broken so; `holds`, whether a cause is right about it."""

    name: str
    breaks: Breaks
    holds: Callable[[Cause, Column], bool]
    applies: Applies


def numeric(column: Column) -> bool:
    """Whether a column has numbers that vary."""
    return column.dtype.kind == "f" and len(np.unique(column[~np.isnan(column)][:2_000])) > 8


def texts(column: Column) -> bool:
    """Whether a column has words with letters."""
    return column.dtype.kind == "O" and any(text is not None and text.upper() != text.lower() for text in column[:500])


def _positive(column: Column) -> bool:
    return numeric(column) and bool(np.nanmin(column) > 0)


def _not_negative(column: Column) -> bool:
    return numeric(column) and bool(np.nanmin(column) >= 0)


def _fractional(column: Column) -> bool:
    """Numbers with decimals; where nothing but one whole number is left of them, that is a constant as well."""
    left = np.unique(np.floor(column[~np.isnan(column)])) if numeric(column) else np.zeros(0)
    return left.size > 1 and bool(np.nanmean(column != np.floor(column)) > 0.5)


def _temperature(column: Column) -> bool:
    """Degrees Fahrenheit as the weather table has them."""
    return numeric(column) and bool(-60 < np.nanmin(column) < 15 and 70 < np.nanmax(column) < 130)


def _wide(column: Column) -> bool:
    """Spread enough that a function of it cannot be taken for a factor."""
    return _positive(column) and bool(np.nanquantile(column, 0.95) > 3 * np.nanquantile(column, 0.05))


def scaled(name: str, factor: float) -> Break:
    """A factor; right is the factor within 2 %."""

    def holds(cause: Cause, _column: Column) -> bool:
        told = cause.factor
        return cause.kind == "scale" and told is not None and told > 0 and abs(math.log(told / factor)) < 0.02

    return Break(name, lambda column: column * factor, holds, numeric)


def affine(name: str, factor: float, offset: float, applies: Applies) -> Break:
    """A factor and an offset."""

    def holds(cause: Cause, _column: Column) -> bool:
        told, by = cause.factor, cause.offset or 0.0
        near = told is not None and abs(told / factor - 1) < 0.02
        return cause.kind == "affine" and near and abs(by - offset) <= 0.02 * abs(offset) + 0.5

    return Break(name, lambda column: factor * column + offset, holds, applies)


def function(names: tuple[str, ...], made: Callable[[Floats], Floats], applies: Applies) -> Break:
    """A function; any of these words in its name or its sentence is right."""

    def breaks(column: Column) -> Column:
        with np.errstate(divide="ignore", invalid="ignore"):
            broken: Column = made(column)
        return broken

    def holds(cause: Cause, _column: Column) -> bool:
        said = f"{getattr(cause, 'name', None) or ''} {cause.says}".lower()
        return cause.kind == "function" and any(name in said for name in names)

    return Break(names[0], breaks, holds, applies)


def _filled(value: float, share: float) -> Breaks:
    def breaks(column: Column) -> Column:
        # Spread evenly, so that the same rows are broken whoever asks.
        filled: Column = np.where((np.arange(len(column)) * 0.6180339887) % 1.0 < share, value, column)
        return filled

    return breaks


def _kind(*kinds: str) -> Callable[[Cause, Column], bool]:
    return lambda cause, _column: cause.kind in kinds


def line(name: str, breaks: Breaks) -> Break:
    """A scaler. Right is that name, or any line that makes the same of nine values in ten, to 2 %: where the smallest
    value is 0, what is made 0 to 1 is a factor and nothing else.
    """

    def holds(cause: Cause, column: Column) -> bool:
        if cause.kind in ("scaler", "affine"):
            return True
        if cause.kind != "scale" or cause.factor is None:
            return False
        truth, told = breaks(column), cause.factor * column + (cause.offset or 0.0)
        spread = float(np.subtract(*np.nanquantile(truth, [0.75, 0.25])))
        apart = np.abs(told - truth)[~np.isnan(truth)]
        return bool(np.mean((apart <= 0.02 * np.abs(truth[~np.isnan(truth)])) | (apart <= 0.02 * spread)) >= 0.9)

    return Break(name, breaks, holds, numeric)


def _standard(column: Column) -> Column:
    standard: Column = (column - np.nanmean(column)) / np.nanstd(column)
    return standard


def _between(column: Column) -> Column:
    ranged: Column = (column - np.nanmin(column)) / (np.nanmax(column) - np.nanmin(column))
    return ranged


def _written(column: Column) -> Column:
    return np.array([str(value) for value in column.tolist()], dtype=object)


def _each(change: Callable[[str], str]) -> Breaks:
    def breaks(column: Column) -> Column:
        changed: dict[object, object] = {text: change(text) for text in set(column.tolist()) - {None}}
        return np.array([changed.get(text) for text in column.tolist()], dtype=object)

    return breaks


NUMBERS: tuple[Break, ...] = (
    scaled("× 100 (a share as a percentage)", 100.0),
    scaled("÷ 100 (cents as euros)", 0.01),
    scaled("× 1000 (seconds as milliseconds)", 1_000.0),
    scaled("÷ 1000", 0.001),
    scaled("× 60 (hours as minutes)", 60.0),
    scaled("÷ 60", 1 / 60),
    scaled("miles as kilometres", 1.609344),
    scaled("kilometres as miles", 1 / 1.609344),
    scaled("inches as centimetres", 2.54),
    scaled("pounds as kilograms", 0.45359237),
    scaled("metres as feet", 3.28084),
    affine("Fahrenheit as Celsius", 5 / 9, -160 / 9, _temperature),
    affine("Fahrenheit as kelvins", 5 / 9, 273.15 - 160 / 9, _temperature),
    Break("the sign turned", lambda column: -column, _kind("sign"), _positive),
    function(("logarithm", "log(", "log1p", "ln"), np.log, _wide),
    function(("log10",), np.log10, _wide),
    function(("sqrt", "square root", "root"), np.sqrt, _wide),
    function(("square",), np.square, _wide),
    function(("trunc", "round", "floor", "whole"), np.floor, _fractional),
    line("standardised", _standard),
    line("scaled to 0..1", _between),
    Break("half of the rows -999", _filled(-999.0, 0.5), _kind("constant"), _not_negative),
    Break("a constant everywhere", lambda column: np.full(len(column), 7.125), _kind("constant"), numeric),
    Break("a third missing", _filled(np.nan, 1 / 3), _kind("missing"), numeric),
    Break("numbers as texts", _written, _kind("type"), numeric),
)
WORDS: tuple[Break, ...] = (
    Break("lower case", _each(str.lower), _kind("recode", "type", "function"), texts),
    Break("a blank behind", _each(lambda text: f"{text} "), _kind("recode", "type", "function"), texts),
    Break("codes for names", _each(lambda text: str(sum(map(ord, text)))), _kind("recode"), texts),
    Break("always null", lambda column: np.full(len(column), None, dtype=object), _kind("missing"), texts),
)
SHARE_IS_OF_ROWS = frozenset({"a third missing", "half of the rows -999"})
