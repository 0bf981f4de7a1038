from __future__ import annotations

import io
import os
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from registry_client.confined_files import confined, copy_checked, locked, opened, read_bounded, write_atomic
from registry_client.errors import DigestMismatch, InvalidDocument, InvalidName, NotFound, Unreachable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = (tmp_path / "root").resolve()
    folder.mkdir()
    return folder


@pytest.mark.parametrize("inside", ["a", "a/b", "a/../b", "."])
def test_paths_below_the_root_are_let_through(root: Path, inside: str) -> None:
    assert confined(root, root / inside).is_relative_to(root)


@pytest.mark.parametrize("outside", ["..", "../root2", "a/../../x", "/etc/passwd"])
def test_paths_out_of_the_root_are_refused(root: Path, outside: str) -> None:
    with pytest.raises(InvalidName):
        confined(root, root / outside)


def test_links_are_followed_before_judging(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "circle").symlink_to(root / "circle")
    (root / "in").symlink_to(root / "file")
    (root / "file").write_text("fine")
    for name in ("out", "circle"):
        with pytest.raises(InvalidName):
            read_bounded(root, root / name, 100)
    assert read_bounded(root, root / "in", 100) == b"fine"


def test_reading_is_bounded(root: Path) -> None:
    (root / "file").write_bytes(b"12345")
    assert read_bounded(root, root / "file", 5) == b"12345"
    with pytest.raises(InvalidDocument, match="larger than 4"):
        read_bounded(root, root / "file", 4)


def test_pipes_and_folders_are_no_files(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(InvalidDocument, match="regular"), opened(root, root / name):
            pass
    with pytest.raises(NotFound), opened(root, root / "none"):
        pass


def test_a_write_replaces_and_leaves_nothing_aside(root: Path) -> None:
    write_atomic(root / "file", b"old")
    write_atomic(root / "file", b"new")
    assert [(entry.name, entry.read_bytes()) for entry in root.iterdir()] == [("file", b"new")]


def test_a_write_that_fails_leaves_the_old_content(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(root / "file", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unreachable, match="No space left"):
        write_atomic(root / "file", b"new")
    assert [(entry.name, entry.read_bytes()) for entry in root.iterdir()] == [("file", b"old")]


def test_a_copy_of_a_wrong_digest_never_gets_its_name(root: Path) -> None:
    right = f"sha256:{sha256(b'model').hexdigest()}"
    with pytest.raises(DigestMismatch) as caught:
        copy_checked(io.BytesIO(b"other"), root / "model", expected=right, subject="the model")
    assert caught.value.expected == right
    assert right in str(caught.value)
    assert caught.value.found in str(caught.value)
    assert list(root.iterdir()) == []
    assert copy_checked(io.BytesIO(b"model"), root / "model", expected=right, subject="the model") == right


def test_a_lock_that_stays_taken_is_given_up(root: Path) -> None:
    with (
        locked(root / ".lock", 0.0),
        pytest.raises(Unreachable, match="another process"),
        locked(root / ".lock", 0.03),
    ):
        pass
    with locked(root / ".lock", 0.0):
        pass


def test_a_lock_keeps_threads_apart(root: Path) -> None:
    inside: list[int] = []
    overlaps: list[int] = []

    def work() -> None:
        for _ in range(20):
            with locked(root / ".lock", 10.0):
                inside.append(1)
                overlaps.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 80
