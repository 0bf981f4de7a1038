"""A child's life, on small programs that do what a test needs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.app.child import FIRST_WAIT_S, SETTLED_S, Child, Patience
from sidecar.decide.model_servers import LONGEST_LINE_BYTES

Make = Callable[..., Child]

WAITS = "import signal, sys\nprint('ready', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A child that runs this program; its files are in the working directory of the test."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def one(program: str, **more: Any) -> Child:
        (tmp_path / "program.py").write_text(program, encoding="utf-8")
        return Child("child", "program", [], 0, **more)

    return one


async def file_says(path: str, text: str) -> None:
    async with asyncio.timeout(60):
        while not Path(path).exists() or text not in Path(path).read_text():
            await asyncio.sleep(0.01)


async def test_it_comes_up_and_stops_by_sigterm(make: Make) -> None:
    child = make(WAITS)
    child.start()

    assert await child.came_up()
    assert await child.stop(30) == -signal.SIGTERM


async def test_one_that_ends_before_it_was_ready_is_not_tried_again(make: Make) -> None:
    child = make("import sys\nopen('starts', 'a').write('x')\nsys.exit(2)\n")
    child.start()

    assert not await child.came_up()
    assert child.code == 2
    assert await child.stop(30) == 2
    assert Path("starts").read_text() == "x"


async def test_one_that_was_ready_is_started_again(make: Make) -> None:
    child = make("open('starts', 'a').write('x')\nprint('ready', flush=True)\n")
    child.start()

    await file_says("starts", "xxx")
    await child.stop(30)


async def test_a_stop_does_not_wait_for_the_pause_between_two_starts(make: Make) -> None:
    child = make("print('ready', flush=True)\nopen('ended', 'w').write('x')\n")
    child.start()
    await file_says("ended", "x")

    async with asyncio.timeout(30):
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
    await child.stop(30)


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

    assert await child.stop(30) == -signal.SIGKILL


async def test_a_stop_while_it_is_being_made_is_heard(make: Make) -> None:
    child = make(WAITS)
    child.start()

    async with asyncio.timeout(30):
        assert await child.stop(60) in (0, -signal.SIGTERM)


async def test_a_child_that_was_never_started_stops_with_0(make: Make) -> None:
    assert await make(WAITS).stop(30) == 0


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
    await child.stop(30)


async def test_with_patience_one_that_was_never_ready_is_started_again(make: Make) -> None:
    ends: list[int] = []
    child = make(
        "import sys\nopen('starts', 'a').write('x')\nsys.exit(2)\n",
        patience=Patience(unready_s=0.01, unready_longest_s=0.02),
        ended=ends.append,
    )
    child.start()

    await file_says("starts", "xxx")
    await child.stop(30)
    assert set(ends) == {2}


@pytest.mark.parametrize(
    ("ready", "lived_s", "waits_s"),
    [
        (False, 1.0, [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]),
        (False, SETTLED_S + 1, [5.0, 10.0, 20.0]),  # it took its time to fail
        (True, 1.0, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]),
        (True, SETTLED_S + 1, [FIRST_WAIT_S, FIRST_WAIT_S]),
    ],
)
def test_a_model_that_crashes_again_and_again_is_started_ever_more_seldom(
    ready: bool, lived_s: float, waits_s: list[float]
) -> None:
    patience = Patience(longest_s=30.0, unready_s=5.0, unready_longest_s=60.0)
    seen, wait_s = [], FIRST_WAIT_S
    for _ in waits_s:
        wait_s = patience.wait_s(wait_s, lived_s, ready=ready)
        seen.append(wait_s)

    assert seen == pytest.approx(waits_s)


async def test_each_line_that_it_says_is_heard_and_one_without_end_harms_nothing(make: Make) -> None:
    heard: list[bytes] = []
    child = make(
        f"print('x' * {LONGEST_LINE_BYTES * 3}, flush=True)\nprint('{{}}', flush=True)\n" + WAITS, heard=heard.append
    )
    child.start()

    assert await child.came_up()
    assert heard[-2:] == [b"{}\n", b"ready\n"]
    await child.stop(30)


async def test_it_gets_no_other_environment_than_it_is_given(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_TEST_SECRET", "hunter2")
    child = make(
        "import os\nopen('environment', 'w').write(repr(sorted(os.environ)) + 'end')\n" + WAITS,
        environment={"PYTHONPATH": str(tmp_path), "LANG": "C.UTF-8"},
    )
    child.start()
    await file_says("environment", "end")

    assert "SECRET" not in Path("environment").read_text()
    assert "PYTHONPATH" in Path("environment").read_text()
    await child.stop(30)
