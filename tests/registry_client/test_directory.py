"""The folder registry: versions, aliases, tags and baselines, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import named_for
from registry_client.client import Registry
from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    AlreadyExists,
    InvalidDocument,
    InvalidName,
    NotFound,
    RegistryError,
    Unreachable,
)
from tests.registry_client.directory_samples import NOW, baseline_of, names_in

HOSTILE_NAMES = [
    "",
    ".",
    "..",
    ".hidden",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    "a b",
    "a\0b",
    "é",
    "a\n",
    "x" * 129,
    "%2e%2e",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path) -> DirectoryRegistry:
    times = (NOW + timedelta(minutes=minute) for minute in range(1_000))
    return DirectoryRegistry(root, clock=lambda: next(times), lock_wait_s=10.0)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "trained.onnx"
    path.write_bytes(b"weights" * 1_000)
    return path


async def test_a_registered_version_is_found_with_all_that_was_said_about_it(
    registry: Registry, model_file: Path, tmp_path: Path
) -> None:
    baseline = baseline_of([1.5, 2.5])
    registered = await registry.register(
        "fraud", "3", artifact=model_file, baseline=baseline, lineage={"data": "s3"}, tags={"team": "risk"}
    )
    found = await registry.version("fraud", "3")
    assert found == registered
    assert found.digest == f"sha256:{sha256(model_file.read_bytes()).hexdigest()}"
    assert (found.lineage, found.tags) == ({"data": "s3"}, {"team": "risk"})
    assert found.baseline_digest == baseline.digest
    assert found.created_at == NOW
    assert await registry.baseline("fraud", "3") == baseline
    copied = await registry.artifact("fraud", "3", tmp_path / "deep" / "folder")
    assert copied == tmp_path / "deep" / "folder" / "model.onnx"
    assert copied.read_bytes() == model_file.read_bytes()


async def test_the_layout_is_the_documented_one(registry: Registry, root: Path, model_file: Path) -> None:
    await registry.register("fraud", "3", artifact=model_file, baseline=baseline_of([1.5]))
    await registry.set_alias("fraud", "champion", "3")
    folder = root / "fraud" / "versions" / "3"
    assert sorted(entry.name for entry in folder.iterdir()) == ["baseline.json", "model.onnx", "version.json"]
    assert json.loads((root / "fraud" / "aliases.json").read_text()) == {"champion": "3"}
    assert names_in(folder.parent) == ["3"]


async def test_versions_come_oldest_first(registry: Registry, root: Path) -> None:
    for version in ("10", "9", "b"):
        await registry.register("fraud", version)
    (root / "fraud" / "versions" / ".DS_Store").write_text("noise")
    (root / "fraud" / "versions" / "note.txt").write_text("noise")
    assert [found.version for found in await registry.versions("fraud")] == ["10", "9", "b"]


async def test_aliases_move_and_lead_to_versions(registry: Registry) -> None:
    await registry.register("fraud", "3")
    await registry.register("fraud", "4")
    assert await registry.aliases("fraud") == {}
    await registry.set_alias("fraud", "champion", "3")
    await registry.set_alias("fraud", "challenger", "4")
    await registry.set_alias("fraud", "champion", "4")
    assert await registry.aliases("fraud") == {"champion": "4", "challenger": "4"}
    assert (await registry.by_alias("fraud", "champion")).version == "4"


async def test_tags_are_added_and_replaced_and_lineage_stays(registry: Registry) -> None:
    await registry.register("fraud", "3", lineage={"data": "s3"}, tags={"a": "1", "b": "2"})
    changed = await registry.set_tags("fraud", "3", {"b": "3", "c": "4"})
    assert changed.tags == {"a": "1", "b": "3", "c": "4"}
    assert await registry.version("fraud", "3") == changed
    assert changed.lineage == {"data": "s3"}


async def test_a_baseline_may_be_put_later_and_replaced(registry: Registry) -> None:
    await registry.register("fraud", "3")
    for values in ([1.5], [2.5]):
        baseline = baseline_of(values)
        assert (await registry.put_baseline("fraud", "3", baseline)).baseline_digest == baseline.digest
        assert await registry.baseline("fraud", "3") == baseline


async def test_a_baseline_of_another_version_is_refused(registry: Registry) -> None:
    await registry.register("fraud", "3")
    with pytest.raises(InvalidDocument, match="fraud/4"):
        await registry.put_baseline("fraud", "3", named_for(baseline_of([1.5]), "fraud", "4"))
    with pytest.raises(InvalidDocument, match="fraud/4"):
        await registry.register("fraud", "5", baseline=named_for(baseline_of([1.5]), "fraud", "4"))
    assert [version.version for version in await registry.versions("fraud")] == ["3"]
    await registry.put_baseline("fraud", "3", named_for(baseline_of([1.5]), "fraud", "3"))


async def test_a_version_is_registered_once(registry: Registry, root: Path, model_file: Path) -> None:
    await registry.register("fraud", "3", artifact=model_file)
    before = await registry.version("fraud", "3")
    with pytest.raises(AlreadyExists, match="fraud/3"):
        await registry.register("fraud", "3")
    assert await registry.version("fraud", "3") == before
    assert names_in(root / "fraud" / "versions") == ["3"]


async def test_of_many_who_register_one_version_one_wins(root: Path, model_file: Path) -> None:
    registry = DirectoryRegistry(root)
    outcomes = await asyncio.gather(
        *(registry.register("fraud", "3", artifact=model_file, tags={"by": str(n)}) for n in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 7
    assert names_in(root / "fraud" / "versions") == ["3"]


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda registry: registry.version("none", "3"), "no model 'none'"),
        (lambda registry: registry.versions("none"), "no model 'none'"),
        (lambda registry: registry.aliases("none"), "no model 'none'"),
        (lambda registry: registry.version("fraud", "9"), "no version '9'"),
        (lambda registry: registry.by_alias("fraud", "champion"), "no alias 'champion'"),
        (lambda registry: registry.set_alias("fraud", "champion", "9"), "no version '9'"),
        (lambda registry: registry.set_tags("fraud", "9", {}), "no version '9'"),
        (lambda registry: registry.baseline("fraud", "3"), "no baseline"),
        (lambda registry: registry.put_baseline("fraud", "9", baseline_of([1.5])), "no version '9'"),
        (lambda registry: registry.artifact("fraud", "3", Path("into")), "no artifact"),
        (lambda registry: registry.register("fraud", "4", artifact=Path("/no/such/file")), "no artifact"),
    ],
)
async def test_what_is_not_there_is_named(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Callable[[Registry], Any], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    await registry.register("fraud", "3")
    with pytest.raises(NotFound, match=reason):
        await ask(registry)
    assert [version.version for version in await registry.versions("fraud")] == ["3"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda registry, name: registry.version(name, "3"),
        lambda registry, name: registry.version("fraud", name),
        lambda registry, name: registry.versions(name),
        lambda registry, name: registry.aliases(name),
        lambda registry, name: registry.by_alias("fraud", name),
        lambda registry, name: registry.set_alias("fraud", name, "3"),
        lambda registry, name: registry.set_alias("fraud", "champion", name),
        lambda registry, name: registry.set_tags("fraud", name, {}),
        lambda registry, name: registry.put_baseline(name, "3", baseline_of([1.5])),
        lambda registry, name: registry.artifact("fraud", name, Path("into")),
        lambda registry, name: registry.register(name, "3"),
        lambda registry, name: registry.register("fraud", name),
    ],
)
async def test_hostile_names_are_refused_everywhere(
    registry: Registry, tmp_path: Path, ask: Callable[[Registry, str], Any]
) -> None:
    await registry.register("fraud", "3")
    before = sorted(tmp_path.rglob("*"))
    for name in HOSTILE_NAMES:
        with pytest.raises(InvalidName):
            await ask(registry, name)
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.name != ".lock"] == []


def test_the_folder_registry_has_the_whole_interface() -> None:
    public = {name for name in vars(Registry) if not name.startswith("_")}
    assert public <= set(vars(DirectoryRegistry))
    assert issubclass(Unreachable, RegistryError)
