"""`sidecar top` in a terminal, beside a sidecar that works."""

from __future__ import annotations

import signal
import sys

from tests.process.whole_sidecar import Callers, Sidecar, until
from tests.terminal import Terminal

TOP = [sys.executable, "-m", "sidecar.cli", "top", "--interval", "0.5"]
SHOWN, GONE = "\x1b[?1049h", "\x1b[?1049l"  # the terminal's other screen


def test_top_shows_what_happens_and_leaves_the_terminal_as_it_was(sidecar: Sidecar) -> None:
    with Callers(sidecar.data) as callers, Terminal(TOP, {"SIDECAR_URL": sidecar.admin}) as top:
        top.until("fraud", "3 champion", "req/s")
        assert SHOWN in top.written
        callers.more(50)
        until("the gates pass", lambda: sidecar.get("/v1/deployments/fraud/gates")["verdict"] == "pass")
        top.until("2 pass", "100.00%", " ms", "no alarms")
        promoted = sidecar.cli("promote", "fraud", "4", "--reason", "the gates pass")
        assert promoted.returncode == 0, promoted.stderr
        top.until("4 champion", "watched")
        top.press("\x03")
        assert top.end() == 0
        assert top.written.rstrip().endswith("\x1b[?25h") or GONE in top.written[-40:]
    assert "Traceback" not in top.text


def test_a_sidecar_that_goes_leaves_its_last_frame_and_a_signal_ends_it_cleanly(sidecar: Sidecar) -> None:
    with Terminal(TOP, {"SIDECAR_URL": sidecar.admin}) as top:
        top.until("3 champion")
        assert sidecar.stop() == 0
        top.until("no answer: no sidecar answers at")
        top.until("3 champion")  # in the rest of that frame, or in the next one, which nobody answered for either
        top.signal(signal.SIGTERM)
        assert top.end() == 128 + signal.SIGTERM
        assert GONE in top.written[-40:]


def test_once_and_in_a_pipe_it_is_one_frame_without_colours(sidecar: Sidecar) -> None:
    for words in (["top", "--once", "--interval", "0.5"], ["top", "--interval", "0.5"]):
        done = sidecar.cli(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("3 champion") == 1
        assert "1 wait: pairs" in done.stdout
        assert "\x1b" not in done.stdout
    nobody = sidecar.cli("top", "--url", "http://127.0.0.1:1")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert nobody.stderr == "no sidecar answers at http://127.0.0.1:1; is it running? (--url or SIDECAR_URL)\n"


def test_colours_are_for_terminals_that_want_them(sidecar: Sidecar) -> None:
    once, where = [*TOP, "--once"], {"SIDECAR_URL": sidecar.admin}
    with Terminal(once, where) as coloured, Terminal(once, where | {"NO_COLOR": "1"}) as plain:
        assert (coloured.end(), plain.end()) == (0, 0)
    assert "\x1b[33m" in coloured.written
    assert "\x1b[33m" not in plain.written
    assert "1 wait: pairs" in plain.text
