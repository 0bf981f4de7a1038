"""What all tests share: an order, one MLflow server, which takes some seconds to start, and reports to be passed on.

Generated examples are the same each time and have all the time they need: what fails here fails everywhere.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.registry_client.mlflow_server import MlflowServer

# As in the product: several threads of a matrix product wait for each other by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
# Files that take longest, as measured.
LONGEST = (
    "chaos/test_random_kills.py", "chaos/test_kill_points.py", "chaos/test_own_faults.py", "chaos/test_crowds.py",
    "chaos/test_ends.py", "process/test_managed_models.py", "process/test_schemathesis.py",
    "peers/test_mlflow_scoring.py", "process/test_demo.py", "process/test_following.py",
    "process/test_children_die.py", "stats/test_naming.py", "observe/test_watched_column.py",
)  # fmt: skip
# Folders whose tests start whole processes.
PROCESSES = frozenset({"chaos", "peers", "process"})


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.parent.name in PROCESSES:
        item.add_marker(pytest.mark.process)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those of whole processes, then those of few tests: in the end nobody waits long."""

    def starts_processes(item: pytest.Item) -> bool:
        return bool(item.get_closest_marker("process")) or "mlflow_server" in getattr(item, "fixturenames", ())

    def place(path: Path) -> int:
        name = f"{path.parent.name}/{path.name}"
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    tests = Counter(item.path for item in items)
    processes = {item.path for item in items if starts_processes(item)}
    items.sort(key=lambda item: (place(item.path), item.path not in processes, tests[item.path], item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hostile text stands in captured logs, too; what is no Unicode cannot go from one test process to another."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    from tests.registry_client.mlflow_server import mlflow_server as started

    with started(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
