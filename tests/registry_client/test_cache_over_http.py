"""R-F17 over real sockets: an MLflow server that turns hostile, and what whoever asks gets in the meantime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_client.access import Access
from registry_client.cache import CachedRegistry
from registry_client.mlflow import MlflowRegistry
from tests.registry_client.hostile_registry import Clock
from tests.registry_client.scripted_server import Asked, Says, Script, says, scripted

# The short one for faults that keep a caller waiting: on a busy machine the others would be mistaken for them.
TIMEOUT_S, PATIENCE_S = 2.0, 30.0
LONG = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
FAULTS: dict[str, tuple[Says, bool | None]] = {
    # What it says, and whether that is a registry that answers; None where it depends on how fast it comes.
    "says nothing": (Says(b"", silent=True), False),
    "breaks off": (Says(b""), False),
    "breaks off in the body": (Says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), False),
    "drips": (Says(ENDLESS, again=b" "), False),
    "is in trouble": (says({"error_code": "INTERNAL_ERROR"}, 500), False),
    "wants credentials": (says("<html>log in</html>", 401, "text/html"), False),
    "redirects elsewhere": (says("", 302, Location="http://169.254.169.254/latest"), False),
    "is a page": (says("<html>welcome</html>", 200, "text/html"), True),
    "is no JSON": (says(b"\xff\x00\xfe"), True),
    "is no HTTP": (Says(b"\x00\x01\x02 SSH-2.0\r\n\r\n"), True),
    "announces a gigabyte": (Says(LONG, again=b"x" * 65_536), True),
    "never ends": (Says(ENDLESS, again=b"[" * 65_536), None),
    "is deep": (says(b'{"registered_model":' + b"[" * 200_000), True),
    "means another model": (says({"registered_model": {"name": "spam", "aliases": []}}), True),
    "has numbers for names": (
        says({"registered_model": {"name": 7}, "model_version": {"name": 7, "version": {}}}),
        True,
    ),
}

KEEP_WAITING = ("says nothing", "drips", "never ends")


class Mlflow:
    """Two versions; `champion` is where the alias is. `fault` answers in place of everything."""

    def __init__(self) -> None:
        self.champion = "1"
        self.fault: Says | None = None

    def __call__(self, asked: Asked) -> Says:
        if self.fault is not None:
            return self.fault
        match asked.path.removeprefix("/api/2.0/mlflow/"):
            case "registered-models/get":
                aliases = [{"alias": "champion", "version": self.champion}]
                return says({"registered_model": {"name": "fraud", "aliases": aliases}})
            case "model-versions/get":
                return says({"model_version": self._version(asked.query["version"])})
            case "model-versions/search":
                return says({"model_versions": [self._version("1"), self._version("2")]})
        return says({"error_code": "RESOURCE_DOES_NOT_EXIST"}, 404)

    def _version(self, number: str) -> dict[str, object]:
        return {"name": "fraud", "version": number, "creation_timestamp": 1_000 * int(number)}


class Stage:
    def __init__(self, server: Script, mlflow: Mlflow, cached: CachedRegistry, clock: Clock) -> None:
        self.server = server
        self.mlflow = mlflow
        self.cached = cached
        self.clock = clock

    async def read(self) -> tuple[object, ...]:
        """Everything, and no longer than the timeout of one read with something to spare for a busy machine."""
        async with asyncio.timeout(PATIENCE_S * 4):
            return (
                await self.cached.aliases("fraud"),
                await self.cached.version("fraud", "2"),
                await self.cached.versions("fraud"),
                await self.cached.by_alias("fraud", "champion"),
            )


@pytest.fixture
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    mlflow, clock = Mlflow(), Clock()
    case = getattr(request.node, "callspec", None)
    timeout_s = TIMEOUT_S if case and case.params["fault"] in KEEP_WAITING else PATIENCE_S
    async with scripted(mlflow) as server:
        inner = MlflowRegistry(server.url, Access(timeout_s=timeout_s))
        cached = CachedRegistry(inner, tmp_path / "cache", clock=clock, timeout_s=timeout_s)
        yield Stage(server, mlflow, cached, clock)
        await cached.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_it_says_the_last_known_good_is_read_and_its_return_is_noticed(stage: Stage, fault: str) -> None:
    good = await stage.read()
    stage.mlflow.fault, answers = FAULTS[fault]
    assert await stage.read() == good
    if answers is not None:
        assert stage.cached.health.reachable is answers
    if stage.cached.health.reachable:
        assert stage.cached.fault("fraud"), "what it says of this model cannot be used"
    else:
        assert stage.cached.health.says
        asked = len(stage.server.asked)
        for _ in range(20):
            assert await stage.read() == good
        assert len(stage.server.asked) == asked, "it is left alone for a while"
    stage.clock.now += 60.0
    assert await stage.read() == good
    assert stage.cached.age_s("fraud") == 60.0
    stage.clock.now += 60.0
    stage.mlflow.fault, stage.mlflow.champion = None, "2"
    assert (await stage.read())[0] == {"champion": "2"}
    assert (stage.cached.health.reachable, stage.cached.fault("fraud"), stage.cached.age_s("fraud")) == (
        True,
        None,
        0.0,
    )


async def test_a_server_that_is_gone_is_no_different(stage: Stage, tmp_path: Path) -> None:
    good = await stage.read()
    async with scripted(stage.mlflow) as other:
        gone = MlflowRegistry(other.url, Access(timeout_s=PATIENCE_S))
    cached = CachedRegistry(gone, tmp_path / "cache", clock=stage.clock, timeout_s=PATIENCE_S)
    stage.cached = cached
    assert await stage.read() == good
    assert cached.health.reachable is False
    await cached.close()
