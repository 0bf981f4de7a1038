"""Locations and names that a registry tells: where they may lead, and the many ways in which they may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import pytest

from registry_client.access import Access
from registry_client.errors import DigestMismatch, InvalidDocument, InvalidName, NotFound, RegistryError
from registry_client.fetching import Fetcher
from registry_client.mlflow import MlflowRegistry
from registry_client.mlflow_files import folder_of, plain_path
from tests.registry_client.hostile_locations import HOSTILE_LOCATIONS
from tests.registry_client.scripted_server import Asked, Says, Script, says, scripted

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MODEL = b"weights" * 1_000
DIGEST = f"sha256:{sha256(MODEL).hexdigest()}"
MLMODEL = "flavors:\n  onnx:\n    data: model.onnx\n  python_function:\n    loader_module: mlflow.onnx\n"


class Stored:
    """A scripted MLflow with one version; what lies where is a test's to say."""

    def __init__(self, location: str, files: dict[str, bytes | Says] | None = None) -> None:
        self.location = location
        self.files = files or {}
        self.tags: dict[str, str] = {}
        self.status = "READY"

    def __call__(self, asked: Asked) -> Says:
        call = asked.path.removeprefix("/api/2.0/mlflow/")
        if call == "model-versions/get":
            return says({"model_version": self.version})
        if call == "model-versions/get-download-uri":
            return says({"artifact_uri": self.location})
        if call == "model-versions/set-tag":
            return says({})
        if asked.path == PROXY:
            folder = asked.query["path"] + "/"
            names = [path.removeprefix(folder) for path in self.files if path.startswith(folder)]
            return says({"files": [{"path": name, "is_dir": False, "file_size": 1} for name in names]})
        key = asked.query.get("path") or asked.path.removeprefix(f"{PROXY}/").removeprefix("/")
        found = self.files.get(key)
        if found is None:
            return says({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}, 404)
        return found if isinstance(found, Says) else says(found, media_type="application/octet-stream")

    @property
    def version(self) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self.tags.items()]
        return {"name": "fraud", "version": "1", "creation_timestamp": 1, "status": self.status, "tags": tags}


@pytest.fixture
async def stored() -> Stored:
    files: dict[str, bytes | Says] = {"1/models/m-1/artifacts/MLmodel": MLMODEL.encode()}
    return Stored("mlflow-artifacts:/1/models/m-1/artifacts", files | {"1/models/m-1/artifacts/model.onnx": MODEL})


@pytest.fixture
async def server(stored: Stored) -> AsyncIterator[Script]:
    async with scripted(stored) as script:
        yield script


@pytest.fixture
async def registry(server: Script) -> AsyncIterator[MlflowRegistry]:
    opened = MlflowRegistry(server.url, Access(timeout_s=10))
    yield opened
    await opened.close()


def written(server: Script) -> dict[str, str]:
    """The tags that were set."""
    import json

    bodies = [json.loads(one.body) for one in server.asked if one.path.endswith("/set-tag")]
    return {body["key"]: body["value"] for body in bodies}


async def test_an_artifact_is_fetched_through_the_proxy_and_its_digest_recorded(
    registry: MlflowRegistry, server: Script, tmp_path: Path
) -> None:
    path = await registry.artifact("fraud", "1", tmp_path)
    assert path.read_bytes() == MODEL
    assert written(server) == {"sidecar.artifact_digest": DIGEST}


async def test_whoever_may_not_write_tags_may_still_fetch(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path
) -> None:
    def read_only(asked: Asked) -> Says:
        if asked.path.endswith("/set-tag"):
            return says({"error_code": "PERMISSION_DENIED", "message": "no"}, 403)
        return stored(asked)

    server.answer = read_only
    assert (await registry.artifact("fraud", "1", tmp_path)).read_bytes() == MODEL


async def test_bytes_of_another_digest_than_the_recorded_are_refused(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path
) -> None:
    stored.tags["sidecar.artifact_digest"] = f"sha256:{'0' * 64}"
    with pytest.raises(DigestMismatch):
        await registry.artifact("fraud", "1", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert written(server) == {}


@pytest.mark.parametrize("location", HOSTILE_LOCATIONS)
async def test_a_hostile_location_leads_nowhere(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path, location: str
) -> None:
    stored.location = location
    with pytest.raises((InvalidName, InvalidDocument)) as caught:
        await registry.artifact("fraud", "1", tmp_path / "into")
    assert {one.path for one in server.asked} <= {
        "/api/2.0/mlflow/model-versions/get",
        "/api/2.0/mlflow/model-versions/get-download-uri",
    }
    assert not (tmp_path / "into").exists() or list((tmp_path / "into").iterdir()) == []
    assert "pass@" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_table_of_hostile_locations_is_as_long_as_it_should_be() -> None:
    assert len(set(HOSTILE_LOCATIONS)) == len(HOSTILE_LOCATIONS) >= 60


async def test_an_address_of_the_same_server_is_followed(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path
) -> None:
    stored.location = f"mlflow-artifacts://127.0.0.1:{server.port}/1/models/m-1/artifacts/"
    assert (await registry.artifact("fraud", "1", tmp_path)).read_bytes() == MODEL


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}/files", "mlflow-artifacts://127.0.0.1:{}/files"])
async def test_another_server_is_asked_only_if_it_is_named_and_without_credentials(
    server: Script, stored: Stored, tmp_path: Path, form: str
) -> None:
    async with scripted(Stored("", {"files/model.onnx": MODEL})) as other:
        stored.location = form.format(other.port) + "/model.onnx"
        for hosts in ((), (f"127.0.0.1:{other.port}",)):
            registry = MlflowRegistry(server.url, Access(token="t0ken", hosts=hosts))
            try:
                if hosts:
                    assert (await registry.artifact("fraud", "1", tmp_path)).read_bytes() == MODEL
                else:
                    with pytest.raises(InvalidName, match="hosts do not name it"):
                        await registry.artifact("fraud", "1", tmp_path)
                    assert other.asked == []
            finally:
                await registry.close()
        assert {one.headers.get("authorization") for one in server.asked} == {"Bearer t0ken"}
        assert {one.headers.get("authorization") for one in other.asked} == {None}


async def test_files_in_an_object_store_come_through_the_server(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path
) -> None:
    stored.location = "s3://bucket/1/artifacts"
    stored.files = {"MLmodel": MLMODEL.encode(), "model.onnx": MODEL}
    assert (await registry.artifact("fraud", "1", tmp_path)).read_bytes() == MODEL
    fetched = [one for one in server.asked if one.path == "/model-versions/get-artifact"]
    assert [one.query for one in fetched] == [
        {"name": "fraud", "version": "1", "path": "MLmodel"},
        {"name": "fraud", "version": "1", "path": "model.onnx"},
    ]


@pytest.mark.parametrize(
    ("mlmodel", "kind"),
    [
        (b"flavors:\n  onnx:\n    data: ../../secret\n", InvalidName),
        (b"flavors:\n  onnx:\n    data: /etc/passwd\n", InvalidName),
        (b"flavors:\n  onnx:\n    data: 'a%2e%2e/b'\n", InvalidName),
        (b"flavors:\n  onnx:\n    data: http://169.254.169.254/x\n", InvalidName),
        (b"flavors:\n  onnx:\n    data: ''\n", InvalidName),
        (b"flavors:\n  onnx:\n    data: [a]\n", InvalidName),
        (b"flavors:\n  onnx:\n    data: !!python/object/apply:os.system ['touch hacked']\n", InvalidName),
        (b"flavors:\n  onnx:\n    file: model.onnx\n", InvalidDocument),
        (b"flavors:\n  onnx: 7\n", InvalidDocument),
        (b"flavors:\n  sklearn:\n    data: model.pkl\n  onnxruntime:\n    data: model.onnx\n", NotFound),
        (b"other:\n  onnx:\n    data: model.onnx\n", NotFound),
        (b"flavors: 7\n", NotFound),
        (b"", NotFound),
        (b"{", NotFound),
        (b"\xff\xfe\0", NotFound),
        (b"[" * 1_000_000, NotFound),
        (b"{a: " * 250_000, NotFound),
        (b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (n, n, n - 1, n - 1) for n in range(98, 123)), NotFound),
        (b"x" * (2 * 1024 * 1024 + 1), InvalidDocument),
    ],
    ids=range(19),
)
async def test_a_hostile_mlmodel_leads_nowhere_and_runs_nothing(
    registry: MlflowRegistry,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mlmodel: bytes,
    kind: type[RegistryError],
) -> None:
    monkeypatch.chdir(tmp_path)
    stored.files["1/models/m-1/artifacts/MLmodel"] = mlmodel
    with pytest.raises(kind):
        await registry.artifact("fraud", "1", tmp_path / "into")
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "into"])


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ((), NotFound),
        (("readme.md",), NotFound),
        (("a.onnx", "b.onnx"), InvalidDocument),
        (("..%2f.onnx",), NotFound),
        (("a\\b.onnx",), NotFound),
    ],
)
async def test_without_an_mlmodel_the_only_onnx_file_is_taken(
    registry: MlflowRegistry, stored: Stored, tmp_path: Path, names: tuple[str, ...], kind: type[RegistryError]
) -> None:
    folder = "1/models/m-1/artifacts/"
    stored.files = {folder + name: b"x" for name in names}
    with pytest.raises(kind):
        await registry.artifact("fraud", "1", tmp_path / "into")
    stored.files = {f"{folder}one.onnx": MODEL, f"{folder}readme.md": b"x", f"{folder}notes #2 (100%).md": b"x"}
    assert (await registry.artifact("fraud", "1", tmp_path / "into")).read_bytes() == MODEL


def model_beside(location: str) -> bytes:
    """A model whose only weights are said to lie elsewhere."""
    weights = onnx.TensorProto(data_type=onnx.TensorProto.FLOAT, dims=[2], name="w", data_location="EXTERNAL")
    weights.external_data.add(key="location", value=location)
    return bytes(onnx.ModelProto(ir_version=8, graph=onnx.GraphProto(initializer=[weights])).SerializeToString())


async def test_weights_that_lie_beside_the_model_are_put_into_it(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path
) -> None:
    folder = "1/models/m-1/artifacts"
    stored.files |= {f"{folder}/model.onnx": model_beside("w.data"), f"{folder}/w.data": b"12345678"}
    path = await registry.artifact("fraud", "1", tmp_path)
    (weights,) = onnx.load(path, load_external_data=False).graph.initializer
    assert (weights.raw_data, weights.data_location, len(weights.external_data)) == (b"12345678", 0, 0)
    digest = f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    assert written(server) == {"sidecar.artifact_digest": digest}
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]

    stored.tags["sidecar.artifact_digest"] = digest
    stored.files[f"{folder}/w.data"] = b"poisoned"
    with pytest.raises(DigestMismatch):
        await registry.artifact("fraud", "1", tmp_path)
    assert path.read_bytes().count(b"12345678") == 1


@pytest.mark.parametrize(
    "location",
    [
        "../w.data",
        "/etc/passwd",
        "a/../../w",
        "..",
        "",
        "http://169.254.169.254/x",
        "a%2fb",
        "a\\b",
        "_ORT_MEM_ADDR_/x\0",
    ],
)
async def test_weights_that_are_said_to_lie_elsewhere_lead_nowhere(
    registry: MlflowRegistry, server: Script, stored: Stored, tmp_path: Path, location: str
) -> None:
    stored.files["1/models/m-1/artifacts/model.onnx"] = model_beside(location)
    with pytest.raises(InvalidName):
        await registry.artifact("fraud", "1", tmp_path)
    assert server.asked[-1].path == f"{PROXY}/1/models/m-1/artifacts/model.onnx"
    assert list(tmp_path.iterdir()) == []


async def test_weights_that_are_missing_or_short_are_told(
    registry: MlflowRegistry, stored: Stored, tmp_path: Path
) -> None:
    stored.files["1/models/m-1/artifacts/model.onnx"] = model_beside("w.data")
    with pytest.raises(InvalidDocument, match=r"lacks the file 'w\.data'"):
        await registry.artifact("fraud", "1", tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_version_that_is_not_ready_is_not_fetched(
    registry: MlflowRegistry, stored: Stored, tmp_path: Path
) -> None:
    stored.status = "PENDING_REGISTRATION"
    with pytest.raises(NotFound, match="not ready in MLflow: PENDING_REGISTRATION"):
        await registry.artifact("fraud", "1", tmp_path)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "http://evil/x", "a%2f..", ""])
async def test_a_baselines_path_in_a_tag_cannot_lead_elsewhere(
    registry: MlflowRegistry, stored: Stored, path: str
) -> None:
    stored.tags["sidecar.baseline_path"] = path
    with pytest.raises(InvalidName):
        await registry.baseline("fraud", "1")


@pytest.mark.parametrize("path", ["a", "a/b.onnx", "Modèle (2)/données+1.onnx", "..a", "a..b/c", "x" * 255])
async def test_plain_paths_stay_as_they_are_and_are_quoted(path: str) -> None:
    assert plain_path(path) == path
    fetcher = Fetcher("http://mlflow:5000/ml", Access())
    folder = folder_of("mlflow-artifacts:/1/a b", fetcher, "", {})
    assert folder.address(path).startswith("http://mlflow:5000/ml/api/2.0/mlflow-artifacts/artifacts/1/a%20b/")
    assert folder.address(path).isascii()
