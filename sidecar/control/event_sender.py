"""Posts one event to one receiver: signed, within its time, without redirects.

Keeps: the body is the stored text, byte for byte, so that the signature and the id are the same at each repetition;
any answer of the 2xx range is a delivery, everything else is tried again by the outbox; secrets are in no log.
Signed as Standard Webhooks 1.0 (webhook-id, webhook-timestamp, webhook-signature: `v1,` and Base64 of
HMAC-SHA256 over `id.timestamp.body`), so that libraries of many languages can check it.
Does not: choose what to send, or when. Called by: the outbox, through control's composition root.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from collections.abc import Callable, Mapping, Sequence

import aiohttp
import msgspec
from yarl import URL

import sidecar
from sidecar.config_events import EventReceiver
from sidecar.control.event_post import place_of
from sidecar.control.outbox import Undelivered, Unreadable
from sidecar.control.store import Delivery

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_ANSWER_BYTES = 64 << 10


class _Posted(msgspec.Struct, frozen=True):
    id: str


class EventSender:
    """The outbox's handler of events.

    Args:
        receivers: the settings' as they are now.
        secret: the value of an environment variable, None where it is not set.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        receivers: Callable[[], Sequence[EventReceiver]],
        secret: Callable[[str], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._receivers = receivers
        self._secret = secret
        self._clock = clock

    async def deliver(self, delivery: Delivery) -> None:
        """Posts it once. Raises Undelivered, or Unreadable for what is no event any more."""
        _, url = place_of(delivery.subject)
        receiver = next((each for each in self._receivers() if each.url == url), None)
        if receiver is None:
            raise Unreadable("its receiver is not in the settings any more", [delivery])
        try:
            body, told = delivery.payload.encode(), msgspec.json.decode(delivery.payload, type=_Posted)
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise Unreadable("it is no event", [delivery]) from error
        try:
            await self._post(receiver, body, told.id)
        except TimeoutError as error:
            raise Undelivered(f"no answer within {receiver.timeout_s:g} s") from error
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise Undelivered(_said(error)) from error

    async def _post(self, receiver: EventReceiver, body: bytes, told: str) -> None:
        headers = {
            "content-type": CONTENT_TYPE,
            "user-agent": f"sidecar/{sidecar.__version__}",
            **self._signature(receiver, told, body),
        }
        context = None if receiver.ca_file is None else ssl.create_default_context(cafile=receiver.ca_file)
        timeout = aiohttp.ClientTimeout(total=receiver.timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                URL(receiver.url), data=body, headers=headers, allow_redirects=False, ssl=context or True
            ) as answer,
        ):
            if not 200 <= answer.status < 300:
                raise Undelivered(f"answered {answer.status}")
            await answer.content.read(_ANSWER_BYTES)

    def _signature(self, receiver: EventReceiver, told: str, body: bytes) -> Mapping[str, str]:
        named = {"webhook-id": told}
        if receiver.secret_env is None:
            return named
        secret = self._secret(receiver.secret_env)
        if not secret:
            raise Undelivered(f"the variable {receiver.secret_env} holds no secret to sign with")
        timestamp = str(int(self._clock()))
        signature = signed(secret, told, timestamp, body)
        return named | {"webhook-timestamp": timestamp, "webhook-signature": signature}


def signed(secret: str, told: str, timestamp: str, body: bytes) -> str:
    """The signature's header (Standard Webhooks 1.0); a secret that begins with `whsec_` is Base64 behind that."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    content = b".".join((told.encode(), timestamp.encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()}"


def _said(error: Exception) -> str:
    """What went wrong, without the URL, in which some services put a secret."""
    if isinstance(error, ssl.SSLError | aiohttp.ClientConnectorCertificateError):
        return "its certificate cannot be verified"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached ({error.os_error.strerror or 'no connection'})"
    return f"the delivery failed ({type(error).__name__})"
