"""Model files below the state folder: fetched once, checked each time, and never outside their place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    DigestMismatch,
    InvalidDocument,
    NotFound,
    RegistryError,
    Unreachable,
)
from registry_client.model import ModelVersion
from sidecar.control import model_artifacts
from sidecar.control.model_artifacts import KEPT_S, MOST_UNWANTED, ModelArtifacts, digest_in
from tests.control.stub_registry import StubRegistry, digest_of

NOW = 1_800_000_000.0


@pytest.fixture
def registry() -> StubRegistry:
    return StubRegistry({("fraud", "4"): b"the model"})


@pytest.fixture
def artifacts(registry: StubRegistry, tmp_path: Path) -> ModelArtifacts:
    return ModelArtifacts(registry, tmp_path / "models", lambda: NOW)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_a_model_is_fetched_once_and_then_found(
    artifacts: ModelArtifacts, registry: StubRegistry, tmp_path: Path
) -> None:
    first = await artifacts.there("fraud", "4")
    second = await artifacts.there("fraud", "4")

    hexadecimal = hashlib.sha256(b"the model").hexdigest()
    assert first == second == tmp_path / "models" / "fraud" / "4" / f"sha256-{hexadecimal}.onnx"
    assert first.read_bytes() == b"the model"
    assert first.stat().st_mode & 0o077 == 0
    assert registry.fetched == 1


async def test_a_folder_registry_serves_it_too(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"weights")
    registry = DirectoryRegistry(tmp_path / "registry")
    await registry.register("fraud", "4", artifact=tmp_path / "m.onnx")
    artifacts = ModelArtifacts(registry, tmp_path / "models", lambda: NOW)

    assert (await artifacts.there("fraud", "4")).read_bytes() == b"weights"
    with pytest.raises(NotFound):
        await artifacts.there("fraud", "5")


async def test_what_was_fetched_is_used_while_the_registry_is_away(
    artifacts: ModelArtifacts, registry: StubRegistry
) -> None:
    path = await artifacts.there("fraud", "4")
    registry.fault = Unreachable("the registry does not answer")

    assert await artifacts.there("fraud", "4") == path
    with pytest.raises(Unreachable):
        await artifacts.there("fraud", "5")


async def test_a_version_that_the_registry_has_forgotten_still_runs(
    artifacts: ModelArtifacts, registry: StubRegistry
) -> None:
    path = await artifacts.there("fraud", "4")
    registry.contents.clear()

    assert await artifacts.there("fraud", "4") == path


async def test_a_damaged_file_is_fetched_anew_and_never_used(artifacts: ModelArtifacts, registry: StubRegistry) -> None:
    path = await artifacts.there("fraud", "4")
    path.write_bytes(b"the mode1")

    assert (await artifacts.there("fraud", "4")).read_bytes() == b"the model"
    path.write_bytes(b"the mode1")
    registry.fault = Unreachable("the registry does not answer")
    with pytest.raises(Unreachable):
        await artifacts.there("fraud", "4")
    assert not path.exists()


async def test_a_link_in_a_files_place_is_not_followed(artifacts: ModelArtifacts, tmp_path: Path) -> None:
    path = await artifacts.there("fraud", "4")
    (tmp_path / "elsewhere").write_bytes(b"the model")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")

    assert not (await artifacts.there("fraud", "4")).is_symlink()
    assert (tmp_path / "elsewhere").exists()


async def test_other_bytes_under_the_same_version_are_fetched(
    artifacts: ModelArtifacts, registry: StubRegistry
) -> None:
    before = await artifacts.there("fraud", "4")
    registry.contents["fraud", "4"] = b"another model"

    after = await artifacts.there("fraud", "4")
    assert after != before
    assert after.read_bytes() == b"another model"


async def test_other_bytes_under_the_number_of_one_that_serves_change_nothing_and_are_told(
    artifacts: ModelArtifacts, registry: StubRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = await artifacts.there("fraud", "4", held=True)
    assert digest_in(first) == digest_of(b"the model")
    registry.contents["fraud", "4"] = b"another model"
    assert await artifacts.there("fraud", "4", held=True) == first
    assert "other content is registered under a version that serves" in caplog.text

    # As a challenger it became the other one: from then on it is that one that would be held.
    again = ModelArtifacts(registry, tmp_path / "models", lambda: NOW + 1)
    challenger = await again.there("fraud", "4")
    assert challenger != first
    await again.tidy({("fraud", "4")})
    assert await again.there("fraud", "4", held=True) == challenger
    challenger.unlink()
    first.unlink()
    assert (await again.there("fraud", "4", held=True)).read_bytes() == b"another model"


@pytest.mark.parametrize("known", ["", "md5:abc", digest_of(b"another")])
async def test_a_corrupt_artifact_is_refused_and_leaves_nothing(
    artifacts: ModelArtifacts, registry: StubRegistry, tmp_path: Path, known: str
) -> None:
    registry.digest = lambda content: known

    with pytest.raises(DigestMismatch):
        await artifacts.there("fraud", "4")
    assert files(tmp_path) == []


@pytest.mark.parametrize("away", [False, True])
async def test_a_file_of_another_registry_is_never_taken_for_this_ones(tmp_path: Path, *, away: bool) -> None:
    one, other = StubRegistry({("fraud", "4"): b"the model"}), StubRegistry({("fraud", "4"): b"another model"})
    other.digest = one.digest = lambda _: None
    folder = tmp_path / "models"
    first = await ModelArtifacts(one, folder, lambda: NOW, source="mlflow+http://one").there("fraud", "4")

    artifacts = ModelArtifacts(other, folder, lambda: NOW, source="mlflow+http://other")
    other.fault = Unreachable("the registry does not answer") if away else None
    if away:
        with pytest.raises(Unreachable):
            await artifacts.there("fraud", "4")
    else:
        assert (await artifacts.there("fraud", "4")).read_bytes() == b"another model"
    again = ModelArtifacts(one, folder, lambda: NOW, source="mlflow+http://one")
    assert await again.there("fraud", "4") == first


async def test_without_a_digest_in_the_registry_its_own_is_kept(
    artifacts: ModelArtifacts, registry: StubRegistry
) -> None:
    registry.digest = lambda content: None
    path = await artifacts.there("fraud", "4")

    assert path.name == digest_of(b"the model").replace(":", "-") + ".onnx"
    assert await artifacts.there("fraud", "4") == path
    assert registry.fetched == 1


def a_folder(into: Path, content: bytes) -> Path:
    (into / "artifacts" / "data").mkdir(parents=True)
    (into / "artifacts" / "MLmodel").write_text("flavors")
    (into / "artifacts" / "data" / "model.onnx").write_bytes(content)
    return into / "artifacts"


async def test_the_only_onnx_file_of_a_folder_is_the_model(artifacts: ModelArtifacts, registry: StubRegistry) -> None:
    registry.put = a_folder

    assert (await artifacts.there("fraud", "4")).read_bytes() == b"the model"


def two(into: Path, content: bytes) -> Path:
    a_folder(into, content)
    (into / "artifacts" / "other.onnx").write_bytes(content)
    return into / "artifacts"


def none(into: Path, content: bytes) -> Path:
    (into / "empty").mkdir()
    return into / "empty"


def outside(into: Path, content: bytes) -> Path:
    path = into.parents[1] / "outside.onnx"
    path.write_bytes(content)
    return path


def link(into: Path, content: bytes) -> Path:
    (into / "model.onnx").symlink_to(outside(into, content))
    return into / "model.onnx"


def link_in_folder(into: Path, content: bytes) -> Path:
    (into / "artifacts").mkdir()
    (into / "artifacts" / "model.onnx").symlink_to(outside(into, content))
    return into / "artifacts"


def link_inside(into: Path, content: bytes) -> Path:
    (into / "data").write_bytes(content)
    (into / "model.onnx").symlink_to(into / "data")
    return into / "model.onnx"


def pipe(into: Path, content: bytes) -> Path:
    os.mkfifo(into / "model.onnx")
    return into / "model.onnx"


def empty(into: Path, content: bytes) -> Path:
    (into / "model.onnx").touch()
    return into / "model.onnx"


@pytest.mark.parametrize("put", [two, none, outside, link, link_in_folder, link_inside, pipe, empty])
async def test_what_is_not_one_file_in_its_folder_is_refused(
    artifacts: ModelArtifacts, registry: StubRegistry, tmp_path: Path, put: Callable[[Path, bytes], Path]
) -> None:
    registry.put = put

    with pytest.raises(InvalidDocument):
        await artifacts.there("fraud", "4")
    assert list((tmp_path / "models").iterdir()) == []


async def test_a_model_that_is_too_large_is_refused(artifacts: ModelArtifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_artifacts, "LARGEST_BYTES", 8)

    with pytest.raises(InvalidDocument, match="has 9 bytes, and may have 1 to 8"):
        await artifacts.there("fraud", "4")


async def test_a_fetch_that_does_not_end_is_given_up(
    artifacts: ModelArtifacts, registry: StubRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(model_artifacts, "FETCH_S", 0.05)
    registry.hangs = True

    with pytest.raises(Unreachable, match="did not come within"):
        await artifacts.there("fraud", "4")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["..", ".", "../../etc", "a/b", ".hidden", "", "x" * 200, "Ümlaut", "=abc", "a\nb", "a b", "\ud800"]
)
async def test_whatever_a_registry_calls_a_model_it_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    registry = StubRegistry({(name, "4"): b"one", ("fraud", name): b"two"})
    artifacts = ModelArtifacts(registry, tmp_path / "deep" / "models", lambda: NOW)
    found = [await artifacts.there(name, "4"), await artifacts.there("fraud", name)]

    assert all(path.resolve().parents[2] == tmp_path / "deep" / "models" for path in found)
    assert [path.read_bytes() for path in found] == [b"one", b"two"]


async def test_two_names_never_share_a_folder(tmp_path: Path) -> None:
    names = ["a b", "a_b", "A B", "=a", "a"]
    registry = StubRegistry({(name, "1"): name.encode() for name in names})
    artifacts = ModelArtifacts(registry, tmp_path, lambda: NOW)

    assert len({(await artifacts.there(name, "1")).parent for name in names}) == len(names)


async def test_what_nobody_wants_is_removed_after_a_while(registry: StubRegistry, tmp_path: Path) -> None:
    now = [NOW]
    artifacts = ModelArtifacts(registry, tmp_path / "models", lambda: now[0])
    registry.contents["fraud", "5"] = b"another"
    four, five = await artifacts.there("fraud", "4"), await artifacts.there("fraud", "5")
    left = tmp_path / "models" / ".fetching-left-by-a-crash"
    left.mkdir()
    os.utime(left, (NOW, NOW))

    now[0] += KEPT_S - 60
    await artifacts.tidy({("fraud", "4")})
    assert four.exists()
    assert five.exists()
    assert left.exists()
    now[0] += 120
    await artifacts.tidy({("fraud", "4")})
    assert files(tmp_path / "models") == [four.relative_to(tmp_path / "models").as_posix()]
    assert not left.exists()
    await artifacts.tidy(set())  # it was wanted until now
    assert four.exists()
    now[0] += KEPT_S + 1
    await artifacts.tidy(set())
    await artifacts.tidy(set())
    assert list((tmp_path / "models").iterdir()) == []


async def test_only_so_many_are_kept_that_nobody_wants(tmp_path: Path) -> None:
    now = [NOW]
    registry = StubRegistry({("fraud", str(number)): bytes([number]) for number in range(1, 12)})
    artifacts = ModelArtifacts(registry, tmp_path, lambda: now[0])
    for _, version in registry.contents:
        now[0] += 1
        await artifacts.there("fraud", version)
    await artifacts.tidy({("fraud", "1")})

    kept = sorted(int(path.name) for path in (tmp_path / "fraud").iterdir())
    assert kept == [1, *range(12 - MOST_UNWANTED, 12)]


async def test_tidying_nothing_is_no_fault(artifacts: ModelArtifacts) -> None:
    await artifacts.tidy({("fraud", "4")})


async def test_a_full_disk_is_an_error_and_leaves_nothing(
    artifacts: ModelArtifacts, registry: StubRegistry, tmp_path: Path
) -> None:
    def full(into: Path, content: bytes) -> Path:
        raise Unreachable("cannot be copied: No space left on device")

    registry.put = full
    with pytest.raises(RegistryError, match="No space left"):
        await artifacts.there("fraud", "4")
    assert list((tmp_path / "models").iterdir()) == []


def test_the_stub_is_what_a_registry_is(registry: StubRegistry) -> None:
    assert isinstance(registry.known("fraud", "4"), ModelVersion)
