"""Rollbacks that callers have already and the store has not: it could not be written when they were asked for.

Keeps: their order; a note of them beside the sockets, so that a control that starts anew goes on with them, unless the
store has moved on. Does not: write to the store, or decide that one may be held (`controller` does). A note that
cannot be written is said in the log: then a restart would bring the former champion back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from sidecar.control.store import Delivery, Receipt
from sidecar.control.whole_file import write_whole
from sidecar.decide.audit_chain import Deed
from sidecar.standing import DeploymentState

log = logging.getLogger("sidecar.control.unrecorded")

FILE_NAME = "unrecorded.msgpack"


class Transit(msgspec.Struct, frozen=True, kw_only=True):
    """All that the store is to write of one transition."""

    state: DeploymentState
    expected_generation: int
    deed: Deed
    deliveries: tuple[Delivery, ...] = ()
    receipt: Receipt | None = None


class Unrecorded:
    """What is held, by deployment, oldest first. `note`: the file, None for none."""

    def __init__(self, note: Path | None = None) -> None:
        self._note = note
        self._held: dict[str, list[Transit]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The deployments that something is held of."""
        return tuple(self._held)

    def of(self, name: str) -> tuple[Transit, ...]:
        """What is held of one, oldest first."""
        return tuple(self._held.get(name, ()))

    def receipt(self, key: str) -> Receipt | None:
        """The answer to an earlier call with this key."""
        receipts = (transit.receipt for held in self._held.values() for transit in held)
        return next((receipt for receipt in receipts if receipt is not None and receipt.key == key), None)

    def says(self, name: str) -> str | None:
        """What a person should know and do; None where nothing is held."""
        held = self._held.get(name)
        if not held:
            return None
        step = "the end of a canary" if held[-1].deed.action == "canary_stop" else "a rollback"
        return (
            f"version {held[-1].state.champion} serves by {step} that the audit trail does not have yet, since the"
            " store cannot be written: free the disk, or make state_dir writable; it is recorded as soon as that works"
        )

    def hold(self, transit: Transit) -> None:
        """One more, which the callers have."""
        self._held.setdefault(transit.state.deployment, []).append(transit)
        self._write()

    def recorded(self, transit: Transit) -> None:
        """The store has it."""
        held = self._held[transit.state.deployment]
        held.remove(transit)
        if not held:
            del self._held[transit.state.deployment]
        self._write()

    def take_up(self, stored: Mapping[str, DeploymentState]) -> dict[str, DeploymentState]:
        """Goes on with what a run before this one held; the states that these lead to.

        Those that do not follow from what is stored are left out: they were recorded, or somebody decided since.
        """
        if self._note is None:
            return {}
        try:
            noted = msgspec.msgpack.decode(self._note.read_bytes(), type=list[Transit])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("what was not recorded cannot be read", extra={"fields": {"says": str(error)}})
            return {}
        states: dict[str, DeploymentState] = {}
        self._held = {}
        for transit in noted:
            name = transit.state.deployment
            before = states.get(name) or stored.get(name)
            if before is not None and _follows(transit, before):
                states[name] = transit.state
                self._held.setdefault(name, []).append(transit)
        self._write()
        return states

    def _write(self) -> None:
        if self._note is None:
            return
        held = [transit for transits in self._held.values() for transit in transits]
        try:
            if held:
                write_whole(self._note, msgspec.msgpack.encode(held))
            else:
                self._note.unlink(missing_ok=True)
        except OSError as error:
            fields = {"file": str(self._note), "says": error.strerror}
            log.error("a restart would forget a rollback that is not recorded", extra={"fields": fields})  # noqa: TRY400


def _follows(transit: Transit, before: DeploymentState) -> bool:
    """Whether a step is the next one from this state. The end of a canary counts no generation: it has to be there."""
    if before.generation != transit.expected_generation:
        return False
    if transit.deed.action != "canary_stop":
        return True
    return before.canary is not None and before.canary.version == transit.deed.from_version
