"""Sick challengers in a process of their own, so that a flood costs neither the champion's nor the callers' time.

`python -m tests.chaos.apart NAME…` serves functions of `sick_challengers`, one port each, says the ports in one line
and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

from tests.chaos import sick_challengers
from tests.chaos.scripted_backend import Script, Stage
from tests.process.whole_sidecar import ROOT

# Little room in the kernel: whoever does not read is felt soon.
RECEIVE_BYTES = 4096


@contextlib.contextmanager
def standing_apart(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """URLs by name, for as long as the context lasts."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.chaos.apart", *names]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, start_new_session=True) as child:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())
        assert child.stdin is not None
        child.stdin.close()
        child.wait(30)


def main(names: list[str]) -> None:
    stage = Stage()
    # A bomb is made when it is asked for.
    made: dict[str, Callable[[], Script]] = {
        "gzip_bomb": sick_challengers.gzip_bomb,
        "healthy": lambda: sick_challengers.healthy("4"),
    }
    urls = {}
    for name in names:
        script: Script = made[name]() if name in made else getattr(sick_challengers, name)
        urls[name] = stage.backend(script, receive_bytes=RECEIVE_BYTES, record=False).url
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    stage.close()


if __name__ == "__main__":
    main(sys.argv[1:])
