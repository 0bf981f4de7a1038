"""Model versions, aliases, artifacts and baselines, with or without the sidecar.

Invariant: importing this package costs a few milliseconds and needs nothing but the standard library; numpy,
msgspec and duckdb are loaded when the first name that needs them is used. It never imports the sidecar.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry_client.baseline import Baseline, FeatureBaseline, from_json, named_for, to_json
    from registry_client.build import build_from_file
    from registry_client.cells import CategoricalCells, NumericCells
    from registry_client.client import Registry, open_registry
    from registry_client.directory import DirectoryRegistry
    from registry_client.errors import (
        AlreadyExists,
        DigestMismatch,
        InvalidDocument,
        InvalidName,
        NotFound,
        RegistryError,
        Unreachable,
    )
    from registry_client.from_columns import build_baseline
    from registry_client.log_histogram import LogHistogram
    from registry_client.model import ModelVersion

__all__ = [
    "AlreadyExists",
    "Baseline",
    "CategoricalCells",
    "DigestMismatch",
    "DirectoryRegistry",
    "FeatureBaseline",
    "InvalidDocument",
    "InvalidName",
    "LogHistogram",
    "ModelVersion",
    "NotFound",
    "NumericCells",
    "Registry",
    "RegistryError",
    "Unreachable",
    "build_baseline",
    "build_from_file",
    "from_json",
    "named_for",
    "open_registry",
    "to_json",
]

# Numpy alone takes longer to import than everything a caller who only wants an alias needs (PEP 562).
_HOMES = {
    "baseline": ("Baseline", "FeatureBaseline", "from_json", "named_for", "to_json"),
    "build": ("build_from_file",),
    "cells": ("CategoricalCells", "NumericCells"),
    "client": ("Registry", "open_registry"),
    "directory": ("DirectoryRegistry",),
    "errors": (
        "AlreadyExists",
        "DigestMismatch",
        "InvalidDocument",
        "InvalidName",
        "NotFound",
        "RegistryError",
        "Unreachable",
    ),
    "from_columns": ("build_baseline",),
    "log_histogram": ("LogHistogram",),
    "model": ("ModelVersion",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load the module of a public name when it is first used."""
    if name not in _HOME_OF:
        message = f"module 'registry_client' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"registry_client.{_HOME_OF[name]}"), name)
