"""The same call again gets the first answer again: by its Idempotency-Key, for as long as receipts are kept.

Keeps: a key belongs to one call; another call with it is refused. Does not: write receipts (`store` does, with the
transition). Called by: `controller`.
"""

from __future__ import annotations

import hashlib

import msgspec

from sidecar.control.recording import Recording
from sidecar.control.store import Receipt, Store
from sidecar.decide.promotion import Plan
from sidecar.errors import Invalid, Refused
from sidecar.standing import Transition

_LONGEST_KEY = 255


async def first_answer(recording: Recording, store: Store, key: str | None, request: str) -> Transition | None:
    """The answer to an earlier call with this key, None where there was none. Raises Invalid, Refused, Unavailable."""
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise Invalid(f"an Idempotency-Key has 1 to {_LONGEST_KEY} printable characters")
    receipt = recording.unrecorded.receipt(key) or await store.receipt(key)
    if receipt is None:
        return None
    if receipt.request != request:
        raise Refused("this Idempotency-Key was used for another call: send a new key with a new call")
    return receipt.transition


def receipt_of(plan: Plan, key: str | None, request: str) -> Receipt | None:
    """What is kept with a transition whose call had a key."""
    return None if key is None else Receipt(key, request, answer_of(plan))


def request_of(verb: str, deployment: str, command: object) -> str:
    """A digest of the whole call."""
    text = msgspec.json.encode([verb, deployment, msgspec.to_builtins(command)], order="deterministic")
    return hashlib.sha256(text).hexdigest()


def answer_of(plan: Plan) -> Transition:
    """What a plan does, as its caller is told; without the entry's number."""
    return Transition(
        deployment=plan.state.deployment,
        from_version=plan.from_version,
        to_version=plan.to_version,
        generation=plan.state.generation,
        audit_seq=None,
        evidence=plan.evidence,
        weight=weight_of(plan),
    )


def weight_of(plan: Plan) -> float | msgspec.UnsetType:
    """The share of requests that a canary answers from now on; unset where the plan is not about one."""
    if not plan.action.startswith("canary"):
        return msgspec.UNSET
    return 0.0 if plan.state.canary is None else plan.state.canary.now.weight
