"""What becomes of a posted outcome: the six states, and when two values are the same label.

Invariant: the rules only, as a function of what is stored; nothing is kept here. The first value stays until one
comes that says it corrects. An orphan whose request turns up after all is matched when it is posted again.
Called by `control/decisions`, which keeps decisions and outcomes, and by the quality observer for the labels.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Literal

import msgspec

from sidecar.records import Outcome

OutcomeState = Literal["matched", "pending", "duplicate", "conflict", "orphan", "late"]
KeptState = Literal["matched", "pending", "orphan", "late"]

_LONGEST_NUMBER = 40
_CLASSES = {"0": 0, "1": 1, "false": 0, "true": 1}
_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,14}))(?:\.0+)?")  # "007" is a code, not a number


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An outcome that is stored already: `state` is never duplicate or conflict, since these are not stored."""

    value: str | float
    state: KeptState


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What a posted outcome counts as, and the state it is stored with (None: what is stored stays)."""

    counts_as: OutcomeState
    stored_as: KeptState | None
    replaces: str | float | None = None


def settle(outcome: Outcome, kept: Kept | None, decided_at: float | None, now: float, window_s: float) -> Settled:
    """The state of one posted outcome.

    Args:
        outcome: as posted.
        kept: what is stored for the same request id and row, after expiry.
        decided_at: when the prediction was made, seconds since the epoch; None for an unknown request or row.
        now: when it was posted.
        window_s: how long after the prediction an outcome is judged.
    """
    if decided_at is None:
        fresh: KeptState = "pending" if kept is None or kept.state != "orphan" else "orphan"
    else:
        fresh = "late" if max(now, outcome.at) - decided_at > window_s else "matched"
    if kept is None or (kept.state in ("orphan", "pending") and decided_at is not None):
        return Settled(fresh, fresh)
    same = label_text(kept.value) == label_text(outcome.value)
    if same:
        # An orphan that is posted again in vain is no double of a judged outcome: its request is still unknown.
        return Settled("orphan" if kept.state == "orphan" else "duplicate", None)
    if not outcome.corrects:
        return Settled("conflict", None)
    if kept.state == "matched":
        # What was judged in time is not unjudged by a correction that comes too late.
        return Settled(fresh, fresh, kept.value) if fresh == "matched" else Settled(fresh, None)
    return Settled(fresh, fresh)


def label_text(value: str | float) -> str:
    """One text for what means the same label: "1", "1.0", 1, 1.0 and True are "1"; other texts stay as they are.

    >>> [label_text(value) for value in ("1", 1, 1.0, True, "1.0", "true", 0.5, "007")]
    ['1', '1', '1', '1', '1', 'true', '0.5', '007']
    """
    if isinstance(value, str):
        whole = _WHOLE_NUMBER.fullmatch(value)
        return str(int(whole[1])) if whole else value
    number = as_number(value)
    if number is None:
        return str(value)
    return str(int(number)) if number.is_integer() else repr(number)


@lru_cache(maxsize=1_024)
def class_of(value: str | float) -> int | None:
    """0 or 1 where a value means one of the two classes, in whatever system's spelling; None for any other.

    >>> [class_of(value) for value in (1, "1.0", True, "true", "True", "FALSE", "yes", 2)]
    [1, 1, 1, 1, 1, 0, None, None]
    """
    return _CLASSES.get(label_text(value).lower())


def as_number(value: str | float) -> float | None:
    """The finite number that a value is or spells; None for any other text.

    >>> [as_number(value) for value in ("12.5", 3, "fraud", "nan", "1_000")]
    [12.5, 3.0, None, None, None]
    """
    if isinstance(value, str) and (len(value) > _LONGEST_NUMBER or not value.isascii() or "_" in value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
