from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import pytest

from registry_client.model import ModelVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_version_needs_an_aware_time() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ModelVersion("fraud", "3", NOW.replace(tzinfo=None))


def test_a_version_does_not_change_with_the_mappings_it_was_made_from() -> None:
    lineage = {"data": "2026-01"}
    version = ModelVersion("fraud", "3", NOW, lineage=lineage)
    lineage["data"] = "other"
    assert version.lineage["data"] == "2026-01"
    with pytest.raises(TypeError):
        cast("dict[str, str]", version.lineage)["data"] = "other"
