"""What a version's name stands for, so that evidence on one model is never counted for another of the same name.

Keeps: what is not known contradicts nothing; what is known contradicts what is known otherwise. Pure.
Called by: `control/origins`.
"""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The registry's name of the model, when the version was registered (seconds since the epoch), and its content.

    The last two are None where nobody has said so yet.
    """

    model: str
    made_at: float | None = None
    digest: str | None = None


def contradiction(before: Origin, now: Origin) -> str | None:
    """Why it is another model under the same name, in a few words; None where it may be the same.

    >>> first = Origin(model="fraud", made_at=10.0)
    >>> contradiction(first, Origin(model="fraud", made_at=10.0, digest="sha256:a"))
    >>> contradiction(first, Origin(model="fraud", made_at=20.0))
    'it was registered anew'
    """
    if before.model != now.model:
        return f"it is one of the model {now.model!r}, not of {before.model!r} any more"
    if None not in (before.digest, now.digest) and before.digest != now.digest:
        return f"its content is {now.digest}, and was {before.digest}"
    if None not in (before.made_at, now.made_at) and before.made_at != now.made_at:
        return "it was registered anew"
    return None


def together(before: Origin, now: Origin) -> Origin:
    """What is known of the same version by both; what was learnt once stays."""
    return Origin(
        model=now.model,
        made_at=before.made_at if now.made_at is None else now.made_at,
        digest=before.digest if now.digest is None else now.digest,
    )
