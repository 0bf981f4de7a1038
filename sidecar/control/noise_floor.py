"""Asks the champion again what it has just answered, and counts how often it says something else.

Keeps: only where the settings ask for it, no faster than they allow, one request in flight over all deployments;
nothing while workers are under pressure. A question older than some seconds is not asked any more: what the answer
depends on may have changed. The repeat is marked as no traffic. Rows reach nobody but the champion that answered them.
Does not: judge (`observe/noise_floor` counts). Called by: the rounds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sidecar.control.asked_again import Again
from sidecar.control.champion_call import JSON_BYTES
from sidecar.control.exchange_reader import reading_of
from sidecar.control.watch import DeploymentWatch
from sidecar.payload.message import Message
from sidecar.payload.reading import read_prediction
from sidecar.payload.undecodable import Undecodable
from sidecar.records import Answer, Exchange, Prediction
from sidecar.standing import Target
from sidecar.telemetry.counts import Totals

AskAgain = Callable[[Target, str, bytes, Mapping[str, str]], Awaitable[Answer | None]]
OLDEST_S = 10.0
_PRESSED = 0.5


class NoiseFloorAsking:
    """`ask` sends a body with headers to a target and path; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        watches: Mapping[str, DeploymentWatch],
        *,
        ask: AskAgain,
        totals: Callable[[], Totals],
        clock: Callable[[], float],
    ) -> None:
        self._watches = watches
        self._ask = ask
        self._totals = totals
        self._clock = clock
        self._not_before: dict[str, float] = {}

    async def round(self) -> None:
        """Asks at most one question of each deployment that wants to know."""
        for name, watch in list(self._watches.items()):
            settings, now = watch.deployment.noise_floor, self._clock()
            if not settings.share or now < self._not_before.get(name, 0.0) or self._totals().pressure >= _PRESSED:
                continue
            again = watch.evidence.again.take(now - OLDEST_S)
            if again is not None:
                self._not_before[name] = now + 1.0 / settings.max_per_s
                await self._ask_again(watch, again)

    async def _ask_again(self, watch: DeploymentWatch, again: Again) -> None:
        exchange, state = again.exchange, watch.state
        if exchange.generation != state.generation:
            return
        answer = await self._ask(state.champion_target, exchange.path, exchange.body, _headers(exchange))
        if answer is None or answer.status != 200 or watch.state.generation != exchange.generation or watch.void:
            return
        said = _read(watch, answer, exchange.path)
        first = again.predictions[exchange.champion.version]
        if said is None:
            return
        for version, comparison in watch.comparisons.items():
            challenger = again.predictions.get(version)
            if challenger is not None and comparison.since <= exchange.at:
                comparison.fold_again(first, said, challenger)


def _read(watch: DeploymentWatch, answer: Answer, path: str) -> Prediction | None:
    message = Message(answer.body, path, answer.content_type, answer.content_encoding, answer.json_bytes)
    try:
        return read_prediction(reading_of(watch.deployment, watch.baseline), message)
    except Undecodable:
        return None


def _headers(exchange: Exchange) -> dict[str, str]:
    """What the body needs to be understood, and that it is no traffic."""
    headers = {"sidecar-shadow": "noise-floor"}
    if exchange.content_type:
        headers["content-type"] = exchange.content_type
    if exchange.content_encoding:
        headers["content-encoding"] = exchange.content_encoding
    if exchange.json_bytes >= 0:
        headers[JSON_BYTES] = str(exchange.json_bytes)
    return headers
