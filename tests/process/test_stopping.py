"""How a sidecar ends: what was begun is answered, nothing is left behind, and the exit code says how it went."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.process.whole_sidecar import (
    PATIENCE_S,
    START_S,
    Answer,
    Make,
    Model,
    Sidecar,
    ask_once,
    command,
    connect,
    until,
)


class Held:
    """A request that its model does not answer yet."""

    def __init__(self, url: str, model: Model) -> None:
        self._url = url
        self._model = model
        self.answer: Answer | None = None
        self.fault: OSError | None = None
        self._thread = threading.Thread(target=self._ask)
        model.held.clear()
        model.release.clear()
        self._thread.start()
        assert model.held.wait(PATIENCE_S)

    def _ask(self) -> None:
        try:
            self.answer = ask_once(self._url, headers={"x-hold": "yes"})
        except OSError as fault:
            self.fault = fault

    def released(self) -> Answer | None:
        """Lets the model answer; what came of it."""
        self._model.release.set()
        self._thread.join(PATIENCE_S)
        return self.answer


@pytest.fixture
def champion(models: dict[str, Model]) -> Iterator[Model]:
    yield models["3"]
    models["3"].release.set()


def nothing_left(sidecar: Sidecar) -> bool:
    return not any("sidecar" in command(pid) for pid in sidecar.family)


def accepts(url: str) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(connect(url, 5)) as connection:
        connection.connect()
        return True
    return False


def test_it_is_not_ready_while_it_drains(sidecar: Sidecar, champion: Model) -> None:
    held = Held(sidecar.data, champion)
    assert ask_once(sidecar.admin, "/readyz", None).status == 200
    sidecar.process.send_signal(signal.SIGTERM)
    until("that it says no", lambda: ask_once(sidecar.admin, "/readyz", None).status == 503)
    assert ask_once(sidecar.admin, "/healthz", None).status == 200
    answer = held.released()
    assert answer is not None
    assert answer.status == 200
    assert sidecar.ended() == 0


def test_a_request_in_flight_at_sigterm_is_answered_and_the_exit_is_clean(sidecar: Sidecar, champion: Model) -> None:
    held = Held(sidecar.data, champion)

    sidecar.process.send_signal(signal.SIGTERM)
    until("that new callers are refused", lambda: not accepts(sidecar.data))
    answer = held.released()

    assert answer is not None
    assert (answer.status, answer.version) == (200, "3")
    assert answer.headers["connection"] == "close"
    assert sidecar.ended() == 0
    assert nothing_left(sidecar)
    assert not accepts(sidecar.data)
    assert sidecar.sentences == []
    assert sidecar.logged("child died") == []


def test_a_request_longer_than_the_drain_is_cut_and_the_exit_code_says_so(make: Make, champion: Model) -> None:
    sidecar = make(timeouts={"drain_s": 0.5}).start()
    held = Held(sidecar.data, champion)

    assert sidecar.stop() == 1
    assert held.released() is None
    assert nothing_left(sidecar)


def test_a_reload_that_lengthens_the_drain_counts_at_the_stop(make: Make, champion: Model) -> None:
    sidecar = make(timeouts={"drain_s": 0.1}).start()
    sidecar.write(sidecar.settings | {"timeouts": {"drain_s": 50}})
    sidecar.process.send_signal(signal.SIGHUP)
    until("the reload", lambda: sidecar.logged("the configuration was reloaded"))
    held = Held(sidecar.data, champion)

    sidecar.process.send_signal(signal.SIGTERM)
    # Longer than the drain that it began with, and the time that is added to it before the kill.
    threading.Event().wait(3.5)

    answer = held.released()
    assert answer is not None
    assert answer.status == 200
    assert sidecar.ended() == 0


def test_a_second_interrupt_ends_it_at_once(sidecar: Sidecar, champion: Model) -> None:
    held = Held(sidecar.data, champion)
    os.killpg(sidecar.process.pid, signal.SIGINT)  # as a terminal does
    until("that new callers are refused", lambda: not accepts(sidecar.data))
    assert sidecar.process.poll() is None

    os.killpg(sidecar.process.pid, signal.SIGINT)

    assert sidecar.ended(20) == 130, "long before the drain is over"
    assert held.released() is None
    assert nothing_left(sidecar)


def test_one_interrupt_drains_as_sigterm_does(sidecar: Sidecar, champion: Model) -> None:
    held = Held(sidecar.data, champion)
    os.killpg(sidecar.process.pid, signal.SIGINT)

    answer = held.released()

    assert answer is not None
    assert answer.status == 200
    assert sidecar.ended() == 0


@pytest.mark.parametrize("moment", ["supervisor", "control", "worker"])
def test_sigterm_while_it_starts_ends_it_cleanly(make: Make, moment: str) -> None:
    sidecar = make().begin()

    def begun() -> bool:
        if moment == "supervisor":
            return "sidecar.supervisor" in command(sidecar.process.pid)
        return bool(sidecar.child(f"sidecar.app.{moment}"))

    until(moment, begun)
    assert sidecar.stop() == 0
    assert nothing_left(sidecar)
    assert sidecar.sentences == []


def test_a_closed_terminal_reloads_and_ends_nothing(sidecar: Sidecar) -> None:
    os.killpg(sidecar.process.pid, signal.SIGHUP)

    until("the reload", lambda: sidecar.logged("the configuration was reloaded"))
    assert ask_once(sidecar.data).status == 200
    assert sidecar.logged("child died") == []
    assert sidecar.stop() == 0


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_for_the_registry_ends_at_once(make: Make, told: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as registry:
        registry.settimeout(START_S)
        address = f"mlflow+http://127.0.0.1:{registry.getsockname()[1]}"
        source = {"url": "http://127.0.0.1:1", "path": "/{version}"}
        sidecar = make(
            registry={"uri": address, "timeout_s": 300.0},
            deployments=[{"name": "fraud", "from_registry": source}],
        )
        sidecar.begin()
        asking, _ = registry.accept()  # and never answers
        with asking:
            sidecar.process.send_signal(told)
            assert sidecar.ended() == 0
    assert sidecar.logged("child did not stop in time") == [], "nobody had to be killed"
    assert nothing_left(sidecar)
