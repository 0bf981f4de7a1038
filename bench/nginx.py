"""nginx in its two roles: the model servers behind, and the peer in front with and without `mirror`.

Each is one process (`master_process off`), which serves exactly as a worker does and is simple to measure and stop.
Limits on requests per connection are lifted everywhere, for all peers alike.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from bench import process
from bench.programs import path_of

START_S = 5.0


class DidNotStart(Exception):
    """nginx ended at once. The message quotes it."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, held together for a moment so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def backend(port: int, answer: str) -> str:
    """A model server that gives one answer, and at /status tells connections and requests."""
    return f"""\
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        default_type application/json;
        location = /status {{ stub_status; }}
        location / {{ return 200 '{answer}'; }}
    }}"""


def upstream(name: str, port: int) -> str:
    """A model server as the peers know it, with kept connections."""
    kept = "keepalive 256; keepalive_requests 1000000000; keepalive_time 1d;"
    return f"    upstream {name} {{ server 127.0.0.1:{port}; {kept} }}"


def plain(port: int) -> str:
    """A peer that only forwards."""
    return f"""\
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{ proxy_pass http://champion; }}
    }}"""


def mirroring(port: int, store: Path | None) -> str:
    """A peer that mirrors as nginx's documentation shows it.

    nginx reads of a mirrored answer no more than its head and closes the connection: each copy needs a new one.
    Only who stores the answer reads it to its end, hence the known remedy: `proxy_store`, to a file in `store`.
    """
    keep = f"proxy_store {store}/answer;" if store is not None else ""
    return f"""\
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{ mirror /mirror; proxy_pass http://champion; }}
        location = /mirror {{ internal; proxy_pass http://challenger$request_uri; {keep} }}
    }}"""


def configuration(folder: Path, parts: list[str]) -> str:
    """A whole nginx.conf that writes nothing outside of `folder`."""
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    servers = "\n".join(parts)
    return f"""\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_time 1d;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
{temporary}
{servers}
}}
"""


@contextlib.contextmanager
def running(folder: Path, parts: list[str], ports: list[int], core: int) -> Iterator[int]:
    """nginx on one core while the context lasts; gives its process id once it listens."""
    folder.mkdir()
    config, log = folder / "nginx.conf", folder / "log"
    config.write_text(configuration(folder, parts))
    with log.open("wb") as file:
        nginx = subprocess.Popen(
            [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        process.pin(nginx.pid, core)
        _await_listening(nginx, ports, log)
        yield nginx.pid
    finally:
        process.stop(nginx)


def _await_listening(nginx: subprocess.Popen[bytes], ports: list[int], log: Path) -> None:
    deadline = monotonic() + START_S
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            if nginx.poll() is not None or monotonic() > deadline:
                raise DidNotStart(f"nginx did not start: {log.read_text(errors='replace').strip()[-300:]}")
            sleep(0.02)


def served(port: int) -> tuple[int, int]:
    """Connections and requests that a backend has handled so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    # Its third line: accepted and handled connections, requests.
    _, connections, requests = (int(word) for word in lines[2].split())
    return connections, requests
