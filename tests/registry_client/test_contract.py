"""What every registry does alike: a folder, one with its last known good before it, and a real MLflow server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from registry_client import Access, Baseline, CachedRegistry, Registry, build_baseline, named_for, open_registry
from registry_client.client import Registry as Interface
from registry_client.directory import DirectoryRegistry
from registry_client.errors import AlreadyExists, DigestMismatch, InvalidDocument, InvalidName, NotFound
from registry_client.mlflow import MlflowRegistry

HOSTILE_NAMES = [
    "",
    ".",
    "..",
    ".hidden",
    "../x",
    "a/b",
    "/etc",
    "a\\b",
    "a\0b",
    "a\n",
    "a:b",
    "a'b",
    'a"b',
    "a;b",
    "a`b",
    "a?b=c",
    "a#b",
    "%2e%2e",
    "a%2Fb",
    "x" * 300,
    "\ud800",
]


@pytest.fixture(params=["folder", "cached", "mlflow"])
async def registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    if request.param == "folder":
        opened = open_registry(f"file:{tmp_path}/registry")
    elif request.param == "cached":
        opened = CachedRegistry(open_registry(f"file:{tmp_path}/registry"), tmp_path / "cache", clock=time.time)
    else:
        opened = open_registry(request.getfixturevalue("mlflow_server").uri, access=Access(timeout_s=30))
    yield opened
    await opened.close()


@pytest.fixture
def model() -> str:
    """A name of the test's own: the server outlives it."""
    return f"fraud-{uuid4().hex}"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    path = tmp_path / "trained.onnx"
    path.write_bytes(b"weights" * 100_000)
    return path


def baseline_of(values: list[float]) -> Baseline:
    return build_baseline({"amount": values}, now=datetime(2026, 1, 1, tzinfo=UTC))


def test_both_registries_have_the_whole_interface() -> None:
    public = {name for name in vars(Interface) if not name.startswith("_")}
    assert len(public) == 11
    for kind in (DirectoryRegistry, MlflowRegistry):
        assert public <= set(vars(kind))


async def test_a_registered_version_is_found_with_all_that_was_said_about_it(
    registry: Registry, model: str, trained: Path, tmp_path: Path
) -> None:
    before, baseline = datetime.now(UTC) - timedelta(seconds=2), baseline_of([1.5, 2.5])
    lineage = {"data": "payments@2026-01", "code": "4f2a", "approved_by": "Zoë"}
    registered = await registry.register(
        model, "1", artifact=trained, baseline=baseline, lineage=lineage, tags={"team": "risk ✓"}
    )
    found = await registry.version(model, "1")
    assert found == registered
    assert (found.model, found.version) == (model, "1")
    assert found.digest == f"sha256:{sha256(trained.read_bytes()).hexdigest()}"
    assert (found.lineage, found.tags) == (lineage, {"team": "risk ✓"})
    assert found.baseline_digest == baseline.digest
    assert before < found.created_at < datetime.now(UTC) + timedelta(seconds=2)
    assert await registry.baseline(model, "1") == baseline
    copied = await registry.artifact(model, "1", tmp_path / "deep" / "folder")
    assert copied == tmp_path / "deep" / "folder" / "model.onnx"
    assert copied.read_bytes() == trained.read_bytes()


async def test_a_version_of_which_nothing_was_said_has_nothing(registry: Registry, model: str, tmp_path: Path) -> None:
    found = await registry.register(model, "1")
    assert (found.digest, found.baseline_digest, found.lineage, found.tags) == (None, None, {}, {})
    with pytest.raises(NotFound, match="no baseline"):
        await registry.baseline(model, "1")
    with pytest.raises(NotFound, match="no artifact"):
        await registry.artifact(model, "1", tmp_path / "into")
    assert await registry.version(model, "1") == found


async def test_an_artifact_replaces_what_was_fetched_before_and_leaves_nothing_aside(
    registry: Registry, model: str, trained: Path, tmp_path: Path
) -> None:
    await registry.register(model, "1", artifact=trained)
    into = tmp_path / "into"
    into.mkdir()
    (into / "model.onnx").write_bytes(b"older")
    await asyncio.gather(*(registry.artifact(model, "1", into) for _ in range(3)))
    assert [(file.name, file.read_bytes()) for file in into.iterdir()] == [("model.onnx", trained.read_bytes())]


async def test_versions_come_oldest_first(registry: Registry, model: str) -> None:
    for version in ("1", "2", "3"):
        await registry.register(model, version, tags={"number": version})
    versions = await registry.versions(model)
    assert [(found.version, found.tags["number"]) for found in versions] == [("1", "1"), ("2", "2"), ("3", "3")]


async def test_aliases_move_and_lead_to_versions(registry: Registry, model: str) -> None:
    await registry.register(model, "1")
    await registry.register(model, "2")
    assert await registry.aliases(model) == {}
    for alias, version in (("champion", "1"), ("challenger", "2"), ("champion", "2"), ("champion", "2")):
        await registry.set_alias(model, alias, version)
    assert await registry.aliases(model) == {"champion": "2", "challenger": "2"}
    assert (await registry.by_alias(model, "champion")).version == "2"


async def test_tags_are_added_and_replaced_and_the_rest_stays(registry: Registry, model: str, trained: Path) -> None:
    made = await registry.register(model, "1", artifact=trained, lineage={"data": "s3"}, tags={"a": "1", "b": "2"})
    changed = await registry.set_tags(model, "1", {"b": "3", "sidecar.reason": "long " * 400})
    assert changed.tags == {"a": "1", "b": "3", "sidecar.reason": "long " * 400}
    assert await registry.version(model, "1") == changed
    assert (changed.lineage, changed.digest) == ({"data": "s3"}, made.digest)
    assert await registry.set_tags(model, "1", {}) == changed


async def test_a_baseline_may_be_put_later_and_replaced(registry: Registry, model: str) -> None:
    await registry.register(model, "1", baseline=baseline_of([0.5]))
    await registry.register(model, "2")
    for version, values in (("2", [1.5]), ("2", [2.5, 3.5]), ("1", [4.5])):
        baseline = baseline_of(values)
        assert (await registry.put_baseline(model, version, baseline)).baseline_digest == baseline.digest
        assert await registry.baseline(model, version) == baseline
    assert await registry.baseline(model, "2") == baseline_of([2.5, 3.5])


async def test_a_baseline_of_another_version_is_refused(registry: Registry, model: str) -> None:
    await registry.register(model, "1")
    for named in (named_for(baseline_of([1.5]), model, "4"), named_for(baseline_of([1.5]), "other", "1")):
        with pytest.raises(InvalidDocument, match="the baseline is one of"):
            await registry.put_baseline(model, "1", named)
    with pytest.raises(InvalidDocument, match="the baseline is one of"):
        await registry.register(model, "2", baseline=named_for(baseline_of([1.5]), model, "4"))
    assert [version.version for version in await registry.versions(model)] == ["1"]
    await registry.put_baseline(model, "1", named_for(baseline_of([1.5]), model, "1"))


async def test_a_version_is_registered_once(registry: Registry, model: str, trained: Path) -> None:
    before = await registry.register(model, "1", artifact=trained)
    with pytest.raises(AlreadyExists, match=f"{model}/1"):
        await registry.register(model, "1", tags={"a": "b"})
    assert await registry.versions(model) == (before,)


async def test_of_many_who_register_one_version_one_wins(registry: Registry, model: str) -> None:
    outcomes = await asyncio.gather(
        *(registry.register(model, "1", tags={"by": str(n)}) for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 3, outcomes
    assert [version.version for version in await registry.versions(model)] == ["1"]


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda registry, model: registry.version("none", "3"), "no model 'none'"),
        (lambda registry, model: registry.versions("none"), "no model 'none'"),
        (lambda registry, model: registry.aliases("none"), "no model 'none'"),
        (lambda registry, model: registry.by_alias("none", "champion"), "no model 'none'"),
        (lambda registry, model: registry.set_alias("none", "champion", "1"), "no model 'none'"),
        (lambda registry, model: registry.version(model, "9"), "no version '9'"),
        (lambda registry, model: registry.by_alias(model, "champion"), "no alias 'champion'"),
        (lambda registry, model: registry.set_alias(model, "champion", "9"), "no version '9'"),
        (lambda registry, model: registry.set_tags(model, "9", {"a": "b"}), "no version '9'"),
        (lambda registry, model: registry.set_tags(model, "9", {}), "no version '9'"),
        (lambda registry, model: registry.baseline(model, "9"), "no version '9'"),
        (lambda registry, model: registry.put_baseline(model, "9", baseline_of([1.5])), "no version '9'"),
        (lambda registry, model: registry.artifact(model, "9", Path("into")), "no version '9'"),
        (lambda registry, model: registry.register(model, "4", artifact=Path("/no/such/file")), "no artifact"),
    ],
)
async def test_what_is_not_there_is_named(
    registry: Registry,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ask: Callable[[Registry, str], Awaitable[Any]],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    await registry.register(model, "1")
    with pytest.raises(NotFound, match=reason):
        await ask(registry, model)
    assert [version.version for version in await registry.versions(model)] == ["1"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_names_that_could_lead_elsewhere_are_refused(
    registry: Registry, model: str, name: str, tmp_path: Path
) -> None:
    asked: list[Awaitable[Any]] = [
        registry.version(name, "1"),
        registry.versions(name),
        registry.aliases(name),
        registry.by_alias(name, "champion"),
        registry.by_alias(model, name),
        registry.version(model, name or ".."),
        registry.set_alias(model, name, "1"),
        registry.set_alias(name, "champion", "1"),
        registry.set_tags(name, "1", {"a": "b"}),
        registry.baseline(name, "1"),
        registry.put_baseline(name, "1", baseline_of([1.5])),
        registry.artifact(name, "1", tmp_path / "into"),
        registry.register(name, "1"),
        registry.register(model, name or ".."),
    ]
    await registry.register(model, "1")
    for each in asked:
        with pytest.raises(InvalidName):
            await each
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("tags", [{"a": 1}, {1: "a"}, {"a": None}, {"a": "\ud800"}])
async def test_only_texts_become_tags_and_lineage(registry: Registry, model: str, tags: Any) -> None:
    await registry.register(model, "1")
    with pytest.raises(InvalidDocument):
        await registry.set_tags(model, "1", tags)
    with pytest.raises(InvalidDocument):
        await registry.register(model, "2", lineage=tags)
    assert [version.tags for version in await registry.versions(model)] == [{}]


async def test_a_changed_artifact_is_refused_and_not_handed_out(
    registry: Registry, model: str, trained: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    registered = await registry.register(model, "1", artifact=trained)
    stored = tmp_path / "registry"
    if isinstance(registry, MlflowRegistry):
        stored = request.getfixturevalue("mlflow_server").folder / "artifacts"
    found = [path for path in stored.rglob("model.onnx") if path.read_bytes() == trained.read_bytes()]
    for path in found:
        path.write_bytes(b"poison")
    with pytest.raises(DigestMismatch) as caught:
        await registry.artifact(model, "1", tmp_path / "into")
    assert (caught.value.expected, caught.value.found) == (
        registered.digest,
        f"sha256:{sha256(b'poison').hexdigest()}",
    )
    assert list((tmp_path / "into").iterdir()) == []
