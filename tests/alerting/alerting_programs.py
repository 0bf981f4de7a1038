"""The programs of alerting as Debian packages them, and a place that hears alerts.

`make` unpacks them in a folder of the project's own. Alertmanager looks for its templates under /usr/share all the
same, so it is shown the unpacked folder there, in a mount namespace of its own: nothing of the machine is changed.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.process.whole_sidecar import until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
UNPACKED = ROOT / ".cache" / "alerting" / "usr"
SHOWN = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"')


def program(name: str) -> str:
    """Where it is: unpacked by `make`, or installed on this machine."""
    path = UNPACKED / "bin" / name if (UNPACKED / "bin" / name).exists() else shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: make .cache/alerting/ready")
    return str(path)


def ran(name: str, *arguments: str, folder: Path = RULES) -> str:
    """What a program said; it must end well."""
    done = subprocess.run(
        [program(name), *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def free_address() -> str:
    """An address that nobody listens on, a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def asked(address: str, path: str) -> Any:
    """A JSON answer; None while nobody answers there."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            body = answer.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    return json.loads(body) if path.startswith("/api") else body


@contextmanager
def running(folder: Path, name: str, address: str, *arguments: str) -> Iterator[None]:
    """One of them, from being ready to its end."""
    with (folder / f"{name}.log").open("wb") as log:
        shown = (*SHOWN, str(UNPACKED / "share")) if UNPACKED in Path(program(name)).parents else ()
        command = [*shown, program(name), f"--web.listen-address={address}", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(f"{name} is ready", lambda: process.poll() is not None or asked(address, "/-/ready") is not None)
            assert process.poll() is None, (folder / f"{name}.log").read_text()[-2000:]
            yield
        finally:
            process.kill()
            process.wait()


class Listening:
    """Takes what Alertmanager posts; `heard` has (path, status, labels, annotations) of each alert, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, str], dict[str, str]]] = []
        listening = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["content-length"])))
                for alert in document["alerts"]:
                    listening.heard.append((self.path, alert["status"], alert["labels"], alert["annotations"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def names(self, path: str, status: str) -> set[str]:
        """Which alerts came there."""
        return {labels["alertname"] for at, said, labels, _ in list(self.heard) if (at, said) == (path, status)}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
