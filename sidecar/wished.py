"""What a person or the machine wishes: that a version gets requests.

Frozen. One noun for a promotion, an override and a canary, from the admin API's edge to the decision.
"""

from __future__ import annotations

import msgspec


class Wish(msgspec.Struct, frozen=True):
    """That `challenger` becomes the champion, or answers a share. What is given of the rest is compared.

    `evidence` is the digest of a gate table that was read, `plan` that of a dry run. `force` leaves the probe out,
    `automatic` is the machine's own. With `dry_run` it is only told what would be done.
    """

    challenger: str
    actor: str
    reason: str
    expected_champion: str | None = None
    evidence: str | None = None
    force: bool = False
    plan: str | None = None
    automatic: bool = False
    dry_run: bool = False
    idempotency_key: str | None = None
