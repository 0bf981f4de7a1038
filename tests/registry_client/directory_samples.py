"""What a folder registry is filled with in tests, and a look into it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def baseline_of(values: list[float]) -> Baseline:
    return build_baseline({"amount": values}, now=NOW)
