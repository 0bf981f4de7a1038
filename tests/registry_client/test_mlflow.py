"""A real MLflow server, used as its own clients use it: what they log, we find; what we write, they find."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import trustme
from aiohttp import web

from registry_client import Access, Registry, build_baseline, open_registry
from registry_client.errors import NotFound, Refused
from registry_client.webhook import AliasEvent, verified
from tests.registry_client.mlflow_server import BIN, MlflowServer
from tests.registry_client.mlflow_server import mlflow_server as started_mlflow

# What a data scientist's pipeline does, with MLflow's own client and nothing of ours.
PIPELINE = """
import json, sys
import mlflow, numpy, onnx, pandas
from mlflow import MlflowClient
from onnx import TensorProto, helper, numpy_helper

name = sys.argv[1]
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1000])],
    # So large that MLflow puts it into a file of its own.
    [numpy_helper.from_array(numpy.arange(2000, dtype=numpy.float32).reshape(2, 1000), "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
trained = model.SerializeToString()
frame = pandas.DataFrame({"amount": [1.5, 2.5], "age": [30.0, 40.0]})
with mlflow.start_run(tags={"mlflow.source.git.commit": "4f2a", "mlflow.user": "ann"}) as run:
    mlflow.log_params({"depth": 3, "eta": 0.1})
    mlflow.log_metric("auc", 0.93)
    mlflow.log_input(mlflow.data.from_pandas(frame, name="payments"), context="training")
    mlflow.onnx.log_model(model, name="model", registered_model_name=name, pip_requirements=[])
client = MlflowClient()
client.set_registered_model_alias(name, "challenger", "1")
client.set_model_version_tag(name, "1", "sidecar.lineage.approved_by", "zoe")
print(json.dumps({"run": run.info.run_id, "onnx": trained.hex()}))
"""


@dataclass(frozen=True)
class Logged:
    name: str
    run_id: str
    onnx: bytes


@pytest.fixture(scope="module")
def logged(mlflow_server: MlflowServer) -> Logged:
    name = f"fraud {uuid4().hex}"
    done = subprocess.run(
        [BIN / "python", "-W", "ignore", "-c", PIPELINE, name],
        env=mlflow_server.environment,
        cwd=mlflow_server.folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    return Logged(name, said["run"], bytes.fromhex(said["onnx"]))


@pytest.fixture
async def registry(mlflow_server: MlflowServer) -> AsyncIterator[Registry]:
    opened = open_registry(mlflow_server.uri, access=Access(timeout_s=30))
    yield opened
    await opened.close()


async def rest(server: MlflowServer, method: str, call: str, /, **body: Any) -> Any:
    """MLflow's own REST interface, past our client."""
    url = f"{server.url}/api/2.0/mlflow/{call}"
    given: dict[str, Any] = {"params": body} if method == "GET" else {"json": body}
    async with aiohttp.ClientSession() as session, session.request(method, url, **given) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_what_a_pipeline_logged_is_found_by_its_alias(
    registry: Registry, mlflow_server: MlflowServer, logged: Logged, tmp_path: Path
) -> None:
    found = await registry.by_alias(logged.name, "challenger")
    assert (found.model, found.version) == (logged.name, "1")
    lineage = dict(found.lineage)
    assert lineage.pop("data").startswith("payments@")
    assert lineage.pop("source")
    assert lineage == {
        "code": "4f2a",
        "created_by": "ann",
        "run": logged.run_id,
        "params.depth": "3",
        "params.eta": "0.1",
        "metrics.auc": "0.93",
        "approved_by": "zoe",
    }
    assert await registry.aliases(logged.name) == {"challenger": "1"}

    path = await registry.artifact(logged.name, "1", tmp_path)
    assert path.read_bytes() == logged.onnx
    # MLflow has put the weights beside the model; here they are in it again.
    assert list((mlflow_server.folder / "artifacts").rglob("*.data"))
    digest = f"sha256:{sha256(logged.onnx).hexdigest()}"
    assert (await registry.version(logged.name, "1")).digest == digest
    told = await rest(mlflow_server, "GET", "model-versions/get", name=logged.name, version="1")
    assert {"key": "sidecar.artifact_digest", "value": digest} in told["model_version"]["tags"]


async def test_a_baseline_is_an_artifact_of_the_run_with_its_digest_in_a_tag(
    registry: Registry, mlflow_server: MlflowServer, logged: Logged
) -> None:
    with pytest.raises(NotFound, match="no baseline"):
        await registry.baseline(logged.name, "1")
    for values in ([1.5], [2.5]):
        baseline = build_baseline({"amount": values}, now=datetime(2026, 1, 1, tzinfo=UTC))
        assert (await registry.put_baseline(logged.name, "1", baseline)).baseline_digest == baseline.digest
        assert await registry.baseline(logged.name, "1") == baseline
    listed = await rest(mlflow_server, "GET", "artifacts/list", run_id=logged.run_id, path="monitoring")
    assert [file["path"] for file in listed["files"]] == ["monitoring/baseline.json"]
    told = await rest(mlflow_server, "GET", "model-versions/get", name=logged.name, version="1")
    assert {"key": "sidecar.baseline_digest", "value": baseline.digest} in told["model_version"]["tags"]


async def test_two_versions_of_one_run_have_a_baseline_each(
    registry: Registry, mlflow_server: MlflowServer, logged: Logged
) -> None:
    name = f"twins-{uuid4().hex}"
    run = await rest(mlflow_server, "POST", "runs/create", experiment_id="0")
    run_id = run["run"]["info"]["run_id"]
    await rest(mlflow_server, "POST", "registered-models/create", name=name)
    baselines = {}
    for version in ("1", "2"):
        source = f"{run['run']['info']['artifact_uri']}/model"
        await rest(mlflow_server, "POST", "model-versions/create", name=name, source=source, run_id=run_id)
        baselines[version] = build_baseline({"amount": [float(version)]}, now=datetime(2026, 1, 1, tzinfo=UTC))
        await registry.put_baseline(name, version, baselines[version])
    for version, baseline in baselines.items():
        assert await registry.baseline(name, version) == baseline


async def test_a_baseline_that_a_pipeline_only_logged_is_found_and_its_digest_recorded(
    registry: Registry, mlflow_server: MlflowServer
) -> None:
    from registry_client import to_json

    name, baseline = f"logged-{uuid4().hex}", build_baseline({"a": [1.0]}, now=datetime(2026, 1, 1, tzinfo=UTC))
    run = await rest(mlflow_server, "POST", "runs/create", experiment_id="0")
    uri = run["run"]["info"]["artifact_uri"]
    await rest(mlflow_server, "POST", "registered-models/create", name=name)
    await rest(
        mlflow_server, "POST", "model-versions/create", name=name, source=uri, run_id=run["run"]["info"]["run_id"]
    )
    path = uri.removeprefix("mlflow-artifacts:/") + "/monitoring/baseline.json"
    async with aiohttp.ClientSession() as session:
        url = f"{mlflow_server.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
        async with session.put(url, data=to_json(baseline)) as answer:
            assert answer.status == 200
    assert await registry.baseline(name, "1") == baseline
    assert (await registry.version(name, "1")).baseline_digest == baseline.digest


async def test_more_versions_than_a_page_are_all_found(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry_client.mlflow._PAGE", "2")
    name = f"many-{uuid4().hex}"
    for _ in range(5):
        await registry.register(name, "")
    assert [found.version for found in await registry.versions(name)] == ["1", "2", "3", "4", "5"]


async def test_our_writes_are_seen_by_mlflow(registry: Registry, mlflow_server: MlflowServer) -> None:
    name = f"ours-{uuid4().hex}"
    await registry.register(name, "1", tags={"team": "risk"}, lineage={"data": "payments"})
    await registry.set_alias(name, "champion", "1")
    told = await rest(mlflow_server, "GET", "registered-models/alias", name=name, alias="champion")
    assert told["model_version"]["version"] == "1"
    assert {tag["key"]: tag["value"] for tag in told["model_version"]["tags"]} == {
        "team": "risk",
        "sidecar.lineage.data": "payments",
    }


async def test_a_moved_alias_is_told_by_a_signed_webhook(registry: Registry, mlflow_server: MlflowServer) -> None:
    name, told = f"told-{uuid4().hex}", asyncio.Queue[AliasEvent | Any]()

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        now = float(request.headers["X-MLflow-Timestamp"]) + 1
        told.put_nowait(verified(b"shared-secret", request.headers, body, now))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/registry/webhook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/registry/webhook"
        events = [{"entity": "MODEL_VERSION_ALIAS", "action": action} for action in ("CREATED", "DELETED")]
        await rest(mlflow_server, "POST", "webhooks", name=name, url=url, events=events, secret="shared-secret")
        await registry.register(name, "1")
        await registry.set_alias(name, "challenger", "1")
        event = await asyncio.wait_for(told.get(), 60)
        assert (event.model, event.alias, event.version) == (name, "challenger", "1")
        await rest(mlflow_server, "DELETE", "registered-models/alias", name=name, alias="challenger")
        event = await asyncio.wait_for(told.get(), 60)
        assert (event.model, event.alias, event.version) == (name, "challenger", None)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def tls_front(port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """TLS before a server that speaks none, as a load balancer would."""
    links: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        links.add(asyncio.create_task(copy(reader, behind_writer)))
        links.add(asyncio.create_task(copy(behind_reader, writer)))

    front = await asyncio.start_server(link, "127.0.0.1", 0, ssl=tls)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def test_a_server_behind_tls_is_asked_and_believed_by_its_certificate(
    mlflow_server: MlflowServer, logged: Logged, tmp_path: Path
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with tls_front(mlflow_server.port, context) as port:
        uri = f"mlflow+https://localhost:{port}"
        registry = open_registry(uri, access=Access(timeout_s=30, ca_file=tmp_path / "ca.pem"))
        try:
            assert (await registry.by_alias(logged.name, "challenger")).version == "1"
            assert (await registry.artifact(logged.name, "1", tmp_path)).read_bytes() == logged.onnx
        finally:
            await registry.close()
        stranger = open_registry(uri, access=Access(timeout_s=30))
        try:
            with pytest.raises(Refused, match="not trusted"):
                await stranger.aliases(logged.name)
        finally:
            await stranger.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server that knows users."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\nadmin_password = correct-horse-battery\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_max_size = 100\nauth_cache_ttl_seconds = 60\n"  # hashing a password takes long on purpose
    )
    environment = {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "test",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "correct-horse-battery",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
    }
    with started_mlflow(folder, "--app-name", "basic-auth", environment=environment) as server:
        yield server


async def test_a_server_that_knows_users_is_used_with_a_password_and_refuses_without(
    guarded: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "trained.onnx").write_bytes(b"weights")
    for access, sentence in (
        (Access(timeout_s=30), "asks for credentials"),
        (Access(timeout_s=30, user="admin", password="wrong-horse-battery"), "does not accept the credentials"),
    ):
        stranger = open_registry(guarded.uri, access=access)
        try:
            with pytest.raises(Refused, match=sentence):
                await stranger.aliases("fraud")
        finally:
            await stranger.close()
    registry = open_registry(guarded.uri, access=Access(timeout_s=30, user="admin", password="correct-horse-battery"))
    try:
        await registry.register("fraud", "1", artifact=tmp_path / "trained.onnx")
        await registry.set_alias("fraud", "champion", "1")
        assert (await registry.by_alias("fraud", "champion")).version == "1"
        assert (await registry.artifact("fraud", "1", tmp_path / "into")).read_bytes() == b"weights"
    finally:
        await registry.close()
