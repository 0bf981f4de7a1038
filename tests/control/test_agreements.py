"""Approvals that a canary began on do not grow old while it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from sidecar.config_gates import Gates
from sidecar.control.agreements import Agreements
from sidecar.control.turns import Turns
from sidecar.decide.approvals import APPROVE
from sidecar.decide.audit_chain import EMPTY, Deed, seal
from sidecar.decide.gates import judge
from tests.control.live_samples import deployment
from tests.decide.decide_samples import NOW, evidence

if TYPE_CHECKING:
    from sidecar.control.store import Store

GATES = Gates.model_validate({"approvals": {"min": 1, "valid_s": 100.0}})


async def _nothing() -> None:
    """Nobody is to be told."""


@pytest.mark.parametrize(
    ("since", "now", "counts"),
    [
        (None, NOW + 99, True),
        (None, NOW + 101, False),
        (NOW + 99, NOW + 5_000, True),
        (NOW + 101, NOW + 5_000, False),  # it was too old when the canary began
        (NOW - 10, NOW + 50, True),  # given while it is one
        (NOW - 10, NOW + 5_000, False),  # such a one grows old as any
        (NOW - 5_000, NOW + 50, True),  # and counts however long it has been one
    ],
)
def test_what_held_when_it_began_holds(since: float | None, now: float, counts: bool) -> None:
    agreements = Agreements(
        cast("Store", None),  # nothing is written
        Turns(_nothing, _nothing),
        deployments=lambda: {"fraud": deployment(gates={"approvals": {"min": 1, "valid_s": 100.0}})},
        clock=lambda: now,
        canary_since=lambda _name, _challenger: since,
    )
    seen = evidence()
    table = judge(GATES, seen, NOW)
    agreements.seen(table, seen, GATES, 5)
    grounds = agreements.agreed(table, None)
    assert grounds is not None
    details = msgspec.json.encode({"grounds": grounds.grounds}).decode()
    deed = Deed(
        at=NOW, actor="bob", action=APPROVE, deployment="fraud", from_version="3", to_version="4", reason="looks fine",
        evidence=table.evidence, details=details,
    )  # fmt: skip
    agreements._book.fold(seal(EMPTY, deed))
    assert bool(agreements.joined(seen, GATES, 5, now).approvals) == counts
    told = agreements.agreed(table, None)
    assert told is not None
    assert bool(told.approvals) == counts
