"""Exchanges that a payload logger beside the model server tells of: watched although no sidecar is in their path.

Keeps: a joined pair goes the way of a worker's exchange, under the champion and the generation of this moment; the
answers of an endpoint that serves another version count for that version's quality, and are no evidence on a pair,
for no caller got both. What belongs to no deployment is passed over and counted.
Does not: parse events (`admin/ingest` does) or read payloads. Called by the desk; one timer expires what waits.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import get_args

from sidecar.control.watch import VOID, DeploymentWatch
from sidecar.observe.joined_halves import AGE_S, RESULTS, JoinedHalves, Pair
from sidecar.records import Answer, Exchange, Leg, LoggedHalf
from sidecar.standing import Ingested, PassedOver

# The champion's, unless `ingest.endpoints` says otherwise: KServe's logger calls it so, or says nothing.
_CHAMPIONS = ("", "default")
_PASSED_OVER = get_args(PassedOver)
_GZIP = b"\x1f\x8b"
_BINARY = b'"binary_data_size"'
_JSON_BYTES = 65_536  # that far the end of the JSON in front of binary tensors is looked for
_DECODER = json.JSONDecoder()


class Ingest:
    """Takes halves. `fold` takes exchanges; `attempt` runs it, since observation may fail."""

    def __init__(
        self,
        watches: Mapping[str, DeploymentWatch],
        fold: Callable[[Exchange], None],
        attempt: Callable[[Callable[[], None]], None],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._watches = watches
        self._fold = fold
        self._attempt = attempt
        self._clock = clock
        self._halves = JoinedHalves()
        self._passed_over: Counter[str] = Counter()
        self._unknown_endpoints: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, half: LoggedHalf) -> Ingested:
        """One half; says what became of it."""
        watch = self._watch_of(half.services)
        if watch is None:
            self._passed_over["unknown_service"] += 1
            return "unknown_service"
        name, version = watch.deployment.name, self._version(watch, half.endpoint)
        if version is None:
            self._unknown_endpoints[name] = self._unknown_endpoints.get(name, 0) + 1
            return "unknown_endpoint"
        now, duplicates = self._clock(), self._halves.counts[name]["duplicate"]
        pair = self._halves.add(name, half, now)
        self._expire_later()
        if pair is not None:
            exchange = _exchange(pair, watch, version, now)
            self._attempt(lambda: self._fold(exchange))
            return "joined"
        return "waiting" if self._halves.counts[name]["duplicate"] == duplicates else "duplicate"

    def pass_over(self, reason: PassedOver) -> None:
        """An event that is no half of any exchange."""
        self._passed_over[reason] += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """What became of halves, by deployment; "" has what belongs to none."""
        self._halves.expire(self._clock())
        found = {
            name: dict.fromkeys(RESULTS, 0)
            | {"unknown_endpoint": self._unknown_endpoints.get(name, 0)}
            | dict(self._halves.counts[name])
            for name in self._watches
        }
        return found | {"": dict.fromkeys(_PASSED_OVER, 0) | dict(self._passed_over)}

    def _watch_of(self, services: tuple[str, ...]) -> DeploymentWatch | None:
        """Whose service it is, by the first name that anybody has."""
        known = {watch.deployment.service: watch for watch in self._watches.values()}
        return next((known[service] for service in services if service in known), None)

    @staticmethod
    def _version(watch: DeploymentWatch, endpoint: str) -> str | None:
        known = watch.deployment.ingest.endpoints.get(endpoint)
        return watch.state.champion if known is None and endpoint in _CHAMPIONS else known

    def _expire_later(self) -> None:
        """Bodies of callers are not kept beyond their time, also when no more events come."""
        if self._timer is None and self._halves.waiting:
            self._timer = asyncio.get_running_loop().call_later(AGE_S / 8, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._halves.expire(self._clock())
        self._expire_later()


def _exchange(pair: Pair, watch: DeploymentWatch, version: str, now: float) -> Exchange:
    request, response = pair
    champion = version == watch.state.champion
    at = now if request.at is None else min(max(request.at, now - AGE_S), now)  # clocks of other machines differ
    latency_s = 0.0 if request.at is None or response.at is None else max(0.0, response.at - request.at)
    # Loggers tell of successes only.
    answer = Answer(200, _kind(response), _coding(response), response.body, _json_bytes(response))
    return Exchange(
        request_id=request.id,
        deployment=watch.deployment.name,
        generation=watch.state.generation if champion else VOID,
        at=at,
        path="",
        content_type=request.content_type,
        content_encoding=_coding(request),
        body=request.body,
        body_complete=True,
        champion=Leg(version, answer, None, None, latency_s),
        shadows=(),
        json_bytes=_json_bytes(request),
    )


def _kind(response: LoggedHalf) -> str:
    """KServe's logger gives the answer the *request's* content type, so what is plainly JSON is called so."""
    return "application/json" if response.body[:64].lstrip()[:1] in (b"{", b"[") else response.content_type


def _coding(half: LoggedHalf) -> str:
    """KServe's logger passes compressed bodies on without saying that they are."""
    return "gzip" if not half.content_encoding and half.body.startswith(_GZIP) else half.content_encoding


def _json_bytes(half: LoggedHalf) -> int:
    """How long the JSON in front of binary tensors is: no logger tells it of an answer, so its end is looked for."""
    front = half.body[:_JSON_BYTES]
    if half.json_bytes >= 0 or _BINARY not in front:
        return half.json_bytes
    try:
        _, end = _DECODER.raw_decode(front.decode("latin-1"))  # a character a byte, so that places are the same
    except (ValueError, RecursionError):
        return -1
    return end
