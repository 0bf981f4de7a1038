"""Model versions, aliases, artifacts and baselines, with or without the sidecar.

Invariant: importing this package costs a few milliseconds and needs nothing but the standard library; numpy,
msgspec and duckdb are loaded when the first name that needs them is used. It never imports the sidecar.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry_client.access import Access
    from registry_client.baseline import Baseline, FeatureBaseline, from_json, named_for, to_json
    from registry_client.build import build_from_file
    from registry_client.cache import CachedRegistry, CacheLimits, RegistryHealth
    from registry_client.cells import CategoricalCells, NumericCells
    from registry_client.client import Registry, open_registry
    from registry_client.directory import DirectoryRegistry
    from registry_client.errors import (
        AlreadyExists,
        BadColumns,
        DigestMismatch,
        InvalidDocument,
        InvalidName,
        NotFound,
        Refused,
        RegistryError,
        Unreachable,
    )
    from registry_client.from_columns import build_baseline
    from registry_client.log_histogram import LogHistogram
    from registry_client.model import ModelVersion
    from registry_client.summary import Summary, merge, summarise

__all__ = [
    "Access",
    "AlreadyExists",
    "BadColumns",
    "Baseline",
    "CacheLimits",
    "CachedRegistry",
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
    "Refused",
    "Registry",
    "RegistryError",
    "RegistryHealth",
    "Summary",
    "Unreachable",
    "build_baseline",
    "build_from_file",
    "from_json",
    "merge",
    "named_for",
    "open_registry",
    "summarise",
    "to_json",
]

# Numpy alone takes longer to import than everything a caller who only wants an alias needs (PEP 562).
_HOMES = {
    "access": ("Access",),
    "baseline": ("Baseline", "FeatureBaseline", "from_json", "named_for", "to_json"),
    "build": ("build_from_file",),
    "cache": ("CachedRegistry", "CacheLimits", "RegistryHealth"),
    "cells": ("CategoricalCells", "NumericCells"),
    "client": ("Registry", "open_registry"),
    "directory": ("DirectoryRegistry",),
    "errors": (
        "AlreadyExists",
        "BadColumns",
        "DigestMismatch",
        "InvalidDocument",
        "InvalidName",
        "NotFound",
        "Refused",
        "RegistryError",
        "Unreachable",
    ),
    "from_columns": ("build_baseline",),
    "log_histogram": ("LogHistogram",),
    "model": ("ModelVersion",),
    "summary": ("Summary", "merge", "summarise"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load the module of a public name when it is first used."""
    if name not in _HOME_OF:
        message = f"module 'registry_client' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"registry_client.{_HOME_OF[name]}"), name)
