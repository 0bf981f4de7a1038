from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

import registry_client

MODULES = (
    "access",
    "answer_forms",
    "arrow_rows",
    "asking",
    "asking_pace",
    "baseline",
    "build",
    "cache",
    "calibration",
    "cells",
    "client",
    "column",
    "column_summary",
    "csv_rows",
    "data_files",
    "directory",
    "file_batches",
    "fine_cells",
    "from_columns",
    "given",
    "kept_answers",
    "kept_artifacts",
    "last_known",
    "log_histogram",
    "mlflow_documents",
    "model",
    "natural_variation",
    "rows",
    "summary",
    "summary_bytes",
    "table_summary",
    "text_counts",
    "time_blocks",
    "value_rows",
    "webhook",
)


def _loaded_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    return {name.partition(".")[0] for name in printed.split()}


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert not _loaded_by("import registry_client") & {"numpy", "msgspec", "duckdb", "asyncio", "sidecar"}


def test_the_whole_package_loads_neither_the_sidecar_nor_duckdb() -> None:
    statement = "import " + ", ".join(f"registry_client.{name}" for name in MODULES)
    assert not _loaded_by(statement) & {"sidecar", "duckdb", "pandas", "polars", "pyarrow", "aiohttp"}


def test_every_public_name_can_be_had() -> None:
    missing = [name for name in registry_client.__all__ if getattr(registry_client, name, None) is None]
    assert missing == []
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = registry_client.no_such_name


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(import_module(f"registry_client.{name}")).failed == 0


@pytest.mark.parametrize("name", ["column", "cells", "from_columns", "log_histogram"])
def test_documented_modules_have_examples(name: str) -> None:
    assert doctest.testmod(import_module(f"registry_client.{name}")).attempted > 0
