"""The few ways in which a call on the control side is refused. Mapped to HTTP once, in `admin/problems.py`."""

from __future__ import annotations

from sidecar.reports import GateTable


class SidecarError(Exception):
    """Base of this product's own errors. The message is one plain sentence that says what to do."""


class Unknown(SidecarError):
    """No such deployment, version, request or alarm (404)."""


class Invalid(SidecarError):
    """The call itself makes no sense (400)."""


class Refused(SidecarError):
    """The call is understood and not done: gates, a lost race, nothing to go back to (409)."""

    def __init__(self, says: str, gates: GateTable | None = None) -> None:
        super().__init__(says)
        self.gates = gates


class Unavailable(SidecarError):
    """The store cannot take it now, for example a full disk (503)."""
