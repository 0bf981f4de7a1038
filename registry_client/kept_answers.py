"""What a registry answered, kept in a folder: one file for each question, to be read again when the registry is away.

Invariant: a file is replaced in one step and begins with the digest of all the rest, question and time included, so a
damaged or swapped one is refused and never read as an answer; no name from outside is part of a path; the files
together stay below a bound, those written longest ago go first. Blocking. It does not know what answers mean.
Called by the cache, in threads.
"""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from registry_client.baseline import DOCUMENT_LIMIT_BYTES
from registry_client.confined_files import ASIDE, read_bounded, write_atomic
from registry_client.errors import InvalidDocument, NotFound, Unreachable

Kind = Literal["aliases", "versions", "version", "baseline", "artifact"]

_SEAL_BYTES = len("sha256:") + 64 + len("\n")
_LIMIT_BYTES = DOCUMENT_LIMIT_BYTES + 65_536
# Long after any write has ended: what still lies aside was left by a process that died.
_ABANDONED_S = 3_600.0


class Question(NamedTuple):
    """What was asked; `version` is empty where the question is about the model."""

    kind: Kind
    model: str
    version: str = ""


class KeptAnswer(NamedTuple):
    """JSON as it was kept, and when the registry last said so, in seconds since the epoch."""

    answer: bytes
    confirmed_at: float


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the seal covers."""

    source: str
    kind: Kind
    model: str
    version: str
    confirmed_at: float
    answer: msgspec.Raw
    format: Literal["sidecar-kept-answer/1"] = "sidecar-kept-answer/1"


class KeptAnswers:
    """The answers of one registry, named by `source`; a folder may hold those of several."""

    def __init__(self, folder: Path, source: str, limit_bytes: int) -> None:
        self._folder = folder.resolve()
        # A registry's address may hold a password, which has no business in a file.
        self._source = sha256(source.encode()).hexdigest()
        self._limit_bytes = limit_bytes

    def put(self, question: Question, kept: KeptAnswer) -> None:
        """Keep or replace an answer; Unreachable where the disk refuses, InvalidDocument where it is too large."""
        try:
            content = msgspec.json.encode(
                _Document(
                    source=self._source,
                    kind=question.kind,
                    model=question.model,
                    version=question.version,
                    confirmed_at=kept.confirmed_at,
                    answer=msgspec.Raw(kept.answer),
                )
            )
        except UnicodeEncodeError as error:
            raise InvalidDocument(f"{_said(question)} holds text that is not Unicode: {error.reason}") from error
        if len(content) > _LIMIT_BYTES - _SEAL_BYTES:
            raise InvalidDocument(f"{_said(question)} is too large to be kept: {len(content)} bytes")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unreachable(f"{self._folder} cannot be made: {error.strerror}") from error
        path = self._path(question)
        write_atomic(path, _seal(content) + content)
        shrink(self._folder, path, limit_bytes=self._limit_bytes)

    def get(self, question: Question) -> KeptAnswer | None:
        """The kept answer, None where there is none; InvalidDocument, InvalidName, Unreachable for a damaged one."""
        path = self._path(question)
        try:
            data = read_bounded(self._folder, path, _LIMIT_BYTES)
        except NotFound:
            return None
        seal, content = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
        if seal != _seal(content):
            raise InvalidDocument(f"{path} is damaged: its content does not have the digest that it was kept under")
        try:
            document = msgspec.json.decode(content, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidDocument(f"{path} cannot be read: {error}") from error
        if (document.source, document.kind, document.model, document.version) != (self._source, *question):
            raise InvalidDocument(f"{path} answers another question")
        if not math.isfinite(document.confirmed_at):
            raise InvalidDocument(f"{path} does not say when it was confirmed")
        return KeptAnswer(bytes(document.answer), document.confirmed_at)

    def forget(self, question: Question) -> None:
        """The registry no longer has it; Unreachable where the disk refuses."""
        path = self._path(question)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Unreachable(f"{path} cannot be removed: {error.strerror}") from error

    def _path(self, question: Question) -> Path:
        # Quoted, so that no two questions are the same text; ASCII, so that no name whatever breaks the hashing.
        text = ascii((self._source, *question)).encode()
        return self._folder / f"{sha256(text).hexdigest()}.json"


def shrink(folder: Path, newest: Path, *, limit_bytes: int, age_s: float = math.inf) -> None:
    """Remove what was used longest ago until the folder's files fit, and what is older than `newest` by `age_s`.

    `newest` itself stays. Unreachable where the disk refuses.
    """
    try:
        found = {path: path.lstat() for path in folder.iterdir()}
        now = found[newest].st_mtime if newest in found else -math.inf
        total = sum(file.st_size for file in found.values())
        for path, file in sorted(found.items(), key=lambda item: item[1].st_mtime):
            unused_s = now - file.st_mtime
            aside = path.name.startswith(ASIDE)
            if path == newest or (aside and unused_s < _ABANDONED_S):
                continue
            if aside or total > limit_bytes or unused_s > age_s:
                path.unlink(missing_ok=True)
                total -= file.st_size
    except FileNotFoundError:
        return  # somebody else shrinks the folder, too
    except OSError as error:
        raise Unreachable(f"{folder} cannot be tidied: {error.strerror}") from error


def _seal(content: bytes) -> bytes:
    return b"sha256:%s\n" % sha256(content).hexdigest().encode()


def _said(question: Question) -> str:
    return f"the answer on {question.kind} of {question.model[:128]}/{question.version[:128]}"
