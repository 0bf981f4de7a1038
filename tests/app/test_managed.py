"""The supervisor's model servers, on a small program that stands for one: what a line may do, and what it may not."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sidecar.app import managed
from sidecar.app.child import Patience
from sidecar.app.managed import ModelServers, how, without_secrets
from sidecar.decide.model_servers import ModelServer, written

# Writes who it is into `starts`, then does what its model file says.
PROGRAM = """\
import os, sys
given = dict(part[2:].split('=', 1) for part in sys.argv[1:])
open('starts', 'a').write(f"{given['name']} {given['version']} {os.path.basename(given['file'])} {os.getpid()}\\n")
exec(open(given['file']).read())
"""
WAITS = "open(given['socket'], 'w')\nprint('ready', flush=True)\nsys.stdin.read()\n"


class Stage:
    def __init__(self, folder: Path) -> None:
        self.run_dir, self.models = folder / "run", folder / "state" / "models"
        self.run_dir.mkdir()
        self.models.mkdir(parents=True)
        self.servers = ModelServers(self.run_dir, self.models, "stand_in")

    def socket(self, version: str) -> str:
        return str(self.run_dir / f"m-{int(version):012x}.sock")

    def server(self, version: str, does: str = WAITS, file: str = "model") -> ModelServer:
        path = self.models / file
        # In one step: one that was started a moment ago may be about to read it, and half a program ends at once.
        beside = path.with_suffix(".new")
        beside.write_text(does, encoding="utf-8")
        beside.replace(path)
        return ModelServer("fraud", version, self.socket(version), str(path))

    def kept(self, version: str) -> ModelServer:
        return ModelServer("fraud", version, self.socket(version))

    def ask(self, *servers: ModelServer) -> None:
        self.servers.obey(written(servers).encode() + b"\n")

    def starts(self) -> list[list[str]]:
        path = Path("starts")
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def running(self) -> list[str]:
        return sorted(version for _, version, _, pid in self.starts() if alive(int(pid)))

    def saying(self, version: str) -> Path:
        return Path(self.socket(version)).with_suffix(".says")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


async def until(look: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not look():
            await asyncio.sleep(0.01)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    (tmp_path / "stand_in.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stage = Stage(tmp_path)
    yield stage
    await stage.servers.stop(10.0)


async def test_what_is_asked_for_runs_and_what_is_asked_for_no_longer_ends(stage: Stage) -> None:
    three, four, five = (stage.server(version) for version in "345")
    stage.ask(three, four)
    await until(lambda: stage.running() == ["3", "4"] and Path(three.socket).exists())

    stage.ask(four, five)
    await until(lambda: stage.running() == ["4", "5"])

    assert len(stage.starts()) == 3  # the one that stays was left alone
    assert not Path(three.socket).exists()


async def test_the_same_line_again_changes_nothing(stage: Stage) -> None:
    four = stage.server("4")
    for _ in range(20):
        stage.ask(four)
    await until(lambda: stage.running() == ["4"])
    stage.ask(four)

    assert len(stage.starts()) == 1


async def test_a_server_without_a_file_is_left_as_it_is(stage: Stage) -> None:
    stage.ask(stage.server("4"))
    await until(lambda: stage.running() == ["4"])
    stage.ask(stage.kept("4"), stage.kept("5"))
    stage.ask(stage.kept("4"), stage.server("6"))
    await until(lambda: stage.running() == ["4", "6"])

    assert len(stage.starts()) == 2


async def test_another_file_takes_the_place_of_the_one_before(stage: Stage) -> None:
    stage.ask(stage.server("4", file="before"))
    await until(lambda: stage.running() == ["4"])
    stage.ask(stage.server("4", file="after"))
    await until(lambda: len(stage.starts()) == 2 and stage.running() == ["4"])

    assert stage.starts()[1][2] == "after"


async def test_one_that_is_asked_for_while_it_ends_comes_back(stage: Stage) -> None:
    four = stage.server("4")
    stage.ask(four)
    await until(lambda: Path(four.socket).exists())
    stage.ask()
    stage.ask(four)
    stage.ask()
    stage.ask(four)
    await until(lambda: stage.running() == ["4"])
    await until(lambda: Path(four.socket).exists())


@pytest.mark.parametrize(
    "line",
    [
        b"ready\n",
        b"\n",
        b"{\n",
        b'{"model_servers": [{}]}\n',
        b'{"model_servers": null}\n',
        b'{"stop": true}\n',
        b"\xff\xfe\n",
        b"{" * 100_000,
    ],
)
async def test_a_malformed_line_changes_nothing(stage: Stage, line: bytes) -> None:
    stage.ask(stage.server("4"))
    await until(lambda: stage.running() == ["4"])
    stage.servers.obey(line)
    stage.ask(stage.kept("4"), stage.server("5"))
    await until(lambda: stage.running() == ["4", "5"])

    assert len(stage.starts()) == 2


@pytest.mark.parametrize(
    ("socket", "file"),
    [
        ("/elsewhere/m-000000000005.sock", None),
        ("{run}/link.sock", None),
        ("{run}/../m-000000000005.sock", None),
        ("{run}/m-000000000005.sock/m-000000000005.sock", None),
        ("{run}/m-000000000005.sock", "/etc/passwd"),
        ("{run}/m-000000000005.sock", "{models}/../../secret"),
        ("{run}/m-000000000005.sock", "{models}x/model"),
    ],
)
async def test_a_socket_or_file_outside_its_folder_is_refused_with_the_whole_line(
    stage: Stage, socket: str, file: str | None
) -> None:
    places = {"run": stage.run_dir, "models": stage.models}
    hostile = ModelServer("fraud", "5", socket.format(**places), file and file.format(**places))
    stage.ask(stage.server("4"))
    await until(lambda: stage.running() == ["4"])
    stage.ask(hostile, stage.server("6"))
    stage.ask(stage.kept("4"), stage.server("7"))
    await until(lambda: stage.running() == ["4", "7"])

    assert [start[1] for start in stage.starts()] == ["4", "7"]


async def test_a_name_that_looks_like_an_option_is_a_name(stage: Stage) -> None:
    server = stage.server("4")
    stage.ask(ModelServer("--file=/etc/passwd", "-4", server.socket, server.file))
    await until(stage.starts)

    assert stage.starts()[0][:3] == ["--file=/etc/passwd", "-4", "model"]


async def test_one_that_dies_is_started_again_and_leaves_word_until_it_runs_well(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "SETTLED_S", 0.3)
    stage.ask(stage.server("4"))
    await until(lambda: Path(stage.socket("4")).exists())
    os.kill(int(stage.starts()[0][3]), signal.SIGKILL)

    await until(lambda: stage.saying("4").exists())
    assert stage.saying("4").read_text() == "it was killed (SIGKILL), perhaps for want of memory"
    await until(lambda: len(stage.starts()) == 2 and stage.running() == ["4"])
    await until(lambda: not stage.saying("4").exists())


async def test_a_model_that_will_not_do_says_why_and_is_tried_again_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "PATIENCE", Patience(unready_s=0.05, unready_longest_s=0.05))
    stage.ask(stage.server("4", "print('fault it is garbage: \\u00e9', flush=True)\nsys.exit(2)\n"))
    await until(lambda: len(stage.starts()) > 2)

    assert stage.saying("4").read_text(encoding="utf-8") == "it is garbage: é"
    stage.ask()
    await until(lambda: not stage.running() and not stage.saying("4").exists())
    assert list(stage.run_dir.iterdir()) == []


async def test_nothing_is_left_and_nothing_starts_after_the_stop(stage: Stage) -> None:
    stage.ask(stage.server("4"), stage.server("5"))
    await until(lambda: stage.running() == ["4", "5"])
    await stage.servers.stop(30.0)

    assert stage.running() == []
    assert list(stage.run_dir.iterdir()) == []
    stage.ask(stage.server("6"))
    assert len(stage.starts()) == 2


async def test_a_kill_is_at_once(stage: Stage) -> None:
    stage.ask(stage.server("4", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS))
    await until(lambda: Path(stage.socket("4")).exists())
    stage.servers.kill()

    async with asyncio.timeout(30):
        await stage.servers.stop(60.0)
    assert stage.running() == []


async def test_what_a_killed_supervisor_left_is_gone_before_anything_runs(stage: Stage) -> None:
    stage.saying("4").write_text("it crashed in another life")
    (stage.run_dir / "m-000000000009.sock").touch()
    (stage.run_dir / "link.sock").touch()
    stage.ask(stage.kept("4"))
    assert [path.name for path in stage.run_dir.iterdir()] == ["link.sock"]

    stage.saying("4").write_text("it crashed in this life")
    stage.ask()
    assert stage.saying("4").exists()


def test_a_model_server_gets_no_secrets() -> None:
    environment = {
        "PATH": "/bin",
        "PYTHONPATH": "/x",
        "LC_ALL": "C",
        "TMPDIR": "/t",
        "MLFLOW_TRACKING_TOKEN": "hunter2",
        "SIDECAR_TOKEN_ALICE": "hunter2",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "LD_PRELOAD": "/x.so",
        "ORT_LOAD_CONFIG_FROM_MODEL": "1",
        "ORT_DISABLE_TELEMETRY": "0",
    }
    given = without_secrets(environment)

    assert "hunter2" not in given.values()
    assert given["ORT_DISABLE_TELEMETRY"] == "1"
    assert sorted(given) == [
        "LC_ALL", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY", "PATH", "PYTHONPATH", "TMPDIR",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (-signal.SIGXCPU, "computing time"),
        (-signal.SIGKILL, "memory"),
        (-signal.SIGSEGV, r"crashed \(SIGSEGV\)"),
        (-99, "exit code -99"),
        (1, "exit code 1"),
    ],
)
def test_an_end_is_a_sentence(code: int, says: str) -> None:
    assert re.search(says, how(code))
