"""The admin API's tokens, their secrets read from the environment once, at the start of control."""

from __future__ import annotations

import os

from sidecar.admin.auth import AuthToken, auth_token
from sidecar.config import Settings


class CannotStart(Exception):
    """Control cannot run with what it was given. The message is one sentence for people."""


def tokens_of(settings: Settings) -> tuple[AuthToken, ...]:
    """The tokens, their secrets read from the environment. Raises CannotStart."""
    found = []
    for token in settings.admin.tokens:
        secret = os.environ.get(token.token_env, "")
        if not secret:
            raise CannotStart(f"admin.tokens: {token.name}'s secret is missing: set the variable {token.token_env}")
        found.append(auth_token(token.name, token.role, secret))
    return tuple(found)
