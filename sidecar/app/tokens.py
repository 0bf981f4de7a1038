"""The admin API's tokens, their secrets read from the environment or from files: at the start, and at each reload."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.admin.auth import AuthToken, auth_token
from sidecar.config import Settings
from sidecar.config_admin import Token

_FILE_BYTES = 65_536


class CannotStart(Exception):
    """Control cannot run with what it was given. The message is one sentence for people."""


def tokens_of(settings: Settings) -> tuple[AuthToken, ...]:
    """The tokens with their secrets. Raises CannotStart, never with a secret in its sentence."""
    found = []
    for token in settings.admin.tokens:
        try:
            found.append(auth_token(token.name, token.role, _secret(token)))
        except ValueError as error:
            raise CannotStart(f"admin.tokens: {error}") from error
    return tuple(found)


def _secret(token: Token) -> str:
    if token.token_file is None:
        secret = os.environ.get(token.token_env or "", "")
        if not secret:
            raise CannotStart(f"admin.tokens: {token.name}'s secret is missing: set the variable {token.token_env}")
        return secret
    try:
        with Path(token.token_file).open("rb") as file:
            secret = file.read(_FILE_BYTES + 1).decode()
    except OSError as error:
        raise CannotStart(f"admin.tokens: {token.token_file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise CannotStart(f"admin.tokens: {token.token_file} holds no text") from None
    if len(secret) > _FILE_BYTES:
        raise CannotStart(f"admin.tokens: {token.token_file} is longer than a token")
    return secret.strip()
