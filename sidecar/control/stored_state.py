"""A deployment's state as a row of the store, with a digest against bytes that changed on the disk.

Keeps: what is read back is what was written, or StoreError: a wrong champion is never served silently.
Does not: guard against someone who recomputes the digest; the audit trail does.
Called by: `store`, `trail`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from sidecar.control.database import StoreError
from sidecar.standing import DeploymentState


def to_row(state: DeploymentState) -> dict[str, str | int]:
    """The columns of `schema.state`."""
    document = msgspec.json.encode(state, order="deterministic").decode()
    return {
        "deployment": state.deployment,
        "generation": state.generation,
        "document": document,
        "digest": hashlib.sha256(document.encode()).hexdigest(),
    }


def from_row(path: Path, deployment: str, generation: int, document: str, digest: str) -> DeploymentState:
    """The state; StoreError naming the file where the row cannot be trusted."""
    try:
        sound = hashlib.sha256(document.encode()).hexdigest() == digest
        state = msgspec.json.decode(document, type=DeploymentState)
    except (ValueError, AttributeError, TypeError, msgspec.MsgspecError) as error:
        raise _damaged(path, deployment) from error
    if not sound or (state.deployment, state.generation) != (deployment, generation):
        raise _damaged(path, deployment)
    return state


def _damaged(path: Path, deployment: str) -> StoreError:
    return StoreError(f"the state of deployment {deployment} in {path} is damaged: restore the file from a backup")
