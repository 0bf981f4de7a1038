"""The registry's side of control: the registry itself, its last known good, models that run here, and its webhook.

Keeps: secrets come from the environment, once, at the start. Does not: ask the registry (`control` does).
Called by control's composition root.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from registry_client.access import Access
from registry_client.cache import CachedRegistry
from registry_client.client import open_registry
from registry_client.errors import InvalidDocument, Refused
from registry_client.webhook import AliasEvent, verified
from sidecar.admin.problems import Handler
from sidecar.admin.webhook import Message, RegistryWebhook, Unsigned, no_webhook
from sidecar.app.managed import tell
from sidecar.app.tokens import CannotStart
from sidecar.config import Deployment, Settings
from sidecar.config_registry import RegistrySettings
from sidecar.control.managed_models import ManagedModels
from sidecar.control.origins import Origins
from sidecar.control.registry_sync import RegistrySync
from sidecar.control.write_back import WriteBack
from sidecar.decide.origin import Origin
from sidecar.errors import Invalid


@dataclass(frozen=True, slots=True)
class RegistryParts:
    """`cached` is the registry with its last known good; that and `managed` are None where none is configured."""

    cached: CachedRegistry | None
    managed: ManagedModels | None
    write_back: WriteBack
    sync: RegistrySync
    origins: Origins


def open_parts(
    settings: Settings, sockets: Path, opened: AsyncExitStack, deployments: Callable[[], Mapping[str, Deployment]]
) -> RegistryParts:
    """Opens what the settings ask for; `opened` closes it. Raises CannotStart, RegistryError.

    `deployments`: those in force, by name; asked for later only. `sockets`: the folder of the models' sockets.
    """
    wanted = settings.registry
    if wanted is None:
        write_back = WriteBack(None, deployments=deployments, clock=time.time)
        return RegistryParts(None, None, write_back, RegistrySync(None, write_back, time.time), Origins())
    itself = open_registry(wanted.uri, access=access_of(wanted))
    state_dir = Path(settings.state_dir)
    cached = CachedRegistry(
        itself, state_dir / "last-known-good", clock=time.time, source=wanted.uri, timeout_s=wanted.timeout_s
    )
    opened.push_async_callback(cached.close)
    # The supervisor takes model files from this folder only.
    managed = ManagedModels(cached, state_dir / "models", sockets, tell, time.time, source=wanted.uri)
    opened.push_async_callback(managed.close)
    # What is written back is compared with what the registry itself says right before.
    write_back = WriteBack(itself, deployments=deployments, clock=time.time)
    sync = RegistrySync(cached, write_back, time.time)

    def origin_of(deployment: Deployment, version: str) -> Origin:
        source = deployment.from_registry
        if source is None or not source.managed:
            return sync.origin(deployment, version)
        # Whatever is registered by now, the file that runs here is what there is evidence about.
        return Origin(model=deployment.model, digest=managed.digest(deployment.name, version))

    return RegistryParts(cached, managed, write_back, sync, Origins(origin_of))


def access_of(settings: RegistrySettings) -> Access | None:
    """How the registry is spoken to; None for a folder. Raises CannotStart, RegistryError."""
    if settings.is_folder:
        return None
    return Access(
        token=_secret("token_env", settings.token_env),
        user=_secret("user_env", settings.user_env),
        password=_secret("password_env", settings.password_env),
        timeout_s=settings.timeout_s,
        ca_file=settings.ca_file,
        hosts=settings.hosts,
    )


def webhook_of(settings: Settings, moved: Callable[[], None]) -> Handler:
    """Takes the registry's webhooks where a secret is configured. Raises CannotStart."""
    wanted = settings.registry
    secret = None if wanted is None else _secret("webhook_secret_env", wanted.webhook_secret_env)
    if secret is None:
        return no_webhook
    key = secret.encode()

    def verify(headers: Mapping[str, str], body: bytes, now: float) -> Message:
        try:
            event = verified(key, headers, body, now)
        except Refused as error:
            raise Unsigned(str(error)) from None
        except InvalidDocument as error:
            raise Invalid(str(error)) from None
        return Message(event.delivery, isinstance(event, AliasEvent))

    return RegistryWebhook(verify, moved, time.time).serve


def _secret(key: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    secret = os.environ.get(variable, "")
    if not secret.strip():
        raise CannotStart(f"registry.{key}: set the variable {variable}")
    return secret
