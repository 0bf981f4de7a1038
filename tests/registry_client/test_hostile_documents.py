"""R-S11: documents that were made to hurt, wherever a registry keeps one, and what the cache makes of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import DOCUMENT_LIMIT_BYTES, to_json
from registry_client.cache import CachedRegistry
from registry_client.client import Registry
from registry_client.directory import DirectoryRegistry
from registry_client.errors import RegistryError
from registry_client.from_columns import build_baseline
from tests.registry_client.hostile_registry import Clock

BASELINE = build_baseline({"amount": [float(n) for n in range(50)]}, now=datetime(2026, 1, 1, tzinfo=UTC))
ANYWHERE: dict[str, bytes] = {
    "nothing": b"",
    "half": to_json(BASELINE)[:-10],
    "not text": b"\xff\xfe\x00",
    "a page of a proxy": b"<html><body>502 Bad Gateway</body></html>",
    "null": b"null",
    "a number": b"1e400",
    "depth of lists": b"[" * 1_000_000,
    "depth of objects": b'{"a":' * 500_000,
    "depth inside": b'{"format":"sidecar-baseline/1","model":"fraud","champion":' + b"[" * 500_000,
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94",
}


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(to_json(BASELINE))
    change(document)
    return json.dumps(document).encode()


BASELINES: dict[str, bytes] = {
    "a million features": b'{"format":"sidecar-baseline/1","features":[' + b"{}," * 1_000_000 + b"{}]}",
    "more features than anyone has": _changed(
        lambda d: d.update(features=[d["features"][0] | {"name": str(n), "quantiles": []} for n in range(5_001)])
    ),
    "a million cells": _changed(lambda d: d["features"][0].update(counts=[0] * 1_000_000)),
    "a million edges": _changed(lambda d: d["features"][0].update(edges=list(range(1_000_000)))),
    "a hundred thousand cells with their edges": _changed(
        lambda d: d["features"][0].update(edges=list(range(100_000)), counts=[0] * 100_003)
    ),
    "not a number": _changed(lambda d: d["features"][0].update(mean=float("nan"))),
    "infinite": _changed(lambda d: d["features"][0].update(maximum=float("inf"))),
    "negative counts": _changed(lambda d: d["features"][0].update(counts=[-1] * len(d["features"][0]["counts"]))),
    "negative rows": _changed(lambda d: d.update(rows=-1)),
    "more rows than there are": _changed(lambda d: d.update(rows=1 << 62)),
    "a whole number of a million digits": to_json(BASELINE).replace(b'"rows":50', b'"rows":' + b"9" * 1_000_000),
    "texts for numbers": _changed(lambda d: d["features"][0].update(counts="0")),
    "the same feature twice": _changed(lambda d: d.update(features=d["features"] * 2)),
    "another format": _changed(lambda d: d.update(format="sidecar-baseline/999")),
    "an unknown member": _changed(lambda d: d.update(__class__="os.system")),
    "another digest": _changed(lambda d: d["source"].update(name="somebody else")),
}
ALIASES: dict[str, bytes] = {
    "numbers": b'{"champion": 3}',
    "lists": b'{"champion": ["3"]}',
    "no object": b'["champion"]',
    "too large": b'{"champion":"' + b"9" * (DOCUMENT_LIMIT_BYTES + 1) + b'"}',
}
VERSIONS: dict[str, bytes] = {
    "another version": b'{"model":"fraud","version":"4","created_at":"2026-01-01T00:00:00Z"}',
    "another model": b'{"model":"spam","version":"3","created_at":"2026-01-01T00:00:00Z"}',
    "no time zone": b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00"}',
    "a time that no calendar has": b'{"model":"fraud","version":"3","created_at":"0001-01-01T00:00:00+14:00"}',
    "no digest": b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00Z","digest":"../../etc/passwd"}',
    "tags that are no texts": b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00Z","tags":{"a":{}}}',
}
TABLE = [
    (place, name, content)
    for place, own in (("aliases.json", ALIASES), ("version.json", VERSIONS), ("baseline.json", BASELINES))
    for name, content in (ANYWHERE | own).items()
]


@pytest.mark.parametrize(("place", "name", "content"), TABLE, ids=[f"{place}: {name}" for place, name, _ in TABLE])
async def test_a_hostile_document_is_refused_in_a_sentence_and_the_last_good_one_stays(
    tmp_path: Path, place: str, name: str, content: bytes
) -> None:
    there = DirectoryRegistry(tmp_path / "registry")
    await there.register("fraud", "3", baseline=BASELINE)
    await there.set_alias("fraud", "champion", "3")
    model = tmp_path / "registry" / "fraud"
    path = model / place if place == "aliases.json" else model / "versions" / "3" / place
    cached = CachedRegistry(there, tmp_path / "cache", clock=Clock(), timeout_s=60.0)
    reads: dict[str, Callable[[Registry], Awaitable[object]]] = {
        "aliases.json": lambda registry: registry.aliases("fraud"),
        "version.json": lambda registry: registry.version("fraud", "3"),
        "baseline.json": lambda registry: registry.baseline("fraud", "3"),
    }
    read = reads[place]
    good = await read(cached)
    path.write_bytes(content)
    with pytest.raises(RegistryError) as caught:
        await read(there)
    assert len(str(caught.value)) < 1_000, "a sentence, not the document"
    fresh = CachedRegistry(there, tmp_path / "fresh", clock=Clock(), timeout_s=60.0)
    with pytest.raises(RegistryError):
        await read(fresh)
    assert await read(CachedRegistry(there, tmp_path / "cache", clock=Clock(), timeout_s=60.0)) == good
    if place != "baseline.json":  # where the digest of what is kept is the registered one, nothing is read there at all
        assert await read(cached) == good
        assert cached.fault("fraud", None if place == "aliases.json" else "3")
    assert fresh.health.reachable
    assert cached.health.reachable
