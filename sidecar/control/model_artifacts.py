"""Model files as fetched from the registry: `models/MODEL/VERSION@REGISTRY/sha256-HEX.onnx` below the state folder.

Keeps: a file has its name only when its content has that digest and, where the registry knows one, it is that of the
registry; one registry's file never stands for the same version of another. It is hashed again before it is used, also
after a restart; whatever cannot be fetched leaves no file. What was fetched once is used while the registry is away.
Bounded in size, time and number.
Does not: load models, or decide which are wanted. Called by `managed_models`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from uuid import uuid4

from registry_client.client import Registry
from registry_client.errors import DigestMismatch, InvalidDocument, RegistryError, Unreachable

log = logging.getLogger("sidecar.control.models")

# protobuf itself takes no more, and the weights of a larger model stand in further files, which are not fetched.
LARGEST_BYTES = 2 << 30
FETCH_S = 900.0
# A version that is no longer wanted may be wanted again: an alias moves back, a deployment returns.
KEPT_S = 86_400.0
MOST_UNWANTED = 4
_ASIDE = ".fetching-"
_PLAIN = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}", re.ASCII)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_KEPT = re.compile(r"sha256-([0-9a-f]{64})\.onnx")
_CHUNK_BYTES = 1 << 20

Version = tuple[str, str]  # the registry's name of the model, and the version


class ModelArtifacts:
    """The files in one folder. `clock`: seconds since the epoch; `source` names the registry, such as its address."""

    def __init__(self, registry: Registry, folder: Path, clock: Callable[[], float], *, source: str = "") -> None:
        self._registry = registry
        self._folder = folder.absolute()
        self._clock = clock
        self._suffix = f"@{hashlib.sha256(source.encode()).hexdigest()[:12]}" if source else ""

    async def there(self, model: str, version: str, *, held: bool = False) -> Path:
        """The version's checked file, fetched where it is not there yet. Raises RegistryError, OSError.

        `held`: the one that was used last, also where the registry has other content under that number by now.
        """
        place = self._place(model, version)
        digest, away = None, None
        try:
            digest = (await self._registry.version(model, version)).digest
        except RegistryError as error:
            away = error
        kept = await asyncio.to_thread(_kept, place, None if held else digest, self._clock())
        if kept is not None:
            if digest not in (None, digest_in(kept)):
                fields = {"model": model, "version": version, "registered": digest, "kept": digest_in(kept)}
                log.warning("other content is registered under a version that serves", extra={"fields": fields})
            return kept
        if away is not None:
            raise away
        return await self._fetched(model, version, place, digest)

    async def tidy(self, wanted: Collection[Version]) -> None:
        """Removes what nobody has wanted for a while, and what a crash has left. Raises OSError."""
        places = {self._place(*version) for version in wanted}
        await asyncio.to_thread(_tidied, self._folder, places, self._clock())

    def _place(self, model: str, version: str) -> Path:
        return self._folder / _folder_name(model) / f"{_folder_name(version)}{self._suffix}"

    async def _fetched(self, model: str, version: str, place: Path, digest: str | None) -> Path:
        aside = self._folder / f"{_ASIDE}{uuid4().hex}"
        await asyncio.to_thread(aside.mkdir, mode=0o700, parents=True)
        subject = f"the artifact of {model}/{version}"
        try:
            async with asyncio.timeout(FETCH_S):
                found = await self._registry.artifact(model, version, aside)
            return await asyncio.to_thread(_taken, aside, found, place, digest, subject, self._clock())
        except TimeoutError as error:
            raise Unreachable(f"{subject} did not come within {FETCH_S:.0f} s") from error
        finally:
            # A thread of the registry may still write there; what it leaves is tidied later.
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)


def digest_in(path: Path) -> str | None:
    """The digest that a kept file's name tells."""
    match = _KEPT.fullmatch(path.name)
    return None if match is None else f"sha256:{match[1]}"


def _folder_name(name: str) -> str:
    """A registry's name as that of a folder. `=` and `@` are in no plain name, so no two share a folder."""
    return name if _PLAIN.fullmatch(name) else "=" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()


def _kept(place: Path, digest: str | None, now: float) -> Path | None:
    """The newest file of this digest that is still what its name says; a damaged one is removed."""
    for path in _by_age(place):
        match = _KEPT.fullmatch(path.name)
        if match is None or (digest is not None and digest != f"sha256:{match[1]}"):
            continue
        if path.is_symlink() or not path.is_file() or _hash(path) != match[1]:
            log.warning("a model file is damaged and is fetched anew", extra={"fields": {"path": str(path)}})
            _removed(path)
            continue
        os.utime(path, (now, now))
        return path
    return None


def _taken(aside: Path, found: Path, place: Path, digest: str | None, subject: str, now: float) -> Path:
    """Moves what was fetched to its place, if it is one file and the right one. Raises RegistryError, OSError."""
    file = _only_model(aside, found, subject)
    size = file.stat().st_size
    if not 0 < size <= LARGEST_BYTES:
        raise InvalidDocument(f"{subject} has {size} bytes, and may have 1 to {LARGEST_BYTES}")
    hexadecimal = _hash(file)
    if digest is not None and digest != f"sha256:{hexadecimal}":
        expected = digest if _DIGEST.fullmatch(digest) else "no digest at all"
        raise DigestMismatch(subject, expected=expected, found=f"sha256:{hexadecimal}")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = place / f"sha256-{hexadecimal}.onnx"
    file.chmod(0o600)
    with file.open("rb") as written:
        os.fsync(written.fileno())
    os.utime(file, (now, now))
    file.replace(target)
    return target


def _only_model(aside: Path, found: Path, subject: str) -> Path:
    """The file that was fetched, or the only ONNX file in the folder that was; never one outside `aside`."""
    folder = aside.resolve()
    if not found.resolve().is_relative_to(folder):
        raise InvalidDocument(f"{subject} was put outside the folder that was given")
    if found.is_dir() and not found.is_symlink():
        files = sorted(found.rglob("*.onnx"))
        if len(files) != 1:
            raise InvalidDocument(f"{subject} holds {len(files)} ONNX files, and should hold one")
        found = files[0]
        if not found.resolve().is_relative_to(folder):
            raise InvalidDocument(f"{subject} leads out of its folder")
    if not stat.S_ISREG(found.lstat().st_mode):
        raise InvalidDocument(f"{subject} is no file")
    return found


def _hash(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def _tidied(folder: Path, wanted: set[Path], now: float) -> None:
    unwanted: list[tuple[float, Path]] = []
    for model in _folders(folder):
        if model.name.startswith(_ASIDE):
            if model.stat().st_mtime < now - KEPT_S:
                _removed(model)
            continue
        for place in _folders(model):
            newest = max((path.lstat().st_mtime for path in _by_age(place)), default=0.0)
            if place in wanted:
                for path in _by_age(place)[:1]:  # the order stays: which one was used last has to be known
                    os.utime(path, (now, now), follow_symlinks=False)
            else:
                unwanted.append((newest, place))
        with contextlib.suppress(OSError):  # the last version of a model: its folder goes too, if it is empty
            model.rmdir()
    unwanted.sort(reverse=True)
    for number, (newest, place) in enumerate(unwanted):
        if number >= MOST_UNWANTED or newest < now - KEPT_S:
            log.info("a model is removed that nobody wants", extra={"fields": {"path": str(place)}})
            _removed(place)


def _folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _by_age(place: Path) -> list[Path]:
    """What is in a folder, the newest first; nothing where there is no folder."""
    try:
        return sorted(place.iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
    except FileNotFoundError:
        return []


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
