"""What made each version, side by side: the dashboard's table of lineage.

Keeps: what people ask for first comes first (data, code, who), then scores, parameters and the rest; a field that
differs between the versions is marked; however much a registry knows, the table stays short. Pure. Called by
`dashboard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.standing import DeploymentStatus

_FIRST = ("data", "code", "approved_by", "created_by", "run")
_GROUPS = ("metrics.", "params.")
_ROWS = 60


class LineageRow(NamedTuple):
    """One field; a version without it has None."""

    name: str
    values: tuple[str | None, ...]
    differs: bool


class LineageView(NamedTuple):
    """The versions that the registry knows something of, champion first, and `more` fields that are left out."""

    versions: tuple[str, ...]
    rows: tuple[LineageRow, ...]
    more: int


def lineage_view(status: DeploymentStatus) -> LineageView:
    """All that is known of how the versions of a deployment were made."""
    known = {version: told for version, told in status.lineage.items() if told}
    names = sorted({name for told in known.values() for name in told}, key=_rank)
    rows = []
    for name in names[:_ROWS]:
        values = tuple(told.get(name) for told in known.values())
        rows.append(LineageRow(name, values, differs=len(set(values)) > 1))
    return LineageView(tuple(known), tuple(rows), max(0, len(names) - _ROWS))


def headline(told: Mapping[str, str]) -> list[tuple[str, str]]:
    """The few fields that stand on a version's card."""
    return [(name.replace("_", " "), told[name]) for name in _FIRST[:4] if told.get(name, "").strip()]


def _rank(name: str) -> tuple[int, str]:
    if name in _FIRST:
        return _FIRST.index(name), name
    for number, group in enumerate(_GROUPS):
        if name.startswith(group):
            return len(_FIRST) + number, name
    return len(_FIRST) + len(_GROUPS), name
