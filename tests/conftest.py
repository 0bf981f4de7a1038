"""What all tests share: one MLflow server, which takes some seconds to start, and reports that can be passed on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.registry_client.mlflow_server import MlflowServer


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
