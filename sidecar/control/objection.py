"""What somebody has said between the machine's look and its turn: asked once more in the turn, before it acts.

Keeps: the machine never undoes a person. A hold, an abort or a rollback that stood in the line before it has been
carried out by then, also one that waited for a disk. Does not: know what people can say (`automation` does).
Called by: the verbs that the machine shares with people.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sidecar.errors import Refused

# Why not any more, in a sentence; None where nothing is against it.
Objection = Callable[[], Awaitable[str | None]]


async def unobjected(objection: Objection | None) -> None:
    """Refused where there is something against it; None stands for a person's own call."""
    says = None if objection is None else await objection()
    if says is not None:
        raise Refused(f"not any more: {says}")
