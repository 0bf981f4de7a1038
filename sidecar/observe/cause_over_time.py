"""The cause of an open alarm after one more look: kept, made up to date, or replaced by one that more rows support.

Keeps: a name gives way only to another that says as much, never to silence, and never once it was confirmed; so a
sentence that went out changes because it was wrong, and not because rows of a healed feed came between.
Does not: find causes. Called by: a watched column.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sidecar.reports import Cause

SO_FAR = "; so far, beside rows from before the change"
_ALL = 0.995  # of the rows


def next_cause(
    known: Cause | None, later: Cause | None, whole: Callable[[], Cause | None], *, healing: bool
) -> Cause | None:
    """The cause to tell from now on.

    Args:
        known: what was told so far.
        later: what the rows after the onset's bucket say, None where they are too few.
        whole: what all rows since the onset say; asked only where the later ones name nothing.
        healing: the newest buckets look like training: shares and other names say nothing of the fault then.
    """
    if known is None or _weight(known) == 0:
        if later is None:
            return _so_far(whole())
        return later if _weight(later) else whole()
    if healing or known.confirmed or later is None or _weight(later) < _weight(known):
        return known
    return later


def _so_far(cause: Cause | None) -> Cause | None:
    """A cause told by the onset's own bucket, which holds rows from before the change: its share is a lower bound."""
    if cause is None or not _weight(cause) or cause.share >= _ALL:
        return cause
    return msgspec.structs.replace(cause, says=cause.says + SO_FAR)


def same_cause(one: Cause | None, other: Cause | None) -> bool:
    """Whether two causes are the same although their shares differ; a value that was not kept is no difference."""
    if one is None or other is None:
        return one is other
    if None not in (one.value, other.value) and one.value != other.value:
        return False
    return _identity(one) == _identity(other)


def _weight(cause: Cause) -> int:
    """What a cause says: nothing, what was counted while its reason is open, a reason, one seen in two columns."""
    if cause.kind == "unexplained":
        return 0
    if cause.kind == "swap":
        return 3
    counted = cause.kind == "new_category" or (cause.kind in ("missing", "type") and not cause.explained)
    return 1 if counted else 2


def _identity(cause: Cause) -> tuple[object, ...]:
    return cause.kind, cause.factor, cause.offset, cause.type_to, cause.with_, cause.name
