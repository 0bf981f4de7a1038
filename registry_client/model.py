"""What a registry knows about one version of a model.

Invariant: frozen; times are aware and in UTC, digests are `sha256:<hex>`. Made by the registries, read by
everyone; it holds no bytes and does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version.

    `digest` is that of the artifact, None where none was registered; `lineage` says which data, code, parameters,
    scores and person made the version; `tags` are notes that may change; `baseline_digest` names the baseline
    stored beside it, None where there is none.
    """

    model: str
    version: str
    created_at: datetime
    digest: str | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    baseline_digest: str | None = None

    def __post_init__(self) -> None:
        if self.created_at.utcoffset() is None:
            raise ValueError(f"created_at of {self.model}/{self.version} must carry a time zone")
        # A caller's dictionary must not change the version afterwards.
        object.__setattr__(self, "lineage", MappingProxyType(dict(self.lineage)))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
