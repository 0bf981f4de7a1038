"""What a person is about to do on the dashboard, told before it is done. Made by `confirming`, shown by `dashboard`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.agreed import ApprovalStatus, PlanShown
from sidecar.reports import GateTable

Form = Mapping[str, str]


class Intent(NamedTuple):
    """What is about to be done.

    Attributes:
        verb, title, confirm: the path's last part, the heading, the button's words.
        says: what will happen, a sentence each; refusal: why it cannot, or None.
        fields: what the form sends along unseen; table: the gates it rests on; back: where cancelling leads.
        plan: what a dry run has shown; approvals: who agreed.
        reason: the reason as it was typed; reason_least: its fewest characters, 0 where none is needed.
        force: whether passing over a failed probe is offered.
    """

    verb: str
    title: str
    confirm: str
    says: tuple[str, ...]
    back: str
    refusal: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    table: GateTable | None = None
    plan: PlanShown | None = None
    approvals: tuple[ApprovalStatus, ...] = ()
    reason: str = ""
    reason_least: int = 1
    force: bool = False
    danger: bool = False
