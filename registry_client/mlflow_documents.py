"""What MLflow's REST interface answers, as types, and what it means in this package's own words.

Invariant: pure; a document of a wrong shape is an InvalidDocument in a sentence, members that are not needed are
skipped, and nothing here can be made large by a small answer. Tags that carry this package's own fields (digests,
lineage) become these fields and are no tags any more. Called by `mlflow` and `mlflow_files`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, TypeVar

import msgspec

from registry_client.errors import InvalidDocument
from registry_client.model import ModelVersion

ARTIFACT_DIGEST = "sidecar.artifact_digest"
BASELINE_DIGEST = "sidecar.baseline_digest"
BASELINE_PATH = "sidecar.baseline_path"
LINEAGE = "sidecar.lineage."
_OWN = frozenset({ARTIFACT_DIGEST, BASELINE_DIGEST, BASELINE_PATH})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VALUE_CHARACTERS = 4_096
_FIELDS_OF_A_KIND = 500
_Document = TypeVar("_Document")


class Pair(msgspec.Struct, frozen=True):
    """A tag or parameter."""

    key: str
    value: str = ""


class VersionDocument(msgspec.Struct, frozen=True):
    """A model version; `creation_timestamp` in milliseconds since 1970."""

    name: str
    version: str
    creation_timestamp: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000)]
    run_id: str | None = None
    status: str = "READY"
    tags: tuple[Pair, ...] = ()

    @property
    def tag_of(self) -> dict[str, str]:
        """Every tag as it stands in MLflow."""
        return {tag.key: tag.value for tag in self.tags}


class VersionAnswer(msgspec.Struct, frozen=True):
    """One version: `model-versions/get`, `create` and `registered-models/alias`."""

    model_version: VersionDocument


class VersionsAnswer(msgspec.Struct, frozen=True):
    """A page of `model-versions/search`."""

    model_versions: tuple[VersionDocument, ...] = ()
    next_page_token: str | None = None


class AliasDocument(msgspec.Struct, frozen=True):
    """An alias and where it points."""

    alias: str
    version: str


class ModelDocument(msgspec.Struct, frozen=True):
    """A registered model."""

    name: str
    aliases: tuple[AliasDocument, ...] = ()


class ModelAnswer(msgspec.Struct, frozen=True):
    """`registered-models/get` and `create`."""

    registered_model: ModelDocument


class PlaceAnswer(msgspec.Struct, frozen=True):
    """`model-versions/get-download-uri`."""

    artifact_uri: str


class LoggedModelInfo(msgspec.Struct, frozen=True):
    """A logged model and where its files are."""

    model_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    artifact_uri: str


class LoggedModelDocument(msgspec.Struct, frozen=True):
    """A logged model."""

    info: LoggedModelInfo


class LoggedModelAnswer(msgspec.Struct, frozen=True):
    """`logged-models`."""

    model: LoggedModelDocument


class FileDocument(msgspec.Struct, frozen=True):
    """A file or folder in a listing."""

    path: str
    is_dir: bool = False


class FilesAnswer(msgspec.Struct, frozen=True):
    """`mlflow-artifacts/artifacts?path=`."""

    files: tuple[FileDocument, ...] = ()


class Metric(msgspec.Struct, frozen=True):
    """A figure of a run; JSON has no NaN, so MLflow writes that as a text."""

    key: str
    value: float | str = 0.0


class DatasetDocument(msgspec.Struct, frozen=True):
    """A data set that went into a run."""

    name: str = ""
    digest: str = ""


class DatasetInput(msgspec.Struct, frozen=True):
    """A data set and what it was for (tag `mlflow.data.context`)."""

    dataset: DatasetDocument = DatasetDocument()
    tags: tuple[Pair, ...] = ()


class RunInputs(msgspec.Struct, frozen=True):
    """What a run read."""

    dataset_inputs: tuple[DatasetInput, ...] = ()


class RunData(msgspec.Struct, frozen=True):
    """What a run logged."""

    params: tuple[Pair, ...] = ()
    metrics: tuple[Metric, ...] = ()
    tags: tuple[Pair, ...] = ()


class RunInfo(msgspec.Struct, frozen=True):
    """Who ran it and where its files are."""

    run_id: str
    artifact_uri: str = ""
    user_id: str = ""


class RunDocument(msgspec.Struct, frozen=True):
    """A training run."""

    info: RunInfo
    data: RunData = RunData()
    inputs: RunInputs = RunInputs()


class RunAnswer(msgspec.Struct, frozen=True):
    """`runs/get`."""

    run: RunDocument


class FaultDocument(msgspec.Struct, frozen=True):
    """What MLflow says when it will not."""

    error_code: str
    message: str = ""


class Nothing(msgspec.Struct, frozen=True):
    """The answer to a write, whatever it is."""


def decoded(data: bytes, kind: type[_Document], subject: str) -> _Document:
    """A document of that kind; InvalidDocument, which names the subject."""
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument(f"MLflow's answer about {subject} cannot be read: {error}") from error


def model_version(document: VersionDocument, run: RunDocument | None) -> ModelVersion:
    """The version in this package's words: the run's lineage, overlaid by that which stands in the version's tags."""
    tags = document.tag_of
    lineage = {} if run is None else dict(_lineage(run))
    lineage |= {key.removeprefix(LINEAGE): value for key, value in tags.items() if key.startswith(LINEAGE)}
    return ModelVersion(
        model=document.name,
        version=document.version,
        created_at=datetime.fromtimestamp(document.creation_timestamp / 1_000, UTC),
        digest=digest_in(document, ARTIFACT_DIGEST),
        lineage=lineage,
        tags={key: value for key, value in tags.items() if key not in _OWN and not key.startswith(LINEAGE)},
        baseline_digest=digest_in(document, BASELINE_DIGEST),
    )


def digest_in(document: VersionDocument, tag: str) -> str | None:
    """The digest that a tag records; InvalidDocument where somebody wrote something else into it."""
    digest = document.tag_of.get(tag)
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise InvalidDocument(
            f"the tag {tag} of {document.name}/{document.version} holds {digest[:80]!r}, which is no sha256 digest"
        )
    return digest


def own_tags(
    *, digest: str | None, baseline_digest: str | None, baseline_path: str, lineage: Mapping[str, str]
) -> dict[str, str]:
    """The tags that carry these fields; the reverse of `model_version`."""
    tags = {f"{LINEAGE}{key}": value for key, value in lineage.items()}
    if digest is not None:
        tags[ARTIFACT_DIGEST] = digest
    if baseline_digest is not None:
        tags |= {BASELINE_DIGEST: baseline_digest, BASELINE_PATH: baseline_path}
    return tags


def _lineage(run: RunDocument) -> Iterator[tuple[str, str]]:
    """Which data, code, parameters, scores and person made what the run made, as far as it was logged."""
    tags = {tag.key: tag.value for tag in run.data.tags}
    fields = {
        "data": ", ".join(islice(filter(None, map(_data, run.inputs.dataset_inputs)), _FIELDS_OF_A_KIND)),
        "code": tags.get("mlflow.source.git.commit", ""),
        "source": tags.get("mlflow.source.name", ""),
        "created_by": tags.get("mlflow.user", "") or run.info.user_id,
        "run": run.info.run_id,
    }
    for key, value in fields.items():
        if value:
            yield key, value[:_VALUE_CHARACTERS]
    for parameter in run.data.params[:_FIELDS_OF_A_KIND]:
        yield f"params.{parameter.key}", parameter.value[:_VALUE_CHARACTERS]
    for metric in run.data.metrics[:_FIELDS_OF_A_KIND]:
        yield f"metrics.{metric.key}", f"{metric.value:g}" if isinstance(metric.value, float) else metric.value[:80]


def _data(given: DatasetInput) -> str:
    context = next((tag.value for tag in given.tags if tag.key == "mlflow.data.context"), "")
    named = "@".join(filter(None, (given.dataset.name, given.dataset.digest)))
    return f"{named} ({context})" if named and context else named
