"""How the settings' registry is opened: secrets from the environment, and sentences where they are missing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.admin.webhook import no_webhook
from sidecar.app.registry import access_of, open_parts, webhook_of
from sidecar.app.tokens import CannotStart
from sidecar.config import Settings
from sidecar.config_registry import RegistrySettings

VARIABLE = "SIDECAR_TEST_REGISTRY_SECRET"


def settings(folder: Path, **registry: Any) -> Settings:
    document: dict[str, Any] = {"state_dir": str(folder / "state"), "upstream": "http://127.0.0.1:1"}
    return Settings.model_validate(document | ({"registry": registry} if registry else {}))


def mlflow(**keys: Any) -> RegistrySettings:
    return RegistrySettings(uri="mlflow+http://127.0.0.1:5000", **keys)


def test_a_folder_needs_no_access() -> None:
    assert access_of(RegistrySettings(uri="file:r")) is None


def test_a_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hush")
    access = access_of(mlflow(token_env=VARIABLE, timeout_s=2.0, hosts=("minio:9000",)))

    assert access is not None
    assert (access.token, access.user, access.timeout_s, access.hosts) == ("hush", None, 2.0, ("minio:9000",))
    assert "hush" not in repr(access)


def test_a_user_and_a_password_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hush")
    monkeypatch.setenv(f"{VARIABLE}_USER", "bob")
    access = access_of(mlflow(user_env=f"{VARIABLE}_USER", password_env=VARIABLE))

    assert access is not None
    assert (access.token, access.user, access.password) == (None, "bob", "hush")


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("key", ["token_env", "webhook_secret_env"])
def test_a_secret_that_is_missing_is_said_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str | None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    wanted = settings(tmp_path, uri="mlflow+http://127.0.0.1:5000", **{key: VARIABLE})

    def opening() -> None:
        open_parts(wanted, tmp_path, AsyncExitStack(), dict)
        webhook_of(wanted, lambda: None)

    with pytest.raises(CannotStart, match=rf"registry\.{key}: set the variable {VARIABLE}"):
        opening()


async def test_what_is_opened_is_closed_again_and_nothing_is_made_without_need(tmp_path: Path) -> None:
    async with AsyncExitStack() as opened:
        without = open_parts(settings(tmp_path), tmp_path, opened, dict)
        folder = open_parts(settings(tmp_path, uri=f"file:{tmp_path}/r"), tmp_path, opened, dict)
        server = open_parts(settings(tmp_path, uri="mlflow+http://127.0.0.1:1"), tmp_path, opened, dict)

    assert (without.cached, without.managed) == (None, None)
    assert folder.cached is not None
    assert server.managed is not None
    assert list(tmp_path.iterdir()) == []


def test_without_a_secret_there_is_no_webhook(tmp_path: Path) -> None:
    assert webhook_of(settings(tmp_path), lambda: None) is no_webhook
    assert webhook_of(settings(tmp_path, uri="file:r"), lambda: None) is no_webhook
