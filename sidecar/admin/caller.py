"""Who calls the admin API and what a role may: the one table of roles.

Does not: find out who somebody is (`auth` and `identity` do), know routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Role = Literal["viewer", "reporter", "operator", "admin"]
# What a route asks for. "anyone" needs no token; the others name the lowest role that may call it.
Need = Literal["anyone", "viewer", "reporter", "operator", "admin"]

# CONTRACT.md, Roles: reporter stands beside the ladder, it posts outcomes and reads nothing.
_GRANTS: Mapping[Role, frozenset[Need]] = {
    "viewer": frozenset({"anyone", "viewer"}),
    "reporter": frozenset({"anyone", "reporter"}),
    "operator": frozenset({"anyone", "viewer", "reporter", "operator"}),
    "admin": frozenset({"anyone", "viewer", "reporter", "operator", "admin"}),
}


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the token's name goes into the audit trail as the actor."""

    name: str
    role: Role

    def may(self, need: Need) -> bool:
        """Whether the role covers what a route asks for."""
        return need in _GRANTS[self.role]
