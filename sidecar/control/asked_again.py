"""Requests that the champion is to be asked again, so that its own disagreement is known: a small share, by their id.

Keeps: opt-in (a share of 0 takes nothing); bounded in requests and bytes, in memory only; only what was copied to a
challenger and answered by both, so nothing that belongs to one server (a sequence, shared memory) is among it. Does not
ask (`noise_floor` does). Called by: the evidence on a deployment's challengers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from zlib import crc32

import msgspec

from sidecar.records import Exchange, Prediction

MOST_WAITING = 16
MOST_BYTES = 1 << 18


class Again(msgspec.Struct, frozen=True):
    """A request, and what each version said to it."""

    exchange: Exchange
    predictions: Mapping[str, Prediction]

    def __repr__(self) -> str:
        """What may stand in a log."""
        return f"Again(request_id={self.exchange.request_id!r})"


class AskedAgain:
    """The newest requests of the share that wait."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._waiting: deque[Again] = deque(maxlen=MOST_WAITING)

    def offer(self, exchange: Exchange, predictions: Mapping[str, Prediction]) -> None:
        """An exchange; taken if it falls into the share, and the champion and a challenger said something."""
        if not self._share or not exchange.body_complete or len(exchange.body) > MOST_BYTES:
            return
        # Another draw than the one that decides about copies: that one takes the lowest of the plain id.
        if crc32(b"again/" + exchange.request_id.encode("utf-8", "replace")) >= self._share * 4_294_967_296.0:
            return
        if exchange.champion.version in predictions and len(predictions) > 1:
            self._waiting.append(Again(exchange, predictions))

    def take(self, oldest: float) -> Again | None:
        """The newest that waits and came after `oldest`, seconds since the epoch; the older ones are let go."""
        while self._waiting:
            found = self._waiting.pop()
            if found.exchange.at >= oldest:
                return found
        return None
