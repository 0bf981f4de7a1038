from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import yaml

from sidecar.app import control as process
from sidecar.app.control import Control, main, serve
from sidecar.config_file import ConfigFaults

URL = "http://127.0.0.1:1"


def write(folder: Path, **changes: object) -> Path:
    document = {
        "state_dir": str(folder / "state"),
        "admin": {"listen": "127.0.0.1:0"},
        "deployments": [{"name": "fraud", "champion": {"version": "3", "url": URL}}],
    }
    (folder / "state").mkdir(exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document | changes))
    return path


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, config: Path) -> int:
    """`python -m sidecar.app.control`, as the supervisor starts it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = ["--config", str(config), "--admin-fd", str(os.dup(listener.fileno()))]
        given += ["--link", str(folder / "link.sock"), "--table", str(folder / "state" / "routing.msgpack")]
        monkeypatch.setattr(sys, "argv", ["control", *given])
        monkeypatch.setattr(process, "configure", lambda _name: None)
        return main()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Event]:
    """Who is to be told to stop; in place of signals and the supervisor's pipe."""
    events: list[asyncio.Event] = []
    monkeypatch.setattr(process, "stop_when_told", lambda _loop, event: events.append(event))
    return events


def test_it_says_ready_takes_up_a_changed_file_and_stops_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: list[asyncio.Event]
) -> None:
    config = write(tmp_path)
    reloads = []
    reload = Control.reload

    async def reloaded(control: Control) -> None:
        await reload(control)
        reloads.append([deployment["name"] for deployment in yaml.safe_load(config.read_text())["deployments"]])
        told[0].set()

    opened = Control.open

    async def then_changed(control: Control, listener: socket.socket) -> None:
        await opened(control, listener)
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(Control, "reload", reloaded)
    monkeypatch.setattr(Control, "open", then_changed)
    assert run(monkeypatch, tmp_path, config) == 0
    assert capsys.readouterr().out == "ready\n"
    assert reloads == [["fraud"]]
    assert (tmp_path / "state" / "routing.msgpack").stat().st_size > 0


def test_a_part_that_ends_ends_the_process_so_that_it_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[asyncio.Event]
) -> None:
    async def at_once(_control: Control) -> None:
        return

    monkeypatch.setattr(Control, "stopped", at_once)
    assert run(monkeypatch, tmp_path, write(tmp_path)) == 1
    assert len(told) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"deployments": []}, "nothing to serve"),
        ({"registry": {"uri": "file:bad\0name"}}, "names no folder"),
        (
            {"admin": {"tokens": [{"name": "a", "role": "viewer", "token_env": "SIDECAR_TEST_NO_SUCH"}]}},
            "SIDECAR_TEST_NO_SUCH",
        ),
        ({"state_dir": "/dev/null/state"}, "/dev/null/state"),
    ],
)
def test_what_it_cannot_start_with_is_one_sentence_and_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: list[asyncio.Event],
    changes: dict[str, object],
    says: str,
) -> None:
    assert run(monkeypatch, tmp_path, write(tmp_path, **changes)) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


async def test_serving_needs_a_file_that_is_there(tmp_path: Path, told: list[asyncio.Event]) -> None:
    with pytest.raises(ConfigFaults):
        await serve(tmp_path / "none.yaml", 0, "", tmp_path / "table")
    assert len(told) == 1
