"""What of control answers for the past, put together: the hours of the gates, and the record that reads them.

Part of control's composition root. Does not: run anything; the rounds keep the hours, the admin API asks the record.
"""

from __future__ import annotations

import time

from sidecar.config import Deployment
from sidecar.control.dead_letters import DeadLetterOffice
from sidecar.control.decisions import Decisions
from sidecar.control.desk import Desk
from sidecar.control.gate_hours import GateHours
from sidecar.control.pair_evidence import tolerance_of
from sidecar.control.record import Record
from sidecar.control.store import Store
from sidecar.control.watches import Watches
from sidecar.errors import Unknown


def keep_record(
    desk: Desk, store: Store, decisions: Decisions, watches: Watches, dead_letters: DeadLetterOffice
) -> GateHours:
    """Gives the desk its record; the hours that somebody has to keep."""

    def deployment(name: str) -> Deployment:
        found = desk.named().get(name)
        if found is None:
            raise Unknown(f"there is no deployment {name!r} in the settings")
        return found

    hours = GateHours(decisions.database, challengers=watches.challengers, record=desk.kept_record, clock=time.time)
    desk.record = Record(
        store,
        decisions,
        dead_letters=dead_letters,
        hours=hours,
        tolerance=lambda name: tolerance_of(deployment(name)),
        gates=lambda name: deployment(name).gates,
        clock=time.time,
    )
    return hours
