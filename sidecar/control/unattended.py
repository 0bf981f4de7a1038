"""What a controller takes for granted where nobody is there to ask or to tell: no registry, no approvals, no evidence.

Called by: `controller`, as the defaults of what it is made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.control.store import Delivery
from sidecar.decide.approvals import Agreed
from sidecar.decide.promotion import Plan
from sidecar.reports import GateTable


def no_deliveries(plan: Plan) -> tuple[Delivery, ...]:
    """Nobody has to be told."""
    del plan
    return ()


def unknown_lineage(name: str, version: str) -> Mapping[str, str]:
    """No registry says anything."""
    del name, version
    return {}


def unknown_basis(table: GateTable) -> Mapping[str, Any]:
    """Nobody has kept what the table was made from."""
    del table
    return {}


def nobody_asked(table: GateTable, reviewed: str | None) -> Agreed | None:
    """Nobody has to agree, and nobody knows what was read before."""
    del table, reviewed
    return None


async def settled_at_once() -> None:
    """Nobody has to be waited for."""
