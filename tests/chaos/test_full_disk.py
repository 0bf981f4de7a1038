"""R-F16 for the verbs: a rollback is done on a full disk and on one that takes nothing, a promotion is refused.

The full disk is a small file system in memory, where one may be mounted. Elsewhere, and for the disk that takes
nothing, control's files may not grow (RLIMIT_FSIZE): every write fails, from outside, and can be allowed again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.killed_control import ONE, Killed, killed_control
from tests.process.whole_sidecar import Callers, until

OTHER = {"3": "4", "4": "3"}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 24 MiB at `folder`; false where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """To the last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 512, 1):
            fill(file.fileno(), b"\0" * size)
    try:
        yield
    finally:
        filler.unlink()


def fill(descriptor: int, block: bytes) -> None:
    try:
        while True:
            os.write(descriptor, block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextlib.contextmanager
def takes_nothing(control: Killed) -> Iterator[None]:
    """No file of control's may be written to."""
    soft, hard = resource.prlimit(control.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(control.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(control.pid, resource.RLIMIT_FSIZE, (soft, hard))


Stage = tuple[Killed, bool]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Control after a promotion, and whether its disk is one that can be filled."""
    with small_disk(tmp_path / "state") as real, killed_control(tmp_path, traffic=True) as control:
        promoted = control.call(f"{ONE}/promote", {"challenger": "4", "reason": "better by far"})
        assert promoted is not None
        assert promoted.status == 200, promoted
        yield control, real


def champion(control: Killed) -> str:
    return str(control.get(ONE)["champion"]["version"])


def metric(control: Killed, name: str) -> float:
    page = control.text("/metrics")
    return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"{name} "))


def test_on_a_full_disk_a_rollback_is_done_and_recorded_and_a_promotion_refused(stage: Stage) -> None:
    control, real = stage
    full: Callable[[], contextlib.AbstractContextManager[None]] = (
        (lambda: filled(control.state_dir)) if real else (lambda: takes_nothing(control))
    )
    away = control.folder / "registry-away"
    until("the registry was told", lambda: control.alias() == "4", 60)
    with Callers(control.data, 1) as callers:
        callers.more(20)
        with full():
            (control.folder / "registry").rename(away)
            entries = control.get("/v1/audit/verify")["entries"]
            for turn, target in enumerate(("3", "4", "3"), 1):
                done = control.call(f"{ONE}/rollback", {"reason": "it hurts"}, f"key-{turn}")
                assert done is not None
                assert (done.status, done.document["to"]) == (200, target), done
                until("that callers see it", lambda target=target: control.served() == target)  # type: ignore[misc]
                assert champion(control) == target
                if real:
                    assert done.document["audit_seq"] == entries + turn, done
                    assert "unrecorded" not in done.document
                again = control.call(f"{ONE}/rollback", {"reason": "it hurts"}, f"key-{turn}")
                assert again is not None
                assert again.document["generation"] == done.document["generation"]
            refused = control.call(f"{ONE}/promote", {"challenger": "4", "reason": "in vain"})
            assert refused is not None
            if not real:
                assert refused.status == 503, refused
            elif refused.status != 200:
                # A few pages may be free in the log that is written to: then there is no reason to refuse.
                assert (refused.status, "full" in refused.document["detail"]) == (503, True), refused
        away.rename(control.folder / "registry")
        until("all of it is recorded", lambda: metric(control, "sidecar_unrecorded_transitions") == 0)
        until("the reserve is whole again", lambda: metric(control, "sidecar_reserve_bytes") == 4 << 20)
        check = control.get("/v1/audit/verify")
        assert check["ok"], check
        assert check["entries"] == entries + 3 + (refused.status == 200)
        now = champion(control)
        until("the registry was told", lambda: control.alias() == now, 60)
        callers.more(20)
    assert (callers.faults, callers.statuses) == ([], {200})


def test_where_nothing_can_be_written_a_rollback_serves_and_says_so_and_is_recorded_later(stage: Stage) -> None:
    control, _ = stage
    with takes_nothing(control):
        done = control.call(f"{ONE}/rollback", {"reason": "it hurts"}, "the key")
        assert done is not None
        assert (done.status, done.document["to"], done.document["audit_seq"]) == (200, "3", None), done
        assert "is recorded as soon as that works" in done.document["unrecorded"]
        assert control.served() == "3"
        status = control.get(ONE)
        assert (status["champion"]["version"], status["unrecorded"]) == ("3", done.document["unrecorded"])
        assert "does not have yet" in control.get("/readyz")["says"]
        assert metric(control, "sidecar_unrecorded_transitions") == 1
        again = control.call(f"{ONE}/rollback", {"reason": "it hurts"}, "the key")
        assert again is not None
        assert again.document["generation"] == done.document["generation"]
        refused = control.call(f"{ONE}/promote", {"challenger": "4", "reason": "in vain"})
        assert refused is not None
        assert (refused.status, "does not have yet" in refused.document["detail"]) == (503, True), refused
    until("it is recorded", lambda: control.get(ONE)["unrecorded"] is None)
    entry = control.get("/v1/audit")["entries"][-1]
    assert (entry["action"], entry["to"], "recorded_at" in entry["details"]) == ("rollback", "3", True)
    check = control.get("/v1/audit/verify")
    assert (check["ok"], check["entries"]) == (True, 3)
    assert "says" not in control.get("/readyz")
    until("the registry was told", lambda: control.alias() == "3", 60)


def test_a_rollback_that_is_not_recorded_yet_outlives_control(stage: Stage) -> None:
    """Control dies and starts again while the disk is full and the reserve is gone; the note is on another disk."""
    control, real = stage
    lives = control.lives
    with contextlib.ExitStack() as full:
        if real:
            # What another program takes the moment the reserve gives it back.
            os.truncate(control.state_dir / "reserve", 0)
            full.enter_context(filled(control.state_dir))
        else:
            full.enter_context(takes_nothing(control))
        done = control.call(f"{ONE}/rollback", {"reason": "it hurts"})
        assert done is not None
        assert (done.status, done.document["audit_seq"]) == (200, None), done
        note = control.folder / "sockets" / "unrecorded.msgpack"
        assert note.exists() == real
        control.kill()
        until("another control", lambda: control.lives > lives, 60)
        control.up()
        if real:
            assert champion(control) == "3"
            until("every worker routes", control.ready, 60)
            assert control.served() == "3"
            assert metric(control, "sidecar_unrecorded_transitions") == 1
    if real:
        until("it is recorded", lambda: control.get("/v1/audit/verify")["entries"] == 3)
        assert champion(control) == "3"
        until("the note is gone", lambda: not note.exists())
    assert control.get("/v1/audit/verify")["ok"]
    until("every worker routes", control.ready, 60)
    assert control.served() == champion(control)
