"""nginx in its two roles: the model servers behind, and the peer in front with and without `mirror`.

Each is one process (`master_process off`), which serves exactly as a worker does and is simple to measure and stop.
Limits on requests per connection are lifted everywhere, for all peers alike.
"""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench import child
from bench.child import free_ports as free_ports  # noqa: PLC0414  the soak asks here
from bench.programs import path_of

CONNECTIONS = 16_384


def backend(port: int, answer: str, *, idle_s: float = 75.0) -> str:
    """A model server that gives one answer, and at /status tells connections and requests.

    It closes connections that were idle for `idle_s`.
    """
    return f"""\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        keepalive_timeout {round(idle_s * 1000)}ms;
        location = /status {{ stub_status; }}
        location / {{ return 200 '{answer}'; }}
    }}"""


def reading_backend(port: int, answer: str, inner: Path) -> str:
    """A model server that answers once it has the whole body, as real ones do.

    `return` answers at the head's end, which with bodies of many segments is an early answer. So the body is
    read first, and the answer asked, without it, from a server inside the same process, by the socket `inner`.
    """
    return f"""\
    upstream inner {{ server unix:{inner}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen unix:{inner};
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 0;
        client_body_buffer_size 512k;
        location = /status {{ stub_status; }}
        location / {{
            proxy_pass http://inner;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
        }}
    }}"""


def upstream(name: str, port: int) -> str:
    """A model server as the peers know it, with kept connections."""
    kept = "keepalive 256; keepalive_requests 1000000000; keepalive_time 1d;"
    return f"    upstream {name} {{ server 127.0.0.1:{port}; {kept} }}"


def plain(port: int) -> str:
    """A peer that only forwards."""
    return f"""\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 0;
        location / {{ proxy_pass http://champion; }}
    }}"""


def mirroring(port: int, store: Path | None) -> str:
    """A peer that mirrors as nginx's documentation shows it.

    nginx reads of a mirrored answer no more than its head and closes the connection: each copy needs a new one.
    Only who stores the answer reads it to its end, hence the known remedy: `proxy_store`, to a file in `store`.
    The tuned one keeps large bodies in memory, too, where the other writes them to files.
    """
    keep = f"proxy_store {store}/answer;" if store is not None else ""
    hold = "client_body_buffer_size 512k;" if store is not None else ""
    return f"""\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 0;
        {hold}
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
error_log stderr crit;
events {{ worker_connections {CONNECTIONS}; }}
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
def running(folder: Path, parts: list[str], ports: list[int], core: int, *, patience_s: float = 30.0) -> Iterator[int]:
    """nginx on one core while the context lasts; gives its process id once it listens."""
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(configuration(folder, parts))
    command = [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)]
    with child.listening(command, ports, folder=folder, core=core, patience_s=patience_s) as nginx:
        yield nginx.pid


def served(port: int) -> tuple[int, int]:
    """Connections and requests that a backend has handled so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    # Its third line: accepted and handled connections, requests.
    _, connections, requests = (int(word) for word in lines[2].split())
    return connections, requests
