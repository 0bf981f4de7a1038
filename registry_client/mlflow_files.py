"""Files of MLflow's versions and runs: where they lie, and how they come and go.

Invariant: a location that the registry tells is taken apart by a strict grammar and put together anew; it can lead
to the artifacts of this MLflow server or of a host that `Access.hosts` names, and to nothing else: no local file, no
other server, no step upwards. Files that lie in an object store are fetched through the server. Called by `mlflow`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from registry_client.access import Origin, origin_and_path
from registry_client.connecting import one_line
from registry_client.errors import InvalidDocument, InvalidName, NotFound, RegistryError
from registry_client.fetching import Fetcher, Wanted
from registry_client.mlflow_documents import FilesAnswer, decoded
from registry_client.mlflow_rest import fault_of

MLMODEL_LIMIT_BYTES = 2 * 1024 * 1024
_PROXY = "api/2.0/mlflow-artifacts/artifacts"
_STORES = frozenset({"s3", "gs", "wasbs", "abfss", "abfs", "hdfs", "dbfs", "r2", "b2"})
_SEGMENT = re.compile(r"[\w .+=@,()~!&'-]{1,255}")
_MLMODEL_LINE = re.compile(r"(?P<indent> {0,4})(?P<key>[A-Za-z0-9_.-]{1,100}):(?P<value> .*)?\r?")
_PATH_CHARACTERS = 1_024


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files. `root` is an address; with a `query` the file's path is one more parameter of it.

    `proxied` is its path in the server's artifacts, None where it lies elsewhere and can neither be listed nor
    written.
    """

    root: str
    query: tuple[tuple[str, str], ...] = ()
    proxied: str | None = None

    def address(self, path: str) -> str:
        """Where a file in it is asked for; InvalidName for a path that leads out of it."""
        path = plain_path(path)
        if self.query:
            return f"{self.root}?{urlencode((*self.query, ('path', path)))}"
        return f"{self.root}/{quote(path)}"


def plain_path(path: str) -> str:
    """The path as it is: relative, downwards, of plain characters; InvalidName for any other.

    >>> plain_path("models/m-1/artifacts/model.onnx")
    'models/m-1/artifacts/model.onnx'
    """
    plain = len(path) <= _PATH_CHARACTERS and unicodedata.normalize("NFKC", path) == path
    # Neither percent signs nor backslashes: nobody down the line may find another path by decoding once more.
    if not plain or not all(_SEGMENT.fullmatch(part) and part.strip(". ") for part in path.split("/")):
        raise InvalidName(f"{one_line(path)!r} is no plain relative path of a file")
    return path


def _is_plain(path: str) -> bool:
    try:
        plain_path(path)
    except InvalidName:
        return False
    return True


def folder_of(uri: str, fetcher: Fetcher, through: str, query: Mapping[str, str]) -> Folder:
    """The folder that an artifact location names; InvalidName where it is none that may be followed.

    `through` and `query` are the server's own route to the same files, taken where they lie in an object store.
    """
    scheme, colon, rest = uri.partition(":")
    if scheme == "mlflow-artifacts":
        root = fetcher.below(_PROXY)
        if rest.startswith("//"):
            authority, slash, path = rest[2:].partition("/")
            rest = slash + path
            if authority:
                origin = _named(fetcher, origin_and_path(f"{fetcher.origin.scheme}://{authority}")[0])
                root = root if origin == fetcher.origin else f"{origin}/{_PROXY}"
        if not rest.startswith("/"):
            raise InvalidName(f"{one_line(uri)!r} is no location of artifacts")
        path = plain_path(rest[1:].removesuffix("/"))
        own = root == fetcher.below(_PROXY)
        return Folder(f"{root}/{quote(path)}", proxied=path if own else None)
    if scheme in {"http", "https"}:
        origin, path = origin_and_path(uri)
        return Folder(f"{_named(fetcher, origin)}/{quote(plain_path(path.strip('/')))}")
    if colon and scheme in _STORES:
        return Folder(fetcher.below(through), tuple(query.items()))
    raise InvalidName(
        f"artifacts at {one_line(uri)!r} cannot be fetched: let the MLflow server serve them (--artifacts-destination)"
    )


def _named(fetcher: Fetcher, origin: Origin) -> Origin:
    # Told here, as a fault of this location: what the fetcher would say is that the registry cannot be had.
    if not fetcher.allows(origin):
        raise InvalidName(f"artifacts at {origin} may not be fetched: the registry's hosts do not name it")
    return origin


class MlflowFiles:
    """Reads and writes files in folders. NotFound where there is no such file."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def read(self, folder: Folder, path: str, limit_bytes: int) -> bytes:
        """A whole file; InvalidDocument where it is larger than the limit."""
        await self._look(folder, path)
        answer = await self._fetcher.read(folder.address(path), limit_bytes)
        if answer.status != 200:
            raise fault_of(answer, path)
        return answer.body

    async def download(self, folder: Folder, path: str, wanted: Wanted) -> str:
        """A file onto the disk; its digest. DigestMismatch."""
        answer = await self._fetcher.download(folder.address(path), wanted)
        if answer.digest is None:
            raise fault_of(answer, wanted.subject)
        return answer.digest

    async def write(self, folder: Folder, path: str, content: bytes | Path) -> None:
        """Creates or replaces a file."""
        if folder.proxied is None:
            raise RegistryError(
                "this MLflow server does not take files: let it serve artifacts (--artifacts-destination)"
            )
        answer = await self._fetcher.upload(folder.address(path), content)
        if answer.status not in {200, 201, 204}:
            raise fault_of(answer, path)

    async def names(self, folder: Folder, below: str = "") -> tuple[str, ...]:
        """The files directly in a folder, or in one below it; empty where there is none, or it cannot be listed.

        One whose name could lead elsewhere is none: nobody asks for it, and it must not hide the others.
        """
        if folder.proxied is None:
            return ()
        path = f"{folder.proxied}/{plain_path(below)}" if below else folder.proxied
        answer = await self._fetcher.ask("GET", self._fetcher.below(_PROXY, {"path": path}))
        if answer.status == 404:
            return ()
        if answer.status != 200:
            raise fault_of(answer, path)
        listed = decoded(answer.body, FilesAnswer, f"the files in {path}").files
        names = (file.path.rpartition("/")[2] for file in listed if not file.is_dir)
        return tuple(name for name in names if _is_plain(name))

    async def onnx_in(self, folder: Folder, subject: str) -> str:
        """The path of the ONNX file in a model's folder: as `MLmodel` says, else the only one of its kind."""
        try:
            mlmodel = await self.read(folder, "MLmodel", MLMODEL_LIMIT_BYTES)
        except NotFound:
            found = [name for name in await self.names(folder) if name.endswith(".onnx")]
            if len(found) > 1:
                raise InvalidDocument(f"{subject} has {len(found)} ONNX files and no MLmodel that names one") from None
            if not found:
                raise NotFound(f"{subject} has no artifact: neither an MLmodel nor an ONNX file") from None
            return found[0]
        return plain_path(_onnx_path(mlmodel, subject))

    async def _look(self, folder: Folder, path: str) -> None:
        """NotFound by the listing where there is one: asked for what is not there, some stores answer 500."""
        if folder.proxied is None:
            return
        parent, _, name = plain_path(path).rpartition("/")
        if name not in await self.names(folder, parent):
            raise NotFound(f"there is no {path} in {folder.proxied}")


def _onnx_path(mlmodel: bytes, subject: str) -> str:
    """`flavors: onnx: data` of an MLmodel file; NotFound where it is no ONNX model.

    MLflow writes block style, two spaces a level. No more of YAML is read: its libraries take minutes for some
    hundred kilobytes of brackets.
    """
    top = flavor = ""
    flavors: list[str] = []
    for line in mlmodel.decode("utf-8", "replace").split("\n"):
        found = _MLMODEL_LINE.fullmatch(line)
        if found is None:
            continue
        indent, key, value = len(found["indent"]), found["key"], (found["value"] or "").strip()
        if indent == 0:
            top = key
        elif top == "flavors" and indent == 2:
            flavor = key
            flavors.append(key)
        elif top == "flavors" and indent == 4 and (flavor, key) == ("onnx", "data"):
            return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    if "onnx" in flavors:
        raise InvalidDocument(f"the MLmodel of {subject} names no file of its ONNX flavor")
    named = ", ".join(flavors[:5]) or "none"
    raise NotFound(f"{subject} has no artifact in ONNX: its MLmodel has the flavors {one_line(named)}")
