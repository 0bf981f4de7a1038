"""The keys of the audit trail's head, read from the environment or their files once, at the start of control."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.app.tokens import CannotStart
from sidecar.config import Settings
from sidecar.decide.signed_head import Keyring


def keyring_of(settings: Settings) -> Keyring:
    """The keys, in the settings' order. Raises CannotStart, never with a key in its sentence."""
    found: list[tuple[str, bytes]] = []
    for key in settings.audit.keys:
        if key.key_file is not None:
            try:
                secret = Path(key.key_file).read_bytes()
            except OSError as error:
                raise CannotStart(f"audit.keys: {key.key_file} cannot be read ({error.strerror})") from error
        else:
            secret = os.environ.get(key.key_env or "", "").encode("utf-8", "surrogateescape")
            if not secret:
                raise CannotStart(f"audit.keys: {key.name} is missing: set the variable {key.key_env}")
        found.append((key.name, secret.strip()))
    try:
        return Keyring(tuple(found))
    except ValueError as error:
        raise CannotStart(f"audit.keys: {error}") from error
