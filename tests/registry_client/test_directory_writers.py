"""Writers of a folder registry that are killed at any step, meet each other, or hang."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from registry_client.client import Registry
from registry_client.directory import DirectoryRegistry
from registry_client.errors import (
    Unreachable,
)
from tests.registry_client.directory_samples import NOW


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path) -> DirectoryRegistry:
    times = (NOW + timedelta(minutes=minute) for minute in range(1_000))
    return DirectoryRegistry(root, clock=lambda: next(times), lock_wait_s=10.0)


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


async def test_a_folder_that_hangs_is_waited_for_so_long_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await DirectoryRegistry(tmp_path).register("fraud", "1")
    registry = DirectoryRegistry(tmp_path, call_s=0.05)
    hangs = threading.Event()

    def hanging(*_: object) -> dict[str, str]:
        hangs.wait(60)
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(registry, "_aliases", hanging)
        for _ in range(6):
            with pytest.raises(Unreachable, match=r"did not answer within 0.05 s"):
                await registry.aliases("fraud")
    hangs.set()
    async with asyncio.timeout(60):
        while True:  # what hung ends first
            with contextlib.suppress(Unreachable):
                assert await registry.aliases("fraud") == {}
                break
    await registry.close()
