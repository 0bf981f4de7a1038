"""What kind of text a category is: a whole number, a date, a key, words. Another kind of text is another coding.

Keeps: each text has one form, or none where it is empty. Does not: know of counts, nor what a text means.
Called by: naming of categories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("whole numbers", re.compile(r"[+-]?\d{1,30}")),
    ("numbers with decimals", re.compile(r"[+-]?\d{0,30}[.,]\d{1,30}([eE][+-]?\d{1,3})?")),
    ("dates", re.compile(r"\d{4}-\d{2}-\d{2}([T ].{0,40})?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")),
    ("hexadecimal keys", re.compile(r"(?=.*\d)[0-9a-fA-F]{8,128}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
    ("words", re.compile(r".*[^\W\d_].*", re.DOTALL)),
)
_MOST = 0.9


def form_of(text: str) -> str | None:
    """The first form that the whole text has.

    >>> form_of("EWR"), form_of(" 12 "), form_of("2026-01-31"), form_of("9f86d081"), form_of("--")
    ('words', 'whole numbers', 'dates', 'hexadecimal keys', None)
    """
    plain = text.strip()
    return next((name for name, pattern in _FORMS if pattern.fullmatch(plain)), None)


def common_form(weighed: Iterable[tuple[str, float]]) -> str | None:
    """The form of at least 90 % of the texts by weight; None where there is none such.

    >>> common_form([("EWR", 600.0), ("JFK", 400.0)]), common_form([("EWR", 1.0), ("7", 1.0)])
    ('words', None)
    """
    rows: dict[str | None, float] = {}
    for text, weight in weighed:
        form = form_of(text)
        rows[form] = rows.get(form, 0.0) + weight
    if not rows:
        return None
    best = max(rows, key=rows.__getitem__)
    return best if rows[best] >= _MOST * sum(rows.values()) and rows[best] > 0.0 else None
