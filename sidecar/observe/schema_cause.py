"""Why the form of rows moved: keys that training always had are absent, or nothing can be read at all.

Keeps: a cause of the feed's, never of the world. Does not decide that something moved.
Called by: the judging of the schema while its alarm is open.
"""

from __future__ import annotations

from registry_client.baseline import FeatureBaseline
from sidecar.observe.feature_cause import Moved
from sidecar.observe.ruler import KEYS_MISSING, UNREADABLE
from sidecar.reports import Cause


def schema_cause(_baseline: FeatureBaseline, moved: Moved, _tolerance: float) -> Cause:
    """The larger of the two faults."""
    rows = max(int(moved.counts.sum()), 1)
    missing, unreadable = int(moved.counts[KEYS_MISSING]) / rows, int(moved.counts[UNREADABLE]) / rows
    if missing >= unreadable:
        says = f"{missing:.1%} of the rows lack a key that training always had"
        return Cause(kind="missing", says=says, share=round(missing, 4), explained=1.0)
    says = f"{unreadable:.1%} of the rows could not be read: another form of payload, or no key that training had"
    return Cause(
        kind="type",
        says=says,
        share=round(unreadable, 4),
        explained=1.0,
        type_from="rows as trained",
        type_to="unreadable",
    )
