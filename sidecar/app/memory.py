"""How much memory a worker may have, where the settings do not say: from the limit of this process' cgroup.

Half of the limit is the workers', in equal parts; the rest is control's and the supervisor's. Called by control's
composition root, for the routing table.
"""

from __future__ import annotations

from pathlib import Path

from sidecar.config import Settings
from sidecar.config_rules import LEAST_MEMORY_BYTES

_WORKERS_SHARE = 0.5
# A limit that is none: version 1 writes a number near 2⁶³ where nobody has set one.
_NO_LIMIT_BYTES = 1 << 60


def cgroup_limit_bytes(root: Path = Path("/")) -> int | None:
    """The tightest memory limit over this process, of cgroup version 2 or 1; None where there is none."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            folder, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # A container sees its own group as the root, whatever path is told.
        inner = folder / path.strip("/")
        for group in {folder, inner, *(parent for parent in inner.parents if folder in parent.parents)}:
            limit = _text(group / name).strip()
            if limit.isdigit() and int(limit) < _NO_LIMIT_BYTES:
                found.append(int(limit))
    return min(found, default=None)


def within_machine(settings: Settings) -> Settings:
    """The settings with a worker's memory from the cgroup, where they do not have it."""
    if settings.limits.memory_bytes:
        return settings
    memory_bytes = worker_memory_bytes(settings.workers, cgroup_limit_bytes())
    return settings.model_copy(update={"limits": settings.limits.model_copy(update={"memory_bytes": memory_bytes})})


def worker_memory_bytes(workers: int, limit_bytes: int | None) -> int:
    """A worker's part of the limit; 0, which means none, where there is no limit."""
    if limit_bytes is None:
        return 0
    return max(LEAST_MEMORY_BYTES, int(limit_bytes * _WORKERS_SHARE) // workers)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
