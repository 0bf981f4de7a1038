"""The folder of the models' sockets: the same at every start, and nobody else's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from sidecar.app.sockets import socket_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_it_is_the_same_at_every_start_and_another_for_another_state(tmp_path: Path, temporary: Path) -> None:
    first, made = socket_folder(tmp_path / "state", tmp_path)

    assert made
    assert socket_folder(tmp_path / "x" / ".." / "state", tmp_path) == (first, False)
    assert first.parent == temporary
    assert first.stat().st_mode & 0o777 == 0o700
    assert first != socket_folder(tmp_path / "other", tmp_path).path


def test_a_path_of_usual_length_leaves_room_for_a_socket(tmp_path: Path) -> None:
    folder = socket_folder(tmp_path, tmp_path).path

    assert len(str(Path("/tmp", folder.name, "m-0123456789ab.sock"))) <= 60  # noqa: S108


@pytest.mark.parametrize("what", ["open to others", "a file", "a link", "no folder to be in"])
def test_what_may_be_somebody_elses_is_not_used(tmp_path: Path, temporary: Path, what: str) -> None:
    folder = socket_folder(tmp_path / "state", tmp_path).path
    if what == "open to others":
        folder.chmod(0o777)
    else:
        folder.rmdir()
    if what == "a file":
        folder.touch()
    if what == "a link":
        folder.symlink_to(tmp_path)
    if what == "no folder to be in":
        temporary.rmdir()

    assert socket_folder(tmp_path / "state", tmp_path / "otherwise") == (tmp_path / "otherwise", False)
