"""A route as this worker serves it: where its requests go, what its answers say, and what is counted of them.

Everything that would otherwise be looked up for each request is resolved here once, when a routing table comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.decide.routing_table import Destination
from sidecar.proxy.challenger import Challenger
from sidecar.proxy.pool import Pool
from sidecar.proxy.tally import RequestCount

if TYPE_CHECKING:
    from sidecar.proxy.canary import Canary


class ServedRoute:
    """One deployment's route, or the way to the upstream that no deployment matches (`deployment` is empty then).

    Attributes:
        mirrored: exchanges are gathered; False for the upstream.
        unserved: the deployment has no champion, so its requests are refused.
        tensors: what a path holds where requests may be of the Open Inference Protocol, whose sequences are one
            server's; None where none is.
        challengers: of this route; `all_copied` is True when each takes every request.
        own_lines: header lines of an answer, after the request's id.
        canary: who answers a share of the requests, if anybody.
    """

    def __init__(
        self,
        deployment: str,
        generation: int,
        champion: Destination,
        pool: Pool,
        challengers: list[Challenger],
        requests: dict[int, RequestCount],
        sticky: str,
        upgrades: bool,
        unserved: bool = False,
        tensors: bytes | None = None,
    ) -> None:
        self.deployment: str = deployment
        self.mirrored: bool = bool(deployment)
        self.generation: int = generation
        self.champion_version: str = champion.version
        self.path: str | None = champion.path
        self.authority: str = champion.authority
        self.pool = pool
        self.challengers = challengers
        self.all_copied: bool = all(challenger.fraction >= 1.0 for challenger in challengers)
        self.sticky: bytes = sticky.encode()
        self.upgrades: bool = upgrades
        self.unserved: bool = unserved
        self.tensors: bytes | None = tensors
        self.canary: Canary | None = None
        self._requests = requests
        self.own_lines: bytes = b""
        if deployment and not unserved:
            self.own_lines = b"sidecar-model: %s\r\nsidecar-version: %s\r\n" % (
                deployment.encode(),
                champion.version.encode(),
            )

    def ended(self, status: int, duration_s: float) -> None:
        """A caller's request ended with this status."""
        count = self._requests.get(status)
        if count is None:
            count = self._requests[status] = RequestCount()
        count.add(duration_s)
