from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from registry_client.baseline import Baseline, named_for, to_json
from registry_client.client import Registry
from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidDocument,
    InvalidName,
    NotFound,
    RegistryError,
    Unreachable,
)
from registry_client.from_columns import build_baseline

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def baseline_of(values: list[float]) -> Baseline:
    return build_baseline({"amount": values}, now=NOW)


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


async def test_what_a_crash_leaves_aside_does_no_harm(registry: Registry, root: Path) -> None:
    await registry.register("fraud", "3")
    await registry.set_alias("fraud", "champion", "3")
    (root / "fraud" / ".aside-1").write_text("half an alias fi")
    (root / "fraud" / "versions" / "3" / ".aside-2").write_text("half a vers")
    half = root / "fraud" / "versions" / ".aside-3"
    half.mkdir()
    (half / "model.onnx").write_bytes(b"half a model")
    assert [version.version for version in await registry.versions("fraud")] == ["3"]
    await registry.set_alias("fraud", "champion", "3")
    await registry.set_tags("fraud", "3", {"a": "b"})
    await registry.register("fraud", "4")
    assert await registry.aliases("fraud") == {"champion": "3"}


# Each step runs in a fork of a process that has no threads yet: starting an interpreter a step would take seconds.
KILLS_WRITERS = """
import asyncio, json, os, shutil, sys
from pathlib import Path
from registry_client.directory import DirectoryRegistry

root, steps_done = Path(sys.argv[1]), 0

def dies_at(last, real):
    def step(*arguments, **options):
        global steps_done
        steps_done += 1
        if steps_done == last:
            os._exit(9)
        return real(*arguments, **options)
    return step

async def write(registry):
    await registry.set_alias("fraud", "champion", "4")
    await registry.set_tags("fraud", "3", {"a": "new"})
    await registry.register("fraud", "5")

async def look(registry):
    versions = {version.version: version for version in await registry.versions("fraud")}
    champion = (await registry.by_alias("fraud", "champion")).version
    print(json.dumps([champion, versions["3"].tags["a"], "5" in versions]))
    await registry.set_alias("fraud", "champion", "3")
    await registry.set_tags("fraud", "3", {"a": "old"})
    shutil.rmtree(root / "fraud" / "versions" / "5", ignore_errors=True)
    sys.stdout.flush()

def forked(work, last=0):
    child = os.fork()
    if not child:
        for name in ("fsync", "replace", "rename"):
            setattr(os, name, dies_at(last, getattr(os, name)))
        asyncio.run(work(DirectoryRegistry(root)))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for step in range(1, 100):
    code = forked(write, step)
    if forked(look) or code != 9:
        sys.exit(code)
"""


async def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_state(root: Path) -> None:
    registry = DirectoryRegistry(root)
    for version in ("3", "4"):
        await registry.register("fraud", version, tags={"a": "old"})
    await registry.set_alias("fraud", "champion", "3")
    done = subprocess.run([sys.executable, "-c", KILLS_WRITERS, str(root)], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    states = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    allowed = [("3", "old", False), ("4", "old", False), ("4", "new", False), ("4", "new", True)]
    # Later deaths come further, and each state is met on the way: the steps are really walked through.
    assert states == sorted(states, key=allowed.index)
    assert set(states) == set(allowed)
    assert len(states) > 8


SETS_ALIASES = """
import asyncio, sys
from pathlib import Path
from registry_client.directory import DirectoryRegistry

async def main():
    registry = DirectoryRegistry(Path(sys.argv[1]))
    for number in range(15):
        await registry.set_alias("fraud", f"alias-{sys.argv[2]}-{number}", "3")
        await registry.set_alias("fraud", "champion", "3" if number % 2 else "4")

asyncio.run(main())
"""


async def test_no_alias_is_lost_when_processes_and_threads_write_at_once(root: Path) -> None:
    registry = DirectoryRegistry(root)
    await registry.register("fraud", "3")
    await registry.register("fraud", "4")
    processes = [subprocess.Popen([sys.executable, "-c", SETS_ALIASES, str(root), str(n)]) for n in range(3)]
    await asyncio.gather(*(registry.set_alias("fraud", f"thread-{n}", "3") for n in range(15)))
    while any(process.poll() is None for process in processes):
        for name, version in (await registry.aliases("fraud")).items():
            assert version in {"3", "4"}, name
    assert [process.wait() for process in processes] == [0, 0, 0]
    expected = {f"alias-{process}-{number}" for process in range(3) for number in range(15)}
    expected |= {f"thread-{number}" for number in range(15)} | {"champion"}
    assert set(await registry.aliases("fraud")) == expected


def test_the_folder_registry_has_the_whole_interface() -> None:
    public = {name for name in vars(Registry) if not name.startswith("_")}
    assert public <= set(vars(DirectoryRegistry))
    assert issubclass(Unreachable, RegistryError)


async def test_a_folder_that_hangs_is_waited_for_so_long_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = DirectoryRegistry(tmp_path, call_s=0.05)
    await registry.register("fraud", "1")
    hangs = threading.Event()

    def hanging(*_: object) -> dict[str, str]:
        hangs.wait(20)
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(registry, "_aliases", hanging)
        for _ in range(6):
            with pytest.raises(Unreachable, match=r"did not answer within 0.05 s"):
                await registry.aliases("fraud")
    hangs.set()
    async with asyncio.timeout(10):
        while True:  # what hung ends first
            with contextlib.suppress(Unreachable):
                assert await registry.aliases("fraud") == {}
                break
    await registry.close()
