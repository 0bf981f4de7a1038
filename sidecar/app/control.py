"""The control process: arguments, signals, exit codes. The supervisor starts it as `python -m sidecar.app.control`.

What it consists of is wired in `control_parts`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import socket
import sys
from pathlib import Path

from registry_client.errors import RegistryError
from sidecar.app.control_parts import Control
from sidecar.app.ending import ended
from sidecar.app.stopping import stop_when_told, unless_told
from sidecar.app.tokens import CannotStart
from sidecar.config_file import ConfigFaults, load
from sidecar.errors import SidecarError
from sidecar.telemetry.logs import configure

__all__ = ["Control", "main", "serve"]


async def serve(config_path: Path, admin_fd: int, link: str, table: Path, sockets: Path | None = None) -> int:
    """Runs until told to stop; 1 when a part of it failed, so that the supervisor starts it anew."""
    loop = asyncio.get_running_loop()
    stopping, changed = asyncio.Event(), asyncio.Event()
    stop_when_told(loop, stopping)
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    control = Control(config_path, load(config_path), link, table, sockets)
    with socket.socket(fileno=admin_fd) as admin:
        if not await unless_told(control.open(admin), stopping):
            return 0
        # What the start has made stays to the end: looked through for garbage with each large collection, it would hold
        # up the loop, and with it a promotion, for more than a tenth of a second.
        gc.freeze()
        print("ready", flush=True)  # noqa: T201  the supervisor waits for this line
        tasks = (
            loop.create_task(stopping.wait(), name="told to stop"),
            loop.create_task(control.stopped(), name="a part ended"),
            loop.create_task(_reload(control, changed), name="reload"),
        )
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await ended(tasks)
        await control.close()
    return 0 if stopping.is_set() else 1


async def _reload(control: Control, changed: asyncio.Event) -> None:
    """One reload at a time; a signal that comes meanwhile means another one."""
    while True:
        await changed.wait()
        changed.clear()
        await control.reload()


# While a database's thread is in Python the event loop waits this long for the interpreter, at each step of a verb; the
# default is ten times as much.
_SWITCH_S = 0.0005


def main() -> int:
    """The process. 2 with one sentence on standard error when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.app.control")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--admin-fd", type=int, required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--sockets", type=Path)
    given = parser.parse_args()
    configure("control")
    sys.setswitchinterval(_SWITCH_S)
    try:
        return asyncio.run(serve(given.config, given.admin_fd, given.link, given.table, given.sockets))
    except (CannotStart, ConfigFaults, RegistryError, SidecarError, OSError) as error:
        print(f"sidecar: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
