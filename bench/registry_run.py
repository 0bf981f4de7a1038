"""Resolves a model by its alias, over and over, from a process of its own: `python -P registry_run.py FOLDER`.

Prints seconds as JSON: `asked` of a folder registry that answers, `kept` once it is away, `first` of the latter
right after a restart, when nothing is in memory. It runs where the sidecar's build is on the search path.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from registry_client.cache import CachedRegistry
from registry_client.directory import DirectoryRegistry

READS = 500


async def measure(folder: Path) -> dict[str, list[float]]:
    """Seconds for each read."""
    there = DirectoryRegistry(folder / "registry")
    for version in ("3", "4"):
        lineage = {"data": "2026-01", "code": "9f3c21d", "approved_by": "somebody@example.com"}
        await there.register("fraud", version, lineage=lineage, tags={"sidecar.champion_since": "2026-01-31"})
    await there.set_alias("fraud", "champion", "4")
    cached = CachedRegistry(there, folder / "cache", clock=time.time)
    found = {"asked": await _reads(cached, READS)}
    (folder / "registry").rename(folder / "gone")
    await cached.by_alias("fraud", "champion")  # finds out
    found["kept"] = await _reads(cached, READS)
    restarted = [CachedRegistry(there, folder / "cache", clock=time.time) for _ in range(READS)]
    found["first"] = [seconds for each in restarted for seconds in await _reads(each, 1)]
    return found


async def _reads(cached: CachedRegistry, number: int) -> list[float]:
    seconds = []
    for _ in range(number):
        began_s = time.perf_counter()
        found = await cached.by_alias("fraud", "champion")
        seconds.append(time.perf_counter() - began_s)
        if found.version != "4":
            sys.exit("the alias led to another version")
    return seconds


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1])))))
