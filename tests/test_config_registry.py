"""The registry's settings, and those of a deployment whose versions it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sidecar.config import Deployment
from sidecar.config_file import ConfigFaults, Fault, load
from sidecar.config_registry import FromRegistry, RegistrySettings
from sidecar.config_values import Section

URL = "http://fraud-{version}:8080"


def faults(folder: Path, **changes: Any) -> tuple[Fault, ...]:
    document = {"registry": {"uri": "file:./registry"}, "deployments": [{"name": "fraud"}]} | changes
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    try:
        load(path)
    except ConfigFaults as found:
        return found.faults
    return ()


def deployment(**source: Any) -> dict[str, Any]:
    return {"name": "fraud", "from_registry": source}


@pytest.mark.parametrize(
    "source",
    [
        {"url": URL},
        {"url": "unix:/run/fraud-{version}.sock"},
        {"url": "http://triton:8000", "path": "/v2/models/fraud/versions/{version}/infer"},
        {"url": "http://{version}.models.svc:8080"},
        {"managed": True},
        {"managed": True, "model": "Fraud Scoring", "champion": "prod", "challengers": ["next", "canary"]},
        {"managed": True, "challengers": [], "shadow": {"fraction": 0.1, "max_per_s": 5, "ramp_s": 1}},
    ],
)
def test_versions_by_alias_are_good_settings(source: dict[str, Any], tmp_path: Path) -> None:
    assert faults(tmp_path, deployments=[deployment(**source)]) == ()


@pytest.mark.parametrize(
    ("source", "key", "says"),
    [
        ({}, "url", "is required"),
        ({"url": URL, "managed": True}, "url", "has no effect with managed"),
        ({"managed": True, "path": "/x"}, "path", "has no effect with managed"),
        ({"url": "http://models:8080"}, "url", "must hold {version}"),
        ({"url": "http://{version}:8080"}, "url", "which host is called"),
        ({"url": "http://models.{version}:8080"}, "url", "which host is called"),
        ({"url": "http://models:{version}"}, "url", "neither http://HOST:PORT"),
        ({"url": "http://fraud-{port}:8080"}, "url", "the only thing in braces is {version}"),
        ({"url": "http://fraud-{version:8080"}, "url", "the only thing in braces is {version}"),
        ({"url": URL, "path": "no/{version}"}, "path", "a path begins with /"),
        ({"url": URL, "path": "/{model}"}, "path", "the only thing in braces is {version}"),
        ({"url": URL, "tls": {"server_name": "m"}}, "tls", "the url does not begin with https://"),
        ({"url": URL, "challengers": ["champion"]}, "challengers", "each alias once"),
        ({"url": URL, "model": "a/b"}, "model", "a model's name"),
        ({"url": URL, "model": "../x"}, "model", "a model's name"),
        ({"url": URL, "urll": "x"}, "urll", "unknown key"),
        ({"url": URL, "shadow": {"version": "3"}}, "shadow.version", "unknown key"),
        ({"url": URL, "shadow": {"copy_bytes": 1 << 30}}, "shadow.copy_bytes", "above limits.mirror_bytes"),
        ({"url": URL, "shadow": {"ramp_s": 1}}, "shadow.ramp_s", "has no effect without max_per_s"),
        ({"url": "http://127.0.0.1:8080", "path": "/{version}"}, "url", "is the sidecar's own listen"),
    ],
)
def test_a_fault_names_its_key(source: dict[str, Any], key: str, says: str, tmp_path: Path) -> None:
    [fault] = faults(tmp_path, deployments=[deployment(**source)])

    assert fault.key == f"deployments[0].from_registry.{key}"
    assert says in fault.says


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({}, "deployments[0].champion", "is required, or from_registry in its place"),
        (
            {"deployments": [deployment(url=URL) | {"champion": {"version": "3", "url": "http://m:1"}}]},
            "deployments[0].champion",
            "comes from the registry's aliases",
        ),
        (
            {"deployments": [deployment(url=URL) | {"challengers": [{"version": "3", "url": "http://m:1"}]}]},
            "deployments[0].challengers",
            "comes from the registry's aliases",
        ),
        ({"registry": None, "deployments": [deployment(url=URL)]}, "deployments[0].from_registry", "needs the key"),
    ],
)
def test_a_deployment_has_one_source_of_its_versions(
    changes: dict[str, Any], key: str, says: str, tmp_path: Path
) -> None:
    [fault] = faults(tmp_path, **changes)

    assert fault.key == key
    assert says in fault.says


@pytest.mark.parametrize(
    ("registry", "key", "says"),
    [
        ({"uri": "http://mlflow:5000"}, "uri", "must be file:FOLDER"),
        ({"uri": "file:"}, "uri", "must be file:FOLDER"),
        ({"uri": "mlflow+http://"}, "uri", "is no address"),
        ({"uri": "mlflow+http://mlflow:5000/?q=1"}, "uri", "is no address"),
        ({"uri": "file:r", "token_env": "T"}, "token_env", "the registry is a folder"),
        ({"uri": "file:r", "user_env": "U", "password_env": "P"}, "user_env", "the registry is a folder"),
        ({"uri": "file:r", "hosts": ["m"]}, "hosts", "the registry is a folder"),
        ({"uri": "mlflow+http://m", "user_env": "U"}, "user_env", "belongs together with password_env"),
        (
            {"uri": "mlflow+http://m", "token_env": "T", "user_env": "U", "password_env": "P"},
            "token_env",
            "not both",
        ),
        ({"uri": "mlflow+http://m", "ca_file": "x.pem"}, "ca_file", "does not begin with mlflow+https://"),
        ({"uri": "mlflow+https://m", "ca_file": "no-such.pem"}, "ca_file", "cannot be read"),
        ({"uri": "mlflow+http://m", "hosts": ["http://x"]}, "hosts[0]", "without scheme"),
        ({"uri": "mlflow+http://m", "timeout_s": 601}, "timeout_s", "must be at most 600"),
        ({"uri": "mlflow+http://m", "poll_s": 0}, "poll_s", "must be above 0"),
    ],
)
def test_the_registry_itself_is_checked(registry: dict[str, Any], key: str, says: str, tmp_path: Path) -> None:
    [fault] = faults(tmp_path, registry=registry, deployments=[deployment(managed=True)])

    assert fault.key == f"registry.{key}"
    assert says in fault.says


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, registry={"uri": "mlflow+http://bob:hunter2@m"}, deployments=[deployment(managed=True)])

    assert "token_env" in fault.says
    assert "hunter2" not in str(fault)


def test_artifacts_may_come_from_named_hosts_and_ports() -> None:
    registry = RegistrySettings(uri="mlflow+https://mlflow.example.com/prefix", hosts=("s3.example.com", "minio:9000"))

    assert not registry.is_folder
    assert registry.hosts == ("s3.example.com", "minio:9000")


def test_a_version_is_placed_where_the_template_says() -> None:
    source = FromRegistry(url=URL, path="/v2/models/fraud/versions/{version}/infer")
    placed = source.placed("7")

    assert (placed.version, placed.url) == ("7", "http://fraud-7:8080")
    assert placed.path == "/v2/models/fraud/versions/7/infer"
    assert source.challenger(placed).timeout_s == 5.0


@pytest.mark.parametrize(
    "version", ["evil.example.com", "1.2", "x:80/#", "a/../b", "", "7 ", "@evil", "{version}", "é"]
)
def test_no_version_decides_which_host_is_called(version: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        FromRegistry(url=URL).placed(version)


@pytest.mark.parametrize("version", ["../../etc/x", "a/b", "\0", "x" * 200])
def test_no_version_leads_a_socket_elsewhere(version: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        FromRegistry(url="unix:/run/fraud-{version}.sock").placed(version)


def test_a_version_with_dots_is_fine_in_a_path() -> None:
    assert FromRegistry(url="unix:/run/fraud-{version}.sock").placed("1.2").url == "unix:/run/fraud-1.2.sock"


def test_managed_versions_have_no_url() -> None:
    with pytest.raises(ValueError, match="managed"):
        FromRegistry(managed=True).placed("3")


def test_the_registrys_name_of_a_model_is_the_deployments_unless_given() -> None:
    plain = Deployment.model_validate({"name": "fraud", "champion": {"version": "3", "url": "http://m:1"}})
    same = Deployment.model_validate({"name": "fraud", "from_registry": {"managed": True}})
    other = Deployment.model_validate({"name": "fraud", "from_registry": {"managed": True, "model": "Fraud 2"}})

    assert [plain.model, same.model, other.model] == ["fraud", "fraud", "Fraud 2"]
    assert [len(d.versions) for d in (plain, same)] == [1, 0]


@pytest.mark.parametrize("section", [RegistrySettings, FromRegistry])
def test_nothing_is_converted(section: type[Section]) -> None:
    with pytest.raises(ValidationError):
        section.model_validate({"uri": "file:r", "managed": "yes", "poll_s": "10"})
