"""What is new in the workers' cumulative counters of copies.

Keeps: a lost frame loses nothing, and a frame seen twice adds nothing; totals that went back are another process under
the same name, so all of them are new. Remembers a bounded number of workers. Called by the deployment's watch.
"""

from __future__ import annotations

import msgspec

from sidecar.records import ShadowCounts
from sidecar.reports import Copies

_WORKERS = 256  # more than that died long ago


class CopyCounts:
    """The last counters of each worker, by version. `seen` is what a restart must know."""

    def __init__(self, seen: dict[str, dict[str, ShadowCounts]] | None = None) -> None:
        self.seen: dict[str, dict[str, ShadowCounts]] = {} if seen is None else seen

    def delta(self, worker: str, counts: ShadowCounts) -> Copies:
        """The difference to this worker's last counters of the version."""
        seen = self.seen.pop(worker, {})
        self.seen[worker] = seen  # at the end: the worker that was silent for longest is forgotten first
        if len(self.seen) > _WORKERS:
            del self.seen[next(iter(self.seen))]
        before = seen.get(counts.version)
        seen[counts.version] = msgspec.structs.replace(counts, errors=dict(counts.errors), dropped=dict(counts.dropped))
        return _difference(counts, before)


def _difference(now: ShadowCounts, before: ShadowCounts | None) -> Copies:
    """What is new. Totals that went back are another process under the same name: all of it is new."""
    whole = Copies(mirrored=now.mirrored, answered=now.answered, errors=now.errors, dropped=now.dropped)
    if before is None:
        return whole
    delta = Copies(
        mirrored=now.mirrored - before.mirrored,
        answered=now.answered - before.answered,
        errors={kind: n - before.errors.get(kind, 0) for kind, n in now.errors.items()},
        dropped={reason: n - before.dropped.get(reason, 0) for reason, n in now.dropped.items()},
    )
    went_back = min(delta.mirrored, delta.answered, *delta.errors.values(), *delta.dropped.values()) < 0
    return whole if went_back else delta
