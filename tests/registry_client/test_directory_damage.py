"""A folder registry that is damaged, linked elsewhere, not there or not to be read."""

from __future__ import annotations

import shutil
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import to_json
from registry_client.client import Registry
from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    DigestMismatch,
    InvalidDocument,
    InvalidName,
    NotFound,
    Unreachable,
)
from tests.registry_client.directory_samples import NOW, baseline_of, names_in


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


async def test_links_out_of_the_folder_are_refused(registry: Registry, root: Path, tmp_path: Path) -> None:
    await registry.register("fraud", "3")
    outside = tmp_path / "outside"
    shutil.copytree(root / "fraud", outside)
    (root / "linked").symlink_to(outside)
    (root / "fraud" / "versions" / "4").symlink_to(outside / "versions" / "3")
    (root / "fraud" / "aliases.json").symlink_to(tmp_path / "aliases.json")
    (tmp_path / "aliases.json").write_text('{"champion": "3"}')
    for asked in (
        registry.versions("linked"),
        registry.register("linked", "9"),
        registry.version("fraud", "4"),
        registry.versions("fraud"),
        registry.aliases("fraud"),
        registry.set_alias("fraud", "champion", "3"),
    ):
        with pytest.raises(InvalidName, match="leads out"):
            await asked
    assert (tmp_path / "aliases.json").read_text() == '{"champion": "3"}'


async def test_a_linked_artifact_or_baseline_is_refused(
    registry: Registry, root: Path, model_file: Path, tmp_path: Path
) -> None:
    await registry.register("fraud", "3", artifact=model_file, baseline=baseline_of([1.5]))
    folder = root / "fraud" / "versions" / "3"
    for name in ("model.onnx", "baseline.json"):
        shutil.move(folder / name, tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(InvalidName):
        await registry.artifact("fraud", "3", tmp_path / "into")
    with pytest.raises(InvalidName):
        await registry.baseline("fraud", "3")
    with pytest.raises(InvalidName):
        await registry.put_baseline("fraud", "3", baseline_of([2.5]))


async def test_a_changed_artifact_is_refused_and_not_handed_out(
    registry: Registry, root: Path, model_file: Path, tmp_path: Path
) -> None:
    registered = await registry.register("fraud", "3", artifact=model_file)
    (root / "fraud" / "versions" / "3" / "model.onnx").write_bytes(b"poison")
    with pytest.raises(DigestMismatch) as caught:
        await registry.artifact("fraud", "3", tmp_path / "into")
    assert caught.value.expected == registered.digest
    assert caught.value.found == f"sha256:{sha256(b'poison').hexdigest()}"
    assert list((tmp_path / "into").iterdir()) == []


async def test_a_baseline_swapped_for_another_is_refused(registry: Registry, root: Path) -> None:
    first, second = baseline_of([1.5]), baseline_of([2.5])
    await registry.register("fraud", "3", baseline=first)
    (root / "fraud" / "versions" / "3" / "baseline.json").write_bytes(to_json(second))
    with pytest.raises(DigestMismatch) as caught:
        await registry.baseline("fraud", "3")
    assert (caught.value.expected, caught.value.found) == (first.digest, second.digest)
    await registry.put_baseline("fraud", "3", second)
    assert await registry.baseline("fraud", "3") == second


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"model": "fraud"}',
        b'{"format":"sidecar-version/2","model":"fraud","version":"3","created_at":"2026-01-01T00:00:00Z"}',
        b'{"model":"fraud","version":"4","created_at":"2026-01-01T00:00:00Z"}',
        b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00"}',
        b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00Z","digest":"md5:1"}',
        b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00Z","tags":{"a":1}}',
        b'{"model":"fraud","version":"3","created_at":"2026-01-01T00:00:00Z","surprise":1}',
        b'{"model":"fraud","version":"3","created_at":"0001-01-01T00:00:00+14:00"}',
    ],
    ids=range(14),
)
async def test_a_damaged_version_names_its_file(registry: Registry, root: Path, content: bytes) -> None:
    await registry.register("fraud", "3")
    (root / "fraud" / "versions" / "3" / "version.json").write_bytes(content)
    for asked in (registry.version("fraud", "3"), registry.versions("fraud"), registry.set_tags("fraud", "3", {})):
        with pytest.raises(InvalidDocument, match=r"version\.json"):
            await asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"champion": 3}', b"\xff", b"[" * 100_000], ids=range(6))
async def test_damaged_aliases_name_their_file_and_are_not_overwritten(
    registry: Registry, root: Path, content: bytes
) -> None:
    await registry.register("fraud", "3")
    (root / "fraud" / "aliases.json").write_bytes(content)
    for asked in (registry.aliases("fraud"), registry.set_alias("fraud", "champion", "3")):
        with pytest.raises(InvalidDocument, match=r"aliases\.json"):
            await asked
    assert (root / "fraud" / "aliases.json").read_bytes() == content


async def test_an_alias_edited_by_hand_cannot_lead_outside(registry: Registry, root: Path) -> None:
    await registry.register("fraud", "3")
    (root / "fraud" / "aliases.json").write_text('{"champion": "../../../etc", "old": "2"}')
    with pytest.raises(InvalidName):
        await registry.by_alias("fraud", "champion")
    with pytest.raises(NotFound):
        await registry.by_alias("fraud", "old")


async def test_a_damaged_baseline_names_its_file(registry: Registry, root: Path) -> None:
    await registry.register("fraud", "3", baseline=baseline_of([1.5]))
    (root / "fraud" / "versions" / "3" / "baseline.json").write_bytes(b"{")
    with pytest.raises(InvalidDocument, match=r"baseline\.json"):
        await registry.baseline("fraud", "3")


async def test_a_document_beyond_64_mib_is_not_read(registry: Registry, root: Path) -> None:
    await registry.register("fraud", "3")
    with (root / "fraud" / "aliases.json").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with pytest.raises(InvalidDocument, match="larger than"):
        await registry.aliases("fraud")


@pytest.mark.parametrize("tags", [{"a": 1}, {1: "a"}, {"a": None}, {"a": "\ud800"}])
async def test_only_texts_become_tags_and_lineage(registry: Registry, root: Path, tags: Any) -> None:
    await registry.register("fraud", "3")
    with pytest.raises(InvalidDocument):
        await registry.set_tags("fraud", "3", tags)
    with pytest.raises(InvalidDocument):
        await registry.register("fraud", "4", lineage=tags)
    assert names_in(root / "fraud" / "versions") == ["3"]
    assert (await registry.version("fraud", "3")).tags == {}


async def test_a_registry_that_is_not_there_is_unreachable(registry: Registry, root: Path) -> None:
    with pytest.raises(Unreachable, match="does not exist"):
        await registry.version("fraud", "3")
    root.write_text("a file where the folder should be")
    for asked in (registry.version("fraud", "3"), registry.register("fraud", "3")):
        with pytest.raises(Unreachable):
            await asked


async def test_a_folder_that_may_not_be_looked_at_is_unreachable(
    registry: Registry, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.register("fraud", "3")

    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", forbidden)
    for asked in (registry.aliases("fraud"), registry.version("fraud", "3"), registry.versions("fraud")):
        with pytest.raises(Unreachable, match="Permission denied"):
            await asked
