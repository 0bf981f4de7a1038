"""The registry's webhook: word that an alias moved, so that nobody has to wait for the next poll.

Keeps: a message is believed only if it is signed, of now, and comes for the first time; then it wakes whoever asks the
registry, and what it says is never acted upon. Takes no token: the signature is in its place, for any Host.
Does not: know how a registry signs; `app` hands that in. One line of `api`'s table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from sidecar.admin import bodies, problems
from sidecar.errors import SidecarError, Unknown

BODY_BYTES = 256 << 10
# Signed messages are taken within some minutes of their time: one that is older than this is refused by its time.
REMEMBERED_S = 900.0
_REMEMBERED = 10_000


class Unsigned(SidecarError):
    """A message that is not signed by who may send one, or not now."""


class Message(msgspec.Struct, frozen=True):
    """One that is believed. `delivery` is the same when it is sent again; `moved`: it is about an alias."""

    delivery: str
    moved: bool


Verify = Callable[[Mapping[str, str], bytes, float], Message]


class RegistryWebhook:
    """`POST /v1/registry/webhook`.

    Args:
        verify: (headers, body, now) -> the message; raises Unsigned, or Invalid for a body that cannot be read.
        moved: somebody moved an alias.
        clock: seconds since the epoch.
    """

    def __init__(self, verify: Verify, moved: Callable[[], None], clock: Callable[[], float]) -> None:
        self._verify = verify
        self._moved = moved
        self._clock = clock
        self._taken: dict[str, float] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Believes it or not, and says so."""
        body = await bodies.read_bytes(request, BODY_BYTES)
        now = self._clock()
        try:
            message = self._verify(request.headers, body, now)
        except Unsigned as error:
            return problems.problem(401, str(error), kind="unsigned")
        if not self._first(message.delivery, now):
            return problems.problem(409, "This delivery was taken before; it is not taken twice.", kind="replay")
        if message.moved:
            self._moved()
        return web.json_response({"taken": message.delivery}, status=202)

    def _first(self, delivery: str, now: float) -> bool:
        """Whether it is new. Of very many the oldest are forgotten: who sends them has the secret."""
        while self._taken:
            oldest, at = next(iter(self._taken.items()))
            if len(self._taken) < _REMEMBERED and now - at < REMEMBERED_S:
                break
            del self._taken[oldest]
        if delivery in self._taken:
            return False
        self._taken[delivery] = now
        return True


async def no_webhook(_: web.Request) -> web.StreamResponse:
    """Where no secret is configured."""
    raise Unknown("No webhook is taken here: set registry.webhook_secret_env to the variable that holds its secret.")
