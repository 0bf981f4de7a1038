"""What control reads from its environment for the record: the trail's keys and the receivers' secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.app.audit_keys import keyring_of
from sidecar.app.events import EventParts
from sidecar.app.tokens import CannotStart
from sidecar.config import Settings
from tests.control.store_samples import NOW, opened

KEY = "a key that nobody guesses"


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"upstream": "http://127.0.0.1:1"} | changes)


def test_keys_come_from_files_and_variables_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    monkeypatch.setenv("OLDER", "another key of 24 bytes.")
    keys = [{"name": "new", "key_file": str(file)}, {"name": "old", "key_env": "OLDER"}]
    assert keyring_of(settings(audit={"keys": keys})).signs == "new"
    assert keyring_of(settings()).signs is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ({"key_env": "SIDECAR_TEST_KEY"}, None, "set the variable SIDECAR_TEST_KEY"),
        ({"key_env": "SIDECAR_TEST_KEY"}, "short", "shorter than 16"),
        ({"key_file": "/nowhere/key"}, None, "cannot be read"),
    ],
)
def test_a_key_that_is_missing_or_weak_is_no_start(
    monkeypatch: pytest.MonkeyPatch, key: dict[str, str], value: str | None, says: str
) -> None:
    if value is not None:
        monkeypatch.setenv("SIDECAR_TEST_KEY", value)
    with pytest.raises(CannotStart, match=says) as found:
        keyring_of(settings(audit={"keys": [{"name": "a", **key}]}))
    assert "short " not in str(found.value).replace("shorter", "")


async def test_a_receiver_without_its_secret_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(events=[{"url": "http://127.0.0.1:9", "secret_env": "SIDECAR_TEST_SECRET"}])
    async with opened(tmp_path) as store:
        with pytest.raises(CannotStart, match="set the variable SIDECAR_TEST_SECRET"):
            EventParts(store, lambda: found, lambda: NOW)
        monkeypatch.setenv("SIDECAR_TEST_SECRET", "s")
        EventParts(store, lambda: found, lambda: NOW)
