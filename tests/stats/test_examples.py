from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import sidecar.stats

MODULES = [module.name for module in pkgutil.iter_modules(sidecar.stats.__path__, "sidecar.stats.")]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_a_docstring_runs(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    if name != "sidecar.stats.units":  # a table
        assert result.attempted > 0, f"{name} has no example"
