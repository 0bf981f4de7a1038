"""From a wish to a warmed model server, with a registry that can be broken and a supervisor in this loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from registry_client.errors import Unreachable
from sidecar.control import managed_models
from sidecar.control.managed_models import ManagedModels
from sidecar.decide.model_servers import MOST_SERVERS, ModelServer, read, saying_path
from sidecar.model_server import ModelServerError, OnnxModel, serving
from tests.control.stub_registry import StubRegistry, digest_of
from tests.model_server.tiny_models import fragile, times

FOUR = ("fraud", "4")
MODEL = times(2.0).SerializeToString()


class Supervisor:
    """Does what the lines say, in tasks instead of processes. `slow` is awaited before a server comes up."""

    def __init__(self) -> None:
        self.lines: list[tuple[ModelServer, ...]] = []
        self.running: dict[str, tuple[ModelServer, AsyncExitStack]] = {}
        self.started: list[tuple[str, str]] = []
        self.deaf = False
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, line: str) -> None:
        servers = read(line.encode())
        self.lines.append(servers)
        if not self.deaf:
            task = asyncio.create_task(self._obey({server.socket: server for server in servers}))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _obey(self, wanted: dict[str, ModelServer]) -> None:
        for socket in list(self.running):
            if socket not in wanted:
                await self.kill(socket)
        for socket, server in wanted.items():
            if server.file is not None and socket not in self.running:
                await self.start(server)

    async def start(self, server: ModelServer) -> None:
        stack = AsyncExitStack()
        self.running[server.socket] = (server, stack)
        self.started.append((server.name, server.version))
        try:
            model = OnnxModel(Path(server.file or ""), server.name, server.version)
        except ModelServerError as error:
            Path(saying_path(server.socket)).write_text(str(error))
            return
        await stack.enter_async_context(serving(model, f"unix:{server.socket}"))

    async def kill(self, socket: str) -> ModelServer:
        server, stack = self.running.pop(socket)
        await stack.aclose()
        return server

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)
        for socket in list(self.running):
            await self.kill(socket)


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = StubRegistry({FOUR: MODEL, ("fraud", "5"): MODEL})
        self.supervisor = Supervisor()
        (folder / "s").mkdir()
        self.turns: list[bool] = []
        self.models = self.new()

    def new(self) -> ManagedModels:
        """Another control on the same folders."""
        models = ManagedModels(
            self.registry, self.folder / "models", self.folder / "s", self.supervisor.ask, lambda: 1e9, pace=0.02
        )
        models.changed = lambda: self.turns.append(models.ready(*FOUR) is not None)
        self.models = models
        return models

    @property
    def socket(self) -> str:
        return self.models.target(*FOUR).url.removeprefix("unix:")

    def told(self) -> list[tuple[str, bool]]:
        """The last line: versions, and whether each has its file."""
        return sorted((server.version, server.file is not None) for server in self.supervisor.lines[-1])


async def until(look: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not look():
            await asyncio.sleep(0.005)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.models.close()
    await stage.supervisor.close()


async def test_a_wanted_version_is_fetched_started_warmed_and_then_ready(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    assert stage.models.ready(*FOUR) is None
    assert stage.models.says(*FOUR) == "its artifact is being fetched"
    await stage.models.settled(10)

    target = stage.models.ready(*FOUR)
    assert target == stage.models.target(*FOUR)
    assert target is not None
    assert target.path == "/v2/models/fraud/infer"
    assert stage.models.says(*FOUR) is None
    assert stage.turns == [True]
    assert [len(line) for line in stage.supervisor.lines] == [1, 1]
    assert stage.told() == [("4", True)]
    file = Path(stage.supervisor.lines[-1][0].file or "")
    assert file.is_relative_to(stage.folder / "models" / "fraud" / "4")


async def test_what_is_served_is_known_by_its_content(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    assert stage.models.digest(*FOUR) is None
    await stage.models.settled(10)
    assert stage.models.digest(*FOUR) == digest_of(MODEL)
    assert stage.models.digest("fraud", "9") is None


async def test_asking_again_for_the_same_changes_nothing(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    lines = len(stage.supervisor.lines)
    for _ in range(10):
        stage.models.want({FOUR: "fraud"})

    assert len(stage.supervisor.lines) == lines
    assert stage.models.ready(*FOUR) is not None
    assert stage.registry.fetched == 1


async def test_the_deployments_name_is_served_whatever_the_registry_calls_the_model(stage: Stage) -> None:
    stage.registry.contents["risk/fraud v2", "4"] = MODEL
    stage.models.want({FOUR: "risk/fraud v2"})
    await stage.models.settled(10)

    assert stage.models.ready(*FOUR) is not None
    assert stage.supervisor.lines[-1][0].name == "fraud"


async def test_what_is_wanted_no_longer_ends_after_the_copies_under_way(stage: Stage) -> None:
    five = ("fraud", "5")
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    stage.models.want({five: "fraud"})
    assert stage.models.ready(*FOUR) is None
    assert stage.told() == [("4", False), ("5", False)]  # 4 goes on for a while

    await until(lambda: stage.told() == [("5", True)])
    await until(lambda: [version for _, version in stage.supervisor.started] == ["4", "5"])
    assert stage.models.says(*FOUR) is None


async def test_one_that_is_wanted_again_at_once_is_not_started_anew(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    stage.models.want({})
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)

    assert stage.models.ready(*FOUR) is not None
    assert stage.supervisor.started == [FOUR]
    assert all(stage.supervisor.lines)


async def test_another_control_leaves_what_runs_alone_and_finds_it_ready(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    target = stage.models.ready(*FOUR)
    await stage.models.close()
    stage.registry.fault = Unreachable("the registry does not answer")
    again = stage.new()
    again.want({FOUR: "fraud"})
    assert stage.told() == [("4", False)]
    await again.settled(10)

    assert again.ready(*FOUR) == target
    assert stage.supervisor.started == [FOUR]
    assert stage.registry.fetched == 1


async def test_with_the_registry_away_it_says_so_and_goes_on_when_it_is_back(stage: Stage) -> None:
    stage.registry.fault = Unreachable("the registry does not answer")
    stage.models.want({FOUR: "fraud"})
    async with asyncio.timeout(30):
        await stage.models.settled(60)
    assert stage.models.says(*FOUR) == "the registry does not answer"
    assert stage.supervisor.started == []

    stage.registry.fault = None
    await until(lambda: stage.models.ready(*FOUR))
    assert stage.models.says(*FOUR) is None


async def test_a_fault_of_one_version_holds_up_no_other(stage: Stage) -> None:
    stage.registry.contents["fraud", "5"] = b"garbage, of the right digest"
    stage.models.want({FOUR: "fraud", ("fraud", "5"): "fraud", ("fraud", "6"): "fraud"})
    async with asyncio.timeout(30):
        await stage.models.settled(60)

    assert stage.models.ready(*FOUR) is not None
    assert stage.models.ready("fraud", "5") is None
    assert "is not a usable ONNX model" in (stage.models.says("fraud", "5") or "")
    assert stage.models.says("fraud", "6") == "model 'fraud' has no version '6'"


async def test_a_corrupt_artifact_is_never_started(stage: Stage) -> None:
    stage.registry.digest = lambda content: "sha256:" + "0" * 64
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)

    assert "has digest sha256:" in (stage.models.says(*FOUR) or "")
    assert stage.supervisor.started == []


async def test_a_model_that_fails_on_zeros_is_ready_and_it_is_said(stage: Stage) -> None:
    stage.registry.contents[FOUR] = fragile().SerializeToString()
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)

    assert stage.models.ready(*FOUR) is not None
    assert (stage.models.says(*FOUR) or "").startswith("it answered 500 to an inference of zeros")


async def test_a_short_absence_is_said_and_a_long_one_ends_its_readiness(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    server = await stage.supervisor.kill(stage.socket)
    await until(lambda: "does not answer" in (stage.models.says(*FOUR) or ""))
    assert stage.models.ready(*FOUR) is not None
    await stage.supervisor.start(server)
    await until(lambda: stage.models.says(*FOUR) is None)
    assert stage.turns == [True]

    server = await stage.supervisor.kill(stage.socket)
    await until(lambda: stage.models.ready(*FOUR) is None)
    assert stage.turns == [True, False]
    await stage.supervisor.start(server)
    await until(lambda: "watched for a while" in (stage.models.says(*FOUR) or ""))
    await until(lambda: stage.models.ready(*FOUR))
    assert stage.turns == [True, False, True]


async def test_one_that_crashes_again_and_again_is_not_ready_although_it_answers(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    Path(saying_path(stage.socket)).write_text("it crashed\n(SIGSEGV)")
    await until(lambda: stage.models.ready(*FOUR) is None)
    assert stage.models.says(*FOUR) in {
        "its model server had to be started again: it crashed (SIGSEGV)",
        "its model server is not ready: it crashed (SIGSEGV)",
    }

    Path(saying_path(stage.socket)).unlink()
    await until(lambda: stage.models.ready(*FOUR))


async def test_a_file_that_vanishes_before_its_server_came_up_is_fetched_again(stage: Stage) -> None:
    stage.supervisor.deaf = True
    stage.models.want({FOUR: "fraud"})
    await until(lambda: stage.supervisor.lines and stage.told() == [("4", True)])
    Path(stage.supervisor.lines[-1][0].file or "").unlink()
    await until(lambda: stage.registry.fetched == 2)


async def test_addresses_are_the_same_after_a_restart_and_differ_between_versions(stage: Stage) -> None:
    names = [("fraud", "4"), ("fraud", "5"), ("credit", "4"), ("fraud4", "")]
    before = [stage.models.target(*name).url for name in names]

    assert [stage.new().target(*name).url for name in names] == before
    assert len(set(before)) == len(names)


async def test_another_model_under_the_same_version_is_not_ready_because_the_one_before_still_answers(
    stage: Stage,
) -> None:
    stage.registry.contents["credit", "4"] = MODEL
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)
    before = stage.models.ready(*FOUR)
    stage.supervisor.deaf = True
    stage.models.want({FOUR: "credit"})
    await until(lambda: stage.registry.fetched == 2)
    assert stage.supervisor.lines[-1] != ()
    for _ in range(50):
        await asyncio.sleep(0.005)
        assert stage.models.ready(*FOUR) is None
    assert before != stage.models.target(*FOUR, model="credit")


async def test_a_path_too_long_for_a_socket_is_said(stage: Stage, tmp_path: Path) -> None:
    models = ManagedModels(stage.registry, tmp_path, tmp_path / ("x" * 90), stage.supervisor.ask, lambda: 1e9)
    models.want({FOUR: "fraud"})
    await models.settled(10)

    assert "too long for a socket: set TMPDIR" in (models.says(*FOUR) or "")
    await models.close()


async def test_there_is_an_end_to_how_many_run(stage: Stage) -> None:
    stage.supervisor.deaf = True
    stage.registry.fault = Unreachable("away")
    stage.models.want({("fraud", str(number)): "fraud" for number in range(MOST_SERVERS + 1)})

    assert len(stage.supervisor.lines[-1]) == MOST_SERVERS
    assert stage.models.says("fraud", "99") == f"more than {MOST_SERVERS} models cannot be run"


async def test_a_fault_of_our_own_is_told_and_takes_nothing_else_down(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(managed_models, "warmed", broken)
    stage.models.want({FOUR: "fraud"})
    await stage.models.settled(10)

    assert stage.models.says(*FOUR) == "it is not looked after any more (ZeroDivisionError): restart the sidecar"


async def test_nothing_goes_on_after_the_end(stage: Stage) -> None:
    stage.models.want({FOUR: "fraud"})
    await stage.models.close()

    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("model ")] == []
