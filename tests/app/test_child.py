"""A child's life, on small programs that do what a test needs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.app.child import Child

Make = Callable[[str], Child]

WAITS = "import signal, sys\nprint('ready', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A child that runs this program; its files are in the working directory of the test."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def one(program: str) -> Child:
        (tmp_path / "program.py").write_text(program, encoding="utf-8")
        return Child("child", "program", [], 0)

    return one


async def file_says(path: str, text: str) -> None:
    async with asyncio.timeout(10):
        while not Path(path).exists() or text not in Path(path).read_text():
            await asyncio.sleep(0.01)


async def test_it_comes_up_and_stops_by_sigterm(make: Make) -> None:
    child = make(WAITS)
    child.start()

    assert await child.came_up()
    assert await child.stop(5) == -signal.SIGTERM


async def test_one_that_ends_before_it_was_ready_is_not_tried_again(make: Make) -> None:
    child = make("import sys\nopen('starts', 'a').write('x')\nsys.exit(2)\n")
    child.start()

    assert not await child.came_up()
    assert child.code == 2
    assert await child.stop(5) == 2
    assert Path("starts").read_text() == "x"


async def test_one_that_was_ready_is_started_again(make: Make) -> None:
    child = make("open('starts', 'a').write('x')\nprint('ready', flush=True)\n")
    child.start()

    await file_says("starts", "xxx")
    await child.stop(5)


async def test_a_stop_does_not_wait_for_the_pause_between_two_starts(make: Make) -> None:
    child = make("print('ready', flush=True)\nopen('ended', 'w').write('x')\n")
    child.start()
    await file_says("ended", "x")

    async with asyncio.timeout(3):
        await child.stop(60)


async def test_a_reload_is_kept_until_it_can_be_heard(make: Make) -> None:
    child = make(
        "import signal, sys, time\n"
        "open('begun', 'w').write('x')\n"
        "while not __import__('os').path.exists('go'): time.sleep(0.01)\n"
        "signal.signal(signal.SIGHUP, lambda *_: open('heard', 'w').write('x'))\n" + WAITS
    )
    child.start()
    await file_says("begun", "x")

    child.reload()  # at this moment the signal would end it
    Path("go").touch()

    await file_says("heard", "x")
    assert child.code is None
    await child.stop(5)


async def test_one_that_does_not_stop_is_killed_in_time(make: Make) -> None:
    child = make("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS)
    child.start()
    await child.came_up()

    assert await child.stop(0.2) == -signal.SIGKILL


async def test_a_kill_is_at_once_and_for_good(make: Make) -> None:
    child = make("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS)
    child.start()
    await child.came_up()

    child.kill()

    assert await child.stop(5) == -signal.SIGKILL


async def test_a_stop_while_it_is_being_made_is_heard(make: Make) -> None:
    child = make(WAITS)
    child.start()

    async with asyncio.timeout(5):
        assert await child.stop(60) in (0, -signal.SIGTERM)


async def test_a_child_that_was_never_started_stops_with_0(make: Make) -> None:
    assert await make(WAITS).stop(5) == 0


async def test_a_file_in_the_working_directory_takes_no_modules_place(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("")
    monkeypatch.delenv("PYTHONPATH")
    Path("json").mkdir()
    Path("json/tool.py").write_text("open('taken over', 'w')\n", encoding="utf-8")
    Path("json/__init__.py").touch()
    child = Child("child", "json.tool", [os.devnull], 0)
    child.start()

    assert not await child.came_up()
    assert not Path("taken over").exists()
    await child.stop(5)
