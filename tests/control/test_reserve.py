from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sidecar.control.reserve import FILE_NAME, Reserve

SIZE = 1 << 20


def allocated(folder: Path) -> int:
    return (folder / FILE_NAME).stat().st_blocks * 512


def test_the_space_is_really_taken_given_back_and_taken_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, SIZE)
    assert (reserve.held_bytes, reserve.whole, reserve.give_back()) == (0, False, False)
    reserve.refill()
    assert (reserve.held_bytes, reserve.whole, reserve.spent) == (SIZE, True, False)
    assert allocated(tmp_path) >= SIZE
    assert reserve.give_back()
    assert (reserve.held_bytes, reserve.spent, allocated(tmp_path)) == (0, True, 0)
    assert not reserve.give_back()
    reserve.refill()
    assert (reserve.whole, reserve.spent) == (True, False)


def test_a_reserve_of_an_earlier_run_is_taken_up(tmp_path: Path) -> None:
    Reserve(tmp_path, SIZE).refill()
    reserve = Reserve(tmp_path, SIZE)
    reserve.refill()
    assert reserve.whole
    assert reserve.give_back()


def test_on_a_disk_that_is_nearly_full_it_takes_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room = SIZE // 4

    def allocate(descriptor: int, offset: int, length: int) -> None:
        os.ftruncate(descriptor, min(length, room))
        if length > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    reserve = Reserve(tmp_path, SIZE)
    reserve.refill()
    assert (reserve.held_bytes, reserve.whole) == (SIZE // 4, False)
    room = SIZE // 2
    reserve.refill()
    assert reserve.held_bytes == SIZE // 2
    room = 0
    reserve.refill()
    assert (reserve.held_bytes, (tmp_path / FILE_NAME).stat().st_size) == (SIZE // 2, SIZE // 2)
    assert caplog.records == []
    assert reserve.give_back()
    reserve.refill()
    reserve.refill()
    assert [record.message for record in caplog.records] == ["no space is kept for a rollback on a full disk"]


def test_where_there_can_be_no_file_it_says_so_once_and_holds_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).mkdir()
    reserve = Reserve(tmp_path, SIZE)
    reserve.refill()
    reserve.refill()
    assert (reserve.held_bytes, reserve.give_back(), len(caplog.records)) == (0, False, 1)


def test_one_that_vanished_is_not_given_back(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, SIZE)
    reserve.refill()
    (tmp_path / FILE_NAME).unlink()
    assert not reserve.give_back()
