"""A process as the kernel sees it: this one, a child, and one that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from bench import process


def test_cpu_time_grows_with_work() -> None:
    before = process.cpu_s(os.getpid())
    while process.cpu_s(os.getpid()) < before + 0.03:
        sum(range(10_000))
    assert process.cpu_s(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.1)


def test_open_files_are_counted() -> None:
    before = process.open_files(os.getpid())
    read, write = os.pipe()
    assert process.open_files(os.getpid()) == before + 2
    os.close(read)
    os.close(write)


def test_a_child_is_listed_measured_pinned_and_stopped() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert "import sys" in process.children(os.getpid())[child.pid]
        assert process.resident_bytes(child.pid) > 1 << 20
        core = min(os.sched_getaffinity(0))
        process.pin(child.pid, core)
        assert os.sched_getaffinity(child.pid) == {core}
    finally:
        process.stop(child)
    assert child.returncode is not None


@pytest.mark.parametrize(
    "look",
    [process.cpu_s, process.resident_bytes, process.open_files, process.children, lambda pid: process.pin(pid, 0)],
)
def test_a_process_that_ended_is_gone(look: Callable[[int], object]) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(process.Gone):
        look(child.pid)
