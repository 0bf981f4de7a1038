"""The code that docs/baseline.md shows does what the page says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry_client import Baseline, build_baseline

PAGE = (Path(__file__).parents[2] / "docs" / "baseline.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def code(wanted: str) -> str:
    """The one block of Python on the page with these words in it."""
    (block,) = (block for block in re.findall(r"```python[^\n]*\n(.*?)```", PAGE, re.DOTALL) if wanted in block)
    return str(block)


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The page's training set, in the folder that the code runs in."""
    rng = np.random.default_rng(2)
    score = rng.random(600)
    frame = pd.DataFrame(
        {
            "booked_at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(600), unit="h"),
            "amount": rng.lognormal(3, 1, 600),
            "country": rng.choice(["DE", "FR"], 600),
            "score": score,
            "fraud": (rng.random(600) < score).astype(int),
        }
    )
    frame.to_parquet(tmp_path / "training.parquet")
    monkeypatch.chdir(tmp_path)
    return frame


def expected(training: pd.DataFrame) -> Baseline:
    return build_baseline(training, time="booked_at", name="training", now=NOW)


@pytest.mark.usefixtures("training")
def test_the_notebook_builds_from_every_kind_of_table(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}

    exec(compile(code("# polars"), "page", "exec"), names)  # noqa: S102  # our own page

    assert [feature.name for feature in names["baseline"].features] == ["amount", "country"]
    assert names["baseline"].digest in capsys.readouterr().out


def test_rays_two_steps_give_the_baseline_of_the_whole(
    training: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.parquet")
        training.iloc[number * 200 : (number + 1) * 200].to_parquet(paths[-1])
    at_once = SimpleNamespace(remote=lambda task: SimpleNamespace(remote=task), get=list)
    monkeypatch.setitem(sys.modules, "ray", at_once)
    names: dict[str, Any] = {"paths": paths, "now": NOW}

    exec(compile(code("@ray.remote"), "page", "exec"), names)  # noqa: S102  # our own page

    assert names["baseline"].features == expected(training).features


def test_sparks_two_steps_give_the_baseline_of_the_whole_even_with_an_empty_partition(training: pd.DataFrame) -> None:
    @dataclass
    class Spark:
        """`mapInPandas` of one machine: partitions of frames, each of any number of rows."""

        partitions: list[list[pd.DataFrame]]

        def mapInPandas(self, function: Any, schema: str) -> Any:  # noqa: N802  # Spark's name
            assert schema == "part binary"
            rows = [row for frames in self.partitions for made in function(iter(frames)) for row in rows_of(made)]
            return SimpleNamespace(collect=lambda: rows)

    def rows_of(made: pd.DataFrame) -> Iterator[Any]:
        return (SimpleNamespace(part=bytearray(part)) for part in made["part"])

    frames = [training.iloc[:100], training.iloc[100:100], training.iloc[100:350]]
    names: dict[str, Any] = {"training": Spark([frames, [], [training.iloc[350:]]]), "now": NOW}

    exec(compile(code("mapInPandas"), "page", "exec"), names)  # noqa: S102  # our own page

    assert names["baseline"] == expected(training)
