"""MLflow 3's model registry over its REST interface.

Invariant: what is asked for is what is answered for (names and versions are compared), answers are bounded and typed,
and a name that MLflow could read as something else is refused before it is sent. Artifacts and baselines are checked
against the digest in the version's tags; where there is none, the first one seen is recorded. It keeps nothing
between calls but connections; MLflow has no compare-and-set, so of two writers at once the last one stands. Opened by
`open_registry("mlflow+http(s)://host[:port][/prefix]")`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from registry_client import mlflow_documents as documents
from registry_client.access import Access
from registry_client.baseline import DOCUMENT_LIMIT_BYTES, Baseline, from_json
from registry_client.connecting import one_line
from registry_client.errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidDocument,
    InvalidName,
    NotFound,
    RegistryError,
)
from registry_client.fetching import Fetcher, Wanted
from registry_client.given import baseline_bytes, check_named, digest_of, texts
from registry_client.mlflow_artifact import fetch_model
from registry_client.mlflow_files import Folder, MlflowFiles, folder_of, plain_path
from registry_client.mlflow_rest import alias_name, answered_version, call, model_name, version_number
from registry_client.model import ModelVersion

ARTIFACT_LIMIT_BYTES = 2 * 1024 * 1024 * 1024  # as large as one ONNX file can be (protobuf's limit)
BASELINE = "monitoring/baseline.json"
_DEFAULT_EXPERIMENT = "0"
_PAGE = "200"
_PAGES = 500
_RUNS_AT_ONCE = 8
_Document = TypeVar("_Document")


class MlflowRegistry:
    """One MLflow server. RegistryError where address, hosts or CA file will not do; it connects when first asked."""

    def __init__(self, base: str, access: Access) -> None:
        self._fetcher = Fetcher(base, access)
        self._files = MlflowFiles(self._fetcher)

    async def close(self) -> None:
        """Closes the connections."""
        await self._fetcher.close()

    async def version(self, model: str, version: str) -> ModelVersion:
        """One version and the lineage of its run; NotFound, InvalidDocument."""
        return await self._told(await self._version(model, version))

    async def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, oldest first; NotFound, InvalidDocument."""
        await self._model(model)
        found: dict[str, documents.VersionDocument] = {}
        token: str | None = ""
        for _ in range(_PAGES):
            query = {"filter": f"name='{model}'", "max_results": _PAGE} | ({"page_token": token} if token else {})
            page = await self._call("GET", "model-versions/search", documents.VersionsAnswer, model, query=query)
            found |= {_checked(one, model).version: one for one in page.model_versions}
            if not (token := page.next_page_token):
                break
        else:
            raise InvalidDocument(f"MLflow's list of the versions of {model!r} does not end")
        told = await self._all_told(found.values())
        return tuple(sorted(told, key=lambda version: (version.created_at, int(version.version))))

    async def by_alias(self, model: str, alias: str) -> ModelVersion:
        """The version an alias points at; NotFound, InvalidDocument."""
        query = {"name": model_name(model), "alias": alias_name(alias)}
        try:
            answer = await self._call("GET", "registered-models/alias", documents.VersionAnswer, model, query=query)
        except NotFound:
            await self._model(model)
            raise NotFound(f"model {model!r} has no alias {alias!r}") from None
        return await self._told(_checked(answer.model_version, model))

    async def aliases(self, model: str) -> Mapping[str, str]:
        """Alias to version; NotFound where there is no such model, InvalidDocument."""
        return {alias.alias: answered_version(alias.version) for alias in (await self._model(model)).aliases}

    async def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at an existing version, wherever it pointed; NotFound."""
        asked = {"name": model_name(model), "alias": alias_name(alias), "version": version_number(version)}
        try:
            await self._call("POST", "registered-models/alias", documents.Nothing, f"{model}/{version}", body=asked)
        except NotFound:
            raise await self._absent(model, version) from None

    async def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> ModelVersion:
        """Add these tags, one after the other: a fault in between leaves some of them set. NotFound."""
        added = texts(tags, "tags")
        found = await self._version(model, version)
        await self._tag(found, added)
        return await self._told(await self._version(model, version) if added else found)

    async def baseline(self, model: str, version: str) -> Baseline:
        """The baseline of a version, from its run's artifacts or beside its model; NotFound, DigestMismatch.

        Where no digest is recorded (a pipeline has only logged `monitoring/baseline.json`), this one is recorded.
        """
        found = await self._version(model, version)
        expected = documents.digest_in(found, documents.BASELINE_DIGEST)
        subject = f"the baseline of {model}/{version}"
        path = plain_path(found.tag_of.get(documents.BASELINE_PATH, BASELINE))
        try:
            data = await self._files.read(await self._monitoring(found), path, DOCUMENT_LIMIT_BYTES)
        except NotFound:
            raise NotFound(f"{model}/{version} has no baseline") from None
        try:
            baseline = await asyncio.to_thread(from_json, data)
        except InvalidDocument as error:
            raise InvalidDocument(f"{subject}: {error}") from error
        if expected is not None and baseline.digest != expected:
            raise DigestMismatch(subject, expected=expected, found=baseline.digest)
        check_named(model, version, baseline)
        if expected is None:
            await self._record(found, {documents.BASELINE_DIGEST: baseline.digest})
        return baseline

    async def put_baseline(self, model: str, version: str, baseline: Baseline) -> ModelVersion:
        """Store or replace the baseline; NotFound, InvalidDocument. Readers meanwhile may see a DigestMismatch."""
        found = await self._version(model, version)
        data = await asyncio.to_thread(baseline_bytes, model, version, baseline)
        folder = await self._monitoring(found)
        path = await self._baseline_path(found, folder, baseline)
        await self._files.write(folder, path, data)
        await self._tag(found, {documents.BASELINE_PATH: path, documents.BASELINE_DIGEST: baseline.digest})
        return await self.version(model, version)

    async def artifact(self, model: str, version: str, into: Path) -> Path:
        """Fetch the version's ONNX file to `into/model.onnx`; `into` is made where absent. NotFound, DigestMismatch.

        Weights that lie beside the model are put into it. Where no digest is recorded, that of the file is: whoever
        fetches it later gets these bytes or a DigestMismatch.
        """
        found = await self._version(model, version)
        if found.status != "READY":
            raise NotFound(f"{model}/{version} is not ready in MLflow: {one_line(found.status)}")
        subject = f"the artifact of {model}/{version}"
        expected = documents.digest_in(found, documents.ARTIFACT_DIGEST)
        folder, path = await self._place(found)
        path = path or await self._files.onnx_in(folder, f"{model}/{version}")
        target = into / "model.onnx"
        try:
            await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(f"{into} cannot be made: {error.strerror}") from error
        wanted = Wanted(target, ARTIFACT_LIMIT_BYTES, expected, subject)
        try:
            digest = await fetch_model(self._files, folder, path, wanted)
        except NotFound:
            raise NotFound(f"{model}/{version} has no artifact") from None
        if expected is None:
            await self._record(found, {documents.ARTIFACT_DIGEST: digest})
        return target

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
        """Register a new version; AlreadyExists, NotFound where there is no such artifact file, InvalidName.

        MLflow numbers versions itself. `version` is either "", for the number that comes, or the number that the
        version must get: where MLflow gives it another, it is taken back and the call fails. Everything is uploaded
        before the version appears, into a logged model of the default experiment, with digests and lineage in the
        version's tags; it has no run.
        """
        given = version and version_number(version)
        all_tags = texts(tags or {}, "tags")
        fields = texts(lineage or {}, "lineage")
        data = None if baseline is None else await asyncio.to_thread(baseline_bytes, model, given, baseline)
        digest = None if artifact is None else await asyncio.to_thread(digest_of, artifact)
        with suppress(AlreadyExists):
            await self._create("registered-models/create", documents.ModelAnswer, model, {"name": model_name(model)})
        if given and await self._exists(model, given):
            raise AlreadyExists(f"{model}/{given} is registered already")
        model_id = await self._logged(artifact, data)
        all_tags |= documents.own_tags(
            digest=digest,
            baseline_digest=None if baseline is None else baseline.digest,
            baseline_path=BASELINE,
            lineage=fields,
        )
        pairs = [{"key": key, "value": value} for key, value in all_tags.items()]
        asked = {"name": model, "source": f"models:/{model_id}", "model_id": model_id, "tags": pairs}
        made = (await self._create("model-versions/create", documents.VersionAnswer, model, asked)).model_version
        if given and _checked(made, model).version != given:
            await self._take_back(made)
            raise await self._misnumbered(model, given, made.version)
        return await self.version(model, made.version)

    # --- versions ----------------------------------------------------------------------------------------------

    async def _model(self, model: str) -> documents.ModelDocument:
        query = {"name": model_name(model)}
        try:
            found = await self._call("GET", "registered-models/get", documents.ModelAnswer, model, query=query)
        except NotFound:
            raise NotFound(f"the registry has no model {model!r}") from None
        if found.registered_model.name != model:
            raise InvalidDocument(f"MLflow answers about another model than {model!r}")
        return found.registered_model

    async def _version(self, model: str, version: str) -> documents.VersionDocument:
        subject, query = f"{model}/{version}", {"name": model_name(model), "version": version_number(version)}
        try:
            answer = await self._call("GET", "model-versions/get", documents.VersionAnswer, subject, query=query)
        except NotFound:
            raise await self._absent(model, version) from None
        return _checked(answer.model_version, model, version)

    async def _exists(self, model: str, version: str) -> bool:
        with suppress(NotFound):
            return bool(await self._version(model, version))
        return False

    async def _absent(self, model: str, version: str) -> NotFound:
        """Which of the two is not there."""
        await self._model(model)
        return NotFound(f"model {model!r} has no version {version!r}")

    async def _told(self, found: documents.VersionDocument) -> ModelVersion:
        return (await self._all_told([found]))[0]

    async def _all_told(self, found: Iterable[documents.VersionDocument]) -> list[ModelVersion]:
        """Versions with the lineage of their runs, each run asked for once."""
        found = list(found)
        gate = asyncio.Semaphore(_RUNS_AT_ONCE)

        async def run_of(run_id: str) -> tuple[str, documents.RunDocument | None]:
            async with gate:
                return run_id, await self._run(run_id)

        runs = dict(await asyncio.gather(*(run_of(run_id) for run_id in {one.run_id for one in found if one.run_id})))
        return [documents.model_version(one, runs.get(one.run_id or "")) for one in found]

    async def _run(self, run_id: str) -> documents.RunDocument | None:
        """A run; None where it was deleted: a version outlives its run."""
        try:
            return (await self._call("GET", "runs/get", documents.RunAnswer, "a run", query={"run_id": run_id})).run
        except NotFound:
            return None

    async def _tag(self, found: documents.VersionDocument, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            body = {"name": found.name, "version": found.version, "key": key, "value": value}
            await self._call("POST", "model-versions/set-tag", documents.Nothing, f"the tag {key[:80]}", body=body)

    async def _record(self, found: documents.VersionDocument, tags: Mapping[str, str]) -> None:
        """Notes what was seen first. Whoever may only read has still read."""
        with suppress(RegistryError):
            await self._tag(found, tags)

    async def _logged(self, artifact: Path | None, baseline: bytes | None) -> str:
        """The id of a new logged model that holds these files: a version has to point at one, or into a run."""
        body = {"experiment_id": _DEFAULT_EXPERIMENT, "name": "registered"}
        made = (await self._create("logged-models", documents.LoggedModelAnswer, "a logged model", body)).model.info
        folder = folder_of(made.artifact_uri, self._fetcher, "", {})
        if artifact is not None:
            await self._files.write(folder, "model.onnx", artifact)
        if baseline is not None:
            await self._files.write(folder, BASELINE, baseline)
        ready = {"model_id": made.model_id, "status": "LOGGED_MODEL_READY"}
        await self._call("PATCH", f"logged-models/{made.model_id}", documents.Nothing, "a logged model", body=ready)
        return made.model_id

    async def _misnumbered(self, model: str, wanted: str, given: str) -> RegistryError:
        if int(given) > int(wanted) and await self._exists(model, wanted):
            return AlreadyExists(f"{model}/{wanted} is registered already")
        told = f"MLflow numbers versions itself: the next of {model!r} is {int(given) + 1}, not {wanted}"
        return InvalidName(f'{told}; "" takes the number that comes')

    async def _take_back(self, made: documents.VersionDocument) -> None:
        body = {"name": made.name, "version": made.version}
        with suppress(NotFound):
            await self._call("DELETE", "model-versions/delete", documents.Nothing, made.version, body=body)

    # --- places ------------------------------------------------------------------------------------------------

    async def _place(self, found: documents.VersionDocument) -> tuple[Folder, str]:
        """The folder of a version's model, and the file in it where the location names one."""
        query = {"name": found.name, "version": found.version}
        subject = f"the artifact of {found.name}/{found.version}"
        uri = (
            await self._call("GET", "model-versions/get-download-uri", documents.PlaceAnswer, subject, query=query)
        ).artifact_uri
        file = ""
        if uri.endswith(".onnx"):
            uri, _, file = uri.rpartition("/")
        return folder_of(uri, self._fetcher, "model-versions/get-artifact", query), file

    async def _monitoring(self, found: documents.VersionDocument) -> Folder:
        """The folder that holds a version's baseline: its run's, or its model's where it has no run any more."""
        run = await self._run(found.run_id) if found.run_id else None
        if run is None:
            return (await self._place(found))[0]
        return folder_of(run.info.artifact_uri, self._fetcher, "get-artifact", {"run_id": run.info.run_id})

    async def _baseline_path(self, found: documents.VersionDocument, folder: Folder, baseline: Baseline) -> str:
        """Where it was; else the usual place, or beside it where another version of the same run is there already."""
        known = found.tag_of.get(documents.BASELINE_PATH)
        if known is not None:
            return plain_path(known)
        parent, _, name = BASELINE.rpartition("/")
        taken = name in await self._files.names(folder, parent)
        return f"{parent}/baseline-{baseline.digest[7:19]}.json" if taken else BASELINE

    async def _create(self, path: str, kind: type[_Document], model: str, body: object) -> _Document:
        # Not repeated: an answer that was lost may have made a version all the same.
        return await self._call("POST", path, kind, model, body=body, repeatable=False)

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[_Document],
        subject: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        repeatable: bool = True,
    ) -> _Document:
        return await call(self._fetcher, method, path, kind, subject, query=query, body=body, repeatable=repeatable)


def _checked(found: documents.VersionDocument, model: str, version: str | None = None) -> documents.VersionDocument:
    """The document, if it is about what was asked for."""
    if found.name != model or answered_version(found.version) != (version or found.version):
        raise InvalidDocument(f"MLflow was asked about {model}/{version or 'a version'} and answers about another")
    return found
