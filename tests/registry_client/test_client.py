from __future__ import annotations

from pathlib import Path

import pytest

from registry_client.access import Access
from registry_client.client import open_registry
from registry_client.errors import NotFound, RegistryError
from registry_client.mlflow import MlflowRegistry
from tests.registry_client.scripted_server import says, scripted


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
    (tmp_path / "my models" / "other").mkdir(parents=True)
    with pytest.raises(NotFound):
        await open_registry(f"file:{tmp_path}/my%20models").versions("fraud")


@pytest.mark.parametrize(
    "uri",
    ["", "registry", "./registry", "file:", "file://", "file://other/folder", "http://host", "s3://bucket", "file:%00"],
)
def test_an_address_of_another_kind_is_refused_and_the_supported_ones_are_named(uri: str) -> None:
    with pytest.raises(RegistryError, match=r"file:\./folder"):
        open_registry(uri)


@pytest.mark.parametrize("uri", ["mlflow+https://user:hunter2@host/path", "s3://user:hunter2@host/path"])
def test_a_password_in_an_address_is_not_repeated(uri: str) -> None:
    with pytest.raises(RegistryError) as caught:
        open_registry(uri)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["mlflow+http://mlflow:5000", "mlflow+https://mlflow.example.com/prefix", "MLFLOW+HTTP://mlflow"]
)
async def test_an_mlflow_server_is_opened_without_being_asked(uri: str) -> None:
    registry = open_registry(uri, access=Access(token="t0ken"))
    assert isinstance(registry, MlflowRegistry)
    await registry.close()


@pytest.mark.parametrize(
    "uri", ["mlflow://host", "mlflow+ftp://host", "mlflow+http:", "mlflow+http:host", "mlflow+http://"]
)
def test_an_mlflow_address_that_will_not_do_is_refused(uri: str) -> None:
    with pytest.raises(RegistryError):
        open_registry(uri)


async def test_without_access_mlflows_own_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    async with scripted(says({"registered_model": {"name": "fraud"}})) as server:
        registry = open_registry(f"mlflow+{server.url}")
        await registry.aliases("fraud")
        await registry.close()
        assert server.asked[0].headers["authorization"] == "Bearer t0ken"
