"""Which copies of one deployment are due, and where they go: what tells a dropped copy from one that none was due for.

Keeps: the same rule as the workers' (`decide.routing_table.copied`); where a header decides, which control does not
see, nothing is called due. Does not count. Called by: the deployment's watch.
"""

from __future__ import annotations

from sidecar.address import parse_url
from sidecar.config import Deployment
from sidecar.decide.routing import shadows
from sidecar.decide.routing_table import copied
from sidecar.standing import DeploymentState

Address = tuple[str, int, str, str | None]  # host, port, Unix socket, another path there


class DueCopies:
    """Of one deployment's settings and state. `addresses`: where each challenger answers; TLS is no part of it."""

    def __init__(self, deployment: Deployment, state: DeploymentState) -> None:
        every = shadows(deployment, state)
        self.addresses: dict[str, Address] = {
            shadow.to.version: (shadow.to.host, shadow.to.port, shadow.to.unix, shadow.to.path) for shadow in every
        }
        sticky = deployment.sticky is not None
        self._fractions = {shadow.to.version: shadow.fraction for shadow in every if not sticky or shadow.fraction >= 1}
        target = state.champion_target
        address = parse_url(target.url)
        self._champion: Address = (address.host, address.port, address.unix, target.path)

    def due(self, version: str, request_id: str) -> bool:
        """Whether a request was to be copied to this challenger; False where that is not known."""
        fraction = self._fractions.get(version, 0.0)
        return fraction >= 1.0 or (fraction > 0.0 and copied(request_id.encode("latin-1", "replace"), fraction))

    def self_test(self, version: str) -> bool:
        """Whether a challenger answers at the champion's own address."""
        return self.addresses.get(version) == self._champion
