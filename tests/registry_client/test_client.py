from __future__ import annotations

from pathlib import Path

import pytest

from registry_client.client import open_registry
from registry_client.errors import NotFound, RegistryError


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "file://localhost{}", "FILE:{}"])
async def test_an_absolute_folder_is_opened(tmp_path: Path, form: str) -> None:
    registry = open_registry(form.format(tmp_path / "registry"))
    await registry.register("fraud", "3")
    assert (tmp_path / "registry" / "fraud" / "versions" / "3" / "version.json").is_file()
    await registry.close()


@pytest.mark.parametrize("uri", ["file:./registry", "file:registry"])
async def test_a_relative_folder_is_that_of_the_moment_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = open_registry(uri)
    monkeypatch.chdir("/")
    await registry.register("fraud", "3")
    assert (tmp_path / "registry" / "fraud").is_dir()


async def test_escaped_characters_are_read(tmp_path: Path) -> None:
    (tmp_path / "my models").mkdir()
    with pytest.raises(NotFound):
        await open_registry(f"file:{tmp_path}/my%20models").versions("fraud")


@pytest.mark.parametrize(
    "uri",
    ["", "registry", "./registry", "file:", "file://", "file://other/folder", "http://host", "s3://bucket", "file:%00"],
)
def test_an_address_of_another_kind_is_refused_and_the_supported_ones_are_named(uri: str) -> None:
    with pytest.raises(RegistryError, match=r"file:\./folder"):
        open_registry(uri)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(RegistryError) as caught:
        open_registry("mlflow+https://user:hunter2@host/path")
    assert "hunter2" not in str(caught.value)
