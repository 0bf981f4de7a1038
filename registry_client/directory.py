"""A registry in a folder: `MODEL/versions/VERSION/{version.json,model.onnx,baseline.json}`, `MODEL/aliases.json`.

Invariant: whoever reads sees either the state before a write or after it, also after a crash; writers to one model
take turns, across processes; a version's artifact never changes; no name and no link leads out of the root; what is
read is checked against the digest under which it was registered. Blocking work runs in threads, and nobody waits for
a folder that hangs longer than the deadline (a write that began may still end later). A baseline replaced by a writer
that died half-way reads as DigestMismatch until it is put again.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec

from registry_client.baseline import DOCUMENT_LIMIT_BYTES, Baseline, from_json
from registry_client.confined_files import (
    ASIDE,
    confined,
    copy_checked,
    locked,
    opened,
    read_bounded,
    sync_folder,
    write_atomic,
)
from registry_client.directory_documents import VersionDocument, decoded, model_version
from registry_client.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidDocument,
    InvalidName,
    NotFound,
    Unreachable,
)
from registry_client.given import baseline_bytes, texts
from registry_client.model import ModelVersion

_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}")
_THREADS = 4
# For one call, the wait for another writer included; and where a whole artifact is copied.
CALL_S, COPY_S = 30.0, 900.0
_Result = TypeVar("_Result")


class DirectoryRegistry:
    """The folder registry. Paths are taken relative to the working folder at construction."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lock_wait_s: float = 10.0,
        call_s: float = CALL_S,
    ) -> None:
        self._root = root.resolve()
        self._clock = clock
        self._lock_wait_s = lock_wait_s
        self._call_s = call_s
        self._threads: ThreadPoolExecutor | None = None

    async def version(self, model: str, version: str) -> ModelVersion:
        """One version; NotFound, InvalidDocument."""
        return await self._in_thread(self._version, model, version)

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first; NotFound, InvalidDocument."""
        return await self._in_thread(self._versions, model)

    async def by_alias(self, model: str, alias: str) -> ModelVersion:
        """The version an alias points at; NotFound, InvalidDocument."""
        return await self._in_thread(self._by_alias, model, alias)

    async def aliases(self, model: str) -> Mapping[str, str]:
        """Alias to version; NotFound where there is no such model, InvalidDocument."""
        return await self._in_thread(self._aliases, model)

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at an existing version; NotFound."""
        await self._in_thread(self._set_alias, model, alias, version)

    async def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> ModelVersion:
        """Add these tags to a version, replacing those of the same key; NotFound."""
        return await self._in_thread(self._set_tags, model, version, texts(tags, "tags"))

    async def baseline(self, model: str, version: str) -> Baseline:
        """The baseline beside a version; NotFound, DigestMismatch, InvalidDocument."""
        return await self._in_thread(self._baseline, model, version)

    async def put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        """Store or replace the baseline beside a version; NotFound, InvalidDocument."""
        return await self._in_thread(self._put_baseline, model, version, baseline)

    async def artifact(self, model: str, version: str, into: Path) -> Path:
        """Copy the artifact to `into/model.onnx`; `into` is made where absent. NotFound, DigestMismatch."""
        return await self._in_thread(self._artifact, model, version, into, within_s=COPY_S)

    async def register(
        self,
        model: str,
        version: str,
        *,
        artifact: Path | None = None,
        baseline: Baseline | None = None,
        lineage: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Register a new version; AlreadyExists, NotFound where there is no such artifact file."""
        document = VersionDocument(
            model=_name(model, "model"),
            version=_name(version, "version"),
            created_at=self._clock(),
            lineage=texts(lineage or {}, "lineage"),
            tags=texts(tags or {}, "tags"),
            baseline_digest=baseline.digest if baseline is not None else None,
        )
        return await self._in_thread(self._register, document, artifact, baseline, within_s=COPY_S)

    async def close(self) -> None:
        """Lets its threads go; the next call would start new ones."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[..., _Result], *given: object, within_s: float | None = None) -> _Result:
        """In threads of its own: a folder on a network that hangs must not use up those that everybody else needs."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="registry")
        deadline_s = self._call_s if within_s is None else within_s
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        except TimeoutError as error:
            raise Unreachable(f"the registry's folder {self._root} did not answer within {deadline_s:g} s") from error

    # What follows is blocking and runs in threads.

    def _model_folder(self, model: str) -> Path:
        folder = confined(self._root, self._root / _name(model, "model"))
        if not _is_folder(folder):
            if not _is_folder(self._root):
                raise Unreachable(f"the registry's folder {self._root} does not exist")
            if _is_empty(self._root):
                # What a volume leaves that is not mounted: nobody has deleted every model there.
                raise Unreachable(f"the registry's folder {self._root} is empty: is its volume mounted?")
            raise NotFound(f"the registry has no model {model!r}")
        return folder

    def _version_folder(self, model: str, version: str) -> Path:
        folder = self._model_folder(model) / "versions" / _name(version, "version")
        if not _is_folder(confined(self._root, folder)):
            raise NotFound(f"model {model!r} has no version {version!r}")
        return folder

    def _document(self, model: str, version: str) -> VersionDocument:
        path = self._version_folder(model, version) / "version.json"
        document = decoded(path, read_bounded(self._root, path, DOCUMENT_LIMIT_BYTES), VersionDocument)
        if (document.model, document.version) != (model, version):
            raise InvalidDocument(
                f"{path} describes {document.model[:128]}/{document.version[:128]}, not {model}/{version}"
            )
        try:
            return msgspec.structs.replace(document, created_at=document.created_at.astimezone(UTC))
        except OverflowError as error:
            raise InvalidDocument(f"{path}: created_at lies out of range once it is in UTC") from error

    def _version(self, model: str, version: str) -> ModelVersion:
        return model_version(self._document(model, version))

    def _versions(self, model: str) -> tuple[ModelVersion, ...]:
        folder = confined(self._root, self._model_folder(model) / "versions")
        try:
            names = [entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name) and entry.is_dir()]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Unreachable(f"{folder} cannot be listed: {error.strerror}") from error
        found = [self._version(model, name) for name in names]
        return tuple(sorted(found, key=lambda version: (version.created_at, version.version)))

    def _aliases(self, model: str) -> dict[str, str]:
        path = self._model_folder(model) / "aliases.json"
        try:
            data = read_bounded(self._root, path, DOCUMENT_LIMIT_BYTES)
        except NotFound:
            return {}
        return decoded(path, data, dict[str, str])

    def _by_alias(self, model: str, alias: str) -> ModelVersion:
        aliases = self._aliases(model)
        if _name(alias, "alias") not in aliases:
            raise NotFound(f"model {model!r} has no alias {alias!r}")
        return self._version(model, aliases[alias])

    def _set_alias(self, model: str, alias: str, version: str) -> None:
        _name(alias, "alias")
        self._version(model, version)
        folder = self._model_folder(model)
        with locked(folder / ".lock", self._lock_wait_s):
            self._write(folder / "aliases.json", self._aliases(model) | {alias: version})

    def _set_tags(self, model: str, version: str, tags: dict[str, str]) -> ModelVersion:
        with locked(self._model_folder(model) / ".lock", self._lock_wait_s):
            document = self._document(model, version)
            changed = msgspec.structs.replace(document, tags=document.tags | tags)
            self._write(self._version_folder(model, version) / "version.json", changed)
        return model_version(changed)

    def _baseline(self, model: str, version: str) -> Baseline:
        expected = self._document(model, version).baseline_digest
        path = self._version_folder(model, version) / "baseline.json"
        if expected is None:
            raise NotFound(f"{model}/{version} has no baseline")
        try:
            baseline = from_json(read_bounded(self._root, path, DOCUMENT_LIMIT_BYTES))
        except InvalidDocument as error:
            raise InvalidDocument(f"{path}: {error}") from error
        if baseline.digest != expected:
            raise DigestMismatch(f"the baseline of {model}/{version}", expected=expected, found=baseline.digest)
        return baseline

    def _put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        data = baseline_bytes(model, version, baseline)
        with locked(self._model_folder(model) / ".lock", self._lock_wait_s):
            document = self._document(model, version)
            folder = self._version_folder(model, version)
            changed = msgspec.structs.replace(document, baseline_digest=baseline.digest)
            write_atomic(confined(self._root, folder / "baseline.json"), data)
            self._write(folder / "version.json", changed)
        return model_version(changed)

    def _artifact(self, model: str, version: str, into: Path) -> Path:
        document = self._document(model, version)
        source = self._version_folder(model, version) / "model.onnx"
        target = into / "model.onnx"
        subject = f"the artifact of {model}/{version}"
        try:
            into.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unreachable(f"{into} cannot be made: {error.strerror}") from error
        try:
            with opened(self._root, source) as file:
                copy_checked(file, target, expected=document.digest, subject=subject)
        except NotFound as error:
            raise NotFound(f"{model}/{version} has no artifact") from error
        return target

    def _register(self, document: VersionDocument, artifact: Path | None, baseline: Baseline | None) -> ModelVersion:
        model, version = document.model, document.version
        baseline_data = None if baseline is None else baseline_bytes(model, version, baseline)
        versions = confined(self._root, self._root / model) / "versions"
        target = versions / version
        # Put together aside and given its name in one step: a crash leaves nothing that has a version's name.
        aside = versions / f"{ASIDE}{uuid4().hex}"
        try:
            confined(self._root, versions).mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise AlreadyExists(f"{model}/{version} is registered already")
            aside.mkdir()
            if artifact is not None:
                document = msgspec.structs.replace(document, digest=_take(artifact, aside / "model.onnx"))
            if baseline_data is not None:
                write_atomic(aside / "baseline.json", baseline_data)
            self._write(aside / "version.json", document)
            with locked(versions.parent / ".lock", self._lock_wait_s):
                if target.exists():
                    raise AlreadyExists(f"{model}/{version} is registered already")
                aside.rename(target)
            sync_folder(versions)
        except OSError as error:
            raise Unreachable(f"{target} cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return model_version(document)

    def _write(self, path: Path, document: object) -> None:
        try:
            data = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
        except UnicodeEncodeError as error:
            raise InvalidDocument(f"{path} would hold text that is not Unicode: {error.reason}") from error
        if len(data) > DOCUMENT_LIMIT_BYTES:
            raise InvalidDocument(f"{path} would be larger than {DOCUMENT_LIMIT_BYTES} bytes")
        write_atomic(confined(self._root, path), data)


def _is_folder(path: Path) -> bool:
    """False for what is not there; Unreachable for what may not be looked at."""
    try:
        return path.is_dir()
    except OSError as error:
        raise Unreachable(f"{path} cannot be read: {error.strerror}") from error


def _is_empty(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is None
    except OSError as error:
        raise Unreachable(f"{folder} cannot be listed: {error.strerror}") from error


def _name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name[:128]!r} cannot be the name of a {what}: "
            "up to 128 letters, digits, dots, dashes and underscores, and no leading dot"
        )
    return name


def _take(artifact: Path, target: Path) -> str:
    """Copy an artifact into the registry and return its digest."""
    try:
        file = artifact.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"there is no artifact {artifact}") from error
    except OSError as error:
        raise Unreachable(f"{artifact} cannot be read: {error.strerror}") from error
    with file:
        return copy_checked(file, target, expected=None, subject=str(artifact))
