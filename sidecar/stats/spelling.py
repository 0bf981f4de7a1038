"""Two texts that mean one category: differing in case, spaces, Unicode form, or how a number or a flag is written.

Keeps: each way of writing is one function from a text to the form in which all its spellings are equal.
Does not: know of counts. Called by: naming of categories, the comparison row by row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_FLAGS = {"true": "true", "t": "true", "yes": "true", "y": "true", "false": "false", "f": "false", "no": "false"}
_NUMBER = re.compile(r"[+-]?\d{1,30}([.,]\d{0,30})?\Z")
_QUOTED = re.compile(r"""b?(["'])(.*)\1\Z""", re.DOTALL)
_GAPS = re.compile(r"[\s_\-./]+")


def _number(text: str) -> str:
    plain = text.strip()
    if not _NUMBER.match(plain):
        return text
    whole, _, part = plain.replace(",", ".").partition(".")
    sign = "-" if whole.startswith("-") else ""
    part = part.rstrip("0")
    shown = (whole.lstrip("+-").lstrip("0") or "0") + (f".{part}" if part else "")
    return sign + shown if shown != "0" else shown


def _flag(text: str) -> str:
    return _FLAGS.get(text.strip().lower(), text)


def _bare(text: str) -> str:
    quoted = _QUOTED.match(text)
    return quoted.group(2) if quoted else text


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _unaccented(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _all(text: str) -> str:
    return _flag(_number(_GAPS.sub(" ", _unaccented(_bare(text.strip()).strip()).casefold()).strip()))


# What is told of a match is the first that suffices.
SPELLINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("with spaces before or behind", str.strip),
    ("in upper or lower case", str.casefold),
    ("in another Unicode form", _composed),
    ("without or with accents", _unaccented),
    ("with numbers written otherwise (1 as 1.0 or 01)", _number),
    ("with flags written otherwise (true as True or yes)", _flag),
    ("in quotes", _bare),
    ("with other marks between words", lambda text: _GAPS.sub("", text)),
    ("in another spelling", _all),
)


def spelling_between(one: str, other: str) -> str | None:
    """How two different texts are spellings of one; None where they are not.

    >>> spelling_between("Oslo", " Oslo"), spelling_between("7", "007"), spelling_between("Oslo", "Bonn")
    ('with spaces before or behind', 'with numbers written otherwise (1 as 1.0 or 01)', None)
    """
    if one == other:
        return None
    return next((says for says, form in SPELLINGS if form(one) == form(other)), None)
