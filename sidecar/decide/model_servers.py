"""Which model servers shall run: what control tells the supervisor, as one line of JSON.

Keeps: a line names all of them, so a lost one is made good by the next, and a control that starts anew repeats it;
whatever does not fit the form is refused as a whole. Does not: start, stop or look at files.
Written by `control/managed_models`, read by `app/managed`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

# A line has to fit into the supervisor's buffer, and a machine has an end.
MOST_SERVERS = 128
LONGEST_LINE_BYTES = 1 << 20
_LONGEST_NAME = 512
_LONGEST_PATH = 4096


class ModelServer(msgspec.Struct, frozen=True):
    """A model server: `name` and `version` as it answers, its model file, and the Unix socket that it answers at.

    `file` None: what runs at this socket may go on, and nothing is started.
    """

    name: str
    version: str
    socket: str
    file: str | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model_servers: tuple[ModelServer, ...]


def written(servers: Iterable[ModelServer]) -> str:
    """The line that asks for these and no others, without its end."""
    return msgspec.json.encode(_Line(tuple(servers))).decode()


def read(line: bytes) -> tuple[ModelServer, ...]:
    """What a line asks for. Raises ValueError with a sentence."""
    if len(line) > LONGEST_LINE_BYTES:
        raise ValueError(f"the line is longer than {LONGEST_LINE_BYTES} bytes")
    try:
        servers = msgspec.json.decode(line, type=_Line).model_servers
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the line cannot be read: {error}") from error
    if len(servers) > MOST_SERVERS:
        raise ValueError(f"more than {MOST_SERVERS} model servers are asked for")
    if len({server.socket for server in servers}) < len(servers):
        raise ValueError("two model servers cannot have the same socket")
    for server in servers:
        _check(server)
    return servers


def saying_path(socket: str) -> str:
    """The file in which the supervisor says why the server of this socket last ended; none once it runs well."""
    return socket.removesuffix(".sock") + ".says"


def _check(server: ModelServer) -> None:
    for text in (server.name, server.version):
        if not 0 < len(text) <= _LONGEST_NAME or not text.isprintable():
            raise ValueError(f"a name or version is not 1 to {_LONGEST_NAME} printable characters")
    for path in (server.socket, server.file):
        if path is not None and (not path.startswith("/") or "\0" in path or len(path) > _LONGEST_PATH):
            raise ValueError("a path is not absolute, or too long")
