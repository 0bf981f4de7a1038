"""Any registry with the last known good of everything that was asked of it, kept on disk.

Invariant: a read asks the registry and keeps what it says; where that gives no usable answer (away, too slow, garbage)
the answer is the last good one, and without one the fault. No read waits longer than its timeout; after a failure one
read asks again at a pace and all others are answered from the copies at once. NotFound is an answer. A damaged copy is
told in `health` and never served; a disk that refuses costs the copy, not the answer. Writes go straight through.
Called like the registry inside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from registry_client.answer_forms import ALIASES, ARTIFACT, BASELINE, VERSION, VERSIONS, FetchedArtifact, Form
from registry_client.asking import Asking, RegistryHealth
from registry_client.baseline import Baseline
from registry_client.client import Registry
from registry_client.errors import InvalidName, NotFound, RegistryError, Unreachable
from registry_client.kept_answers import KeptAnswers, Question
from registry_client.kept_artifacts import KeptArtifacts
from registry_client.last_known import LastKnown
from registry_client.model import ModelVersion

__all__ = ["CacheLimits", "CachedRegistry", "RegistryHealth"]

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What the copies on disk may take. `artifact_age_s`: how long an artifact is kept that nobody asks for."""

    answer_bytes: int = 512 * 1024 * 1024
    artifact_bytes: int = 4 * 1024 * 1024 * 1024
    artifact_age_s: float = 30 * 86_400.0


_USUAL_LIMITS = CacheLimits()


class CachedRegistry:
    """Satisfies `Registry`.

    Args:
        inner: the registry that is asked.
        folder: for the copies; made when the first is written.
        clock: seconds since the epoch.
        source: names the registry, such as its address: copies of one are never answers of another.
        timeout_s: for one read, however many questions it needs; the other two for a transfer.
    """

    def __init__(
        self,
        inner: Registry,
        folder: Path,
        *,
        clock: Callable[[], float],
        source: str = "",
        timeout_s: float = 5.0,
        baseline_timeout_s: float = 30.0,
        artifact_timeout_s: float = 600.0,
        limits: CacheLimits = _USUAL_LIMITS,
    ) -> None:
        self._inner = inner
        self._baseline_timeout_s = baseline_timeout_s
        self._artifact_timeout_s = artifact_timeout_s
        self._asking = Asking(clock, timeout_s)
        self._last = LastKnown(KeptAnswers(folder / "answers", source, limits.answer_bytes), clock)
        self._artifacts = KeptArtifacts(
            folder / "artifacts", limit_bytes=limits.artifact_bytes, age_s=limits.artifact_age_s
        )

    # --- how it stands ---------------------------------------------------------------------------------------

    @property
    def health(self) -> RegistryHealth:
        """Whether the registry answers and since when; what is wrong with it, or with the copies on disk."""
        known = self._asking.health
        says = "; ".join(fault for fault in (known.says, self._last.says) if fault is not None)
        return RegistryHealth(known.reachable, known.since, says or None)

    def age_s(self, model: str, version: str | None = None) -> float | None:
        """Seconds since the registry itself last confirmed the version, or without one the model's aliases.

        None where it never did, or nothing was asked yet, or the clock was set back meanwhile.
        """
        return self._last.age_s(_about(model, version))

    def fault(self, model: str, version: str | None = None) -> str | None:
        """What cannot be used of what the registry last said of the version, or without one of the model's aliases."""
        return self._last.fault(_about(model, version))

    # --- reads -----------------------------------------------------------------------------------------------

    async def version(self, model: str, version: str) -> ModelVersion:
        """One version; NotFound."""
        return await self._version(model, version, self._asking.deadline())

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first; NotFound."""
        question = Question("versions", model)
        answer, _ = await self._read(question, VERSIONS, lambda: self._inner.versions(model), self._asking.deadline())
        return answer

    async def by_alias(self, model: str, alias: str) -> ModelVersion:
        """The version an alias points at; NotFound."""
        deadline = self._asking.deadline()
        aliases, _ = await self._aliases(model, deadline)
        if alias not in aliases:
            if self._asking.away:
                raise NotFound(f"model {model!r} has no alias {alias!r}")
            # The registry knows best whether that is a name at all.
            return await self._asking.ask(lambda: self._inner.by_alias(model, alias), deadline)
        return await self._version(model, aliases[alias], deadline)

    async def aliases(self, model: str) -> Mapping[str, str]:
        """Alias to version; NotFound."""
        aliases, _ = await self.aliases_told(model)
        return aliases

    async def aliases_told(self, model: str) -> tuple[Mapping[str, str], bool]:
        """The aliases, and whether it is the registry itself that says so now; NotFound."""
        aliases, own = await self._aliases(model, self._asking.deadline())
        # A copy: the one that is kept must not change with the caller's.
        return dict(aliases), own

    async def baseline(self, model: str, version: str) -> Baseline:
        """The baseline beside a version; NotFound, DigestMismatch, InvalidDocument. Fetched once for a digest."""
        found = await self._version(model, version, self._asking.deadline())
        question = Question("baseline", model, version)
        kept = await self._last.get(question, BASELINE)
        if kept is not None and kept.digest == found.baseline_digest:
            return kept
        try:
            fetched = await self._asking.transfer(
                question, found.baseline_digest, lambda: self._inner.baseline(model, version), self._baseline_timeout_s
            )
        except NotFound:
            await self._last.forget(question)
            raise
        except InvalidName:
            raise
        except RegistryError as error:
            if not self._asking.away:
                self._last.faulty(_about(model, version), str(error))
            if kept is None:
                raise
            return kept
        await self._last.keep(question, BASELINE, fetched)
        return fetched

    async def artifact(self, model: str, version: str, into: Path) -> Path:
        """Copy the artifact into a folder and return its path; NotFound, DigestMismatch. Fetched once for a digest."""
        found = await self._version(model, version, self._asking.deadline())
        question = Question("artifact", model, version)
        kept = await self._last.get(question, ARTIFACT)
        if kept is not None and kept.digest == found.digest and await self._given(question, kept, into):
            return into / kept.name
        try:
            path = await self._asking.transfer(
                question, found.digest, lambda: self._inner.artifact(model, version, into), self._artifact_timeout_s
            )
        except Unreachable:
            # Where no digest was registered, the bytes that came last are the last known good.
            if kept is not None and found.digest is None and await self._given(question, kept, into):
                return into / kept.name
            raise
        try:
            digest = await asyncio.to_thread(self._artifacts.take, path, found.digest)
        except RegistryError as error:
            self._last.disk_fault(question, error)
        else:
            await self._last.keep(question, ARTIFACT, FetchedArtifact(digest, path.name))
        return path

    # --- writes ----------------------------------------------------------------------------------------------

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at an existing version; NotFound."""
        await self._inner.set_alias(model, alias, version)
        # Else, with the registry away from now on, the copy would contradict what it has just accepted.
        await self._last.amend(Question("aliases", model), ALIASES, lambda kept: {**kept, alias: version})

    async def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> ModelVersion:
        """Add these tags to a version; NotFound."""
        return await self._said(await self._inner.set_tags(model, version, tags))

    async def put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        """Store or replace the baseline beside a version; NotFound, InvalidDocument."""
        return await self._said(await self._inner.put_baseline(model, version, baseline))

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
        return await self._said(
            await self._inner.register(model, version, artifact=artifact, baseline=baseline, lineage=lineage, tags=tags)
        )

    async def close(self) -> None:
        """Lets go of the registry inside."""
        await self._inner.close()

    # --- the steps -------------------------------------------------------------------------------------------

    async def _aliases(self, model: str, deadline: float) -> tuple[Mapping[str, str], bool]:
        return await self._read(Question("aliases", model), ALIASES, lambda: self._inner.aliases(model), deadline)

    async def _version(self, model: str, version: str, deadline: float) -> ModelVersion:
        question = _about(model, version)
        answer, _ = await self._read(question, VERSION, lambda: self._inner.version(model, version), deadline)
        return answer

    async def _read(
        self, question: Question, form: Form[Answer], ask: Callable[[], Awaitable[Answer]], deadline: float
    ) -> tuple[Answer, bool]:
        """The answer, and whether the registry itself gave it now."""
        try:
            answer = await self._asking.ask(ask, deadline)
        except NotFound:
            await self._last.forget(question)
            raise
        except InvalidName:
            raise
        except RegistryError as error:
            # Away is a matter of the whole registry and told in `health`; garbage is one of this question.
            self._last.faulty(question, None if isinstance(error, Unreachable) else str(error))
            kept = await self._last.get(question, form)
            if kept is None:
                raise
            return kept, False
        self._last.faulty(question, None)
        await self._last.keep(question, form, answer)
        return answer, True

    async def _said(self, version: ModelVersion) -> ModelVersion:
        await self._last.keep(_about(version.model, version.version), VERSION, version)
        return version

    async def _given(self, question: Question, kept: FetchedArtifact, into: Path) -> bool:
        try:
            return await asyncio.to_thread(self._artifacts.give, kept.digest, into / kept.name)
        except RegistryError as error:
            self._last.disk_fault(question, error)
            return False


def _about(model: str, version: str | None) -> Question:
    return Question("aliases", model) if version is None else Question("version", model, version)
