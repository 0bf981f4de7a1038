"""The ONNX file of an MLflow version, with the weights that lie beside it in the registry.

Invariant: the target appears whole and with the right digest, or not at all; what is fetched on the way lies in a
folder beside it that is gone afterwards; all files together keep the limit of one. Called by `mlflow`.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import uuid4

from registry_client.confined_files import ASIDE, sync_folder
from registry_client.errors import DigestMismatch, InvalidDocument, NotFound, RegistryError
from registry_client.fetching import Wanted
from registry_client.given import digest_of
from registry_client.mlflow_files import Folder, MlflowFiles, plain_path
from registry_client.onnx_inlining import inline, weight_files

_WEIGHT_FILES = 1_000


async def fetch_model(files: MlflowFiles, folder: Folder, path: str, wanted: Wanted) -> str:
    """Fetch the model at `path` of the folder to `wanted.target`; its digest. NotFound, DigestMismatch."""
    aside = wanted.target.with_name(f"{ASIDE}{uuid4().hex}")
    try:
        await asyncio.to_thread(aside.mkdir)
        try:
            model = aside / "model.onnx"
            digest = await files.download(folder, path, Wanted(model, wanted.limit_bytes, None, wanted.subject))
            if names := await asyncio.to_thread(weight_files, model):
                weights = await _weights(files, folder, path, names, aside, wanted)
                whole = aside / "whole.onnx"
                await asyncio.to_thread(inline, model, weights, whole, wanted.limit_bytes)
                model, digest = whole, await asyncio.to_thread(digest_of, whole)
            if wanted.expected is not None and digest != wanted.expected:
                raise DigestMismatch(wanted.subject, expected=wanted.expected, found=digest)
            await asyncio.to_thread(model.replace, wanted.target)
            await asyncio.to_thread(sync_folder, wanted.target.parent)
        finally:
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
    except OSError as error:
        raise RegistryError(f"{wanted.subject} cannot be written to {wanted.target}: {error.strerror}") from error
    return digest


async def _weights(
    files: MlflowFiles, folder: Folder, path: str, names: tuple[str, ...], aside: Path, wanted: Wanted
) -> dict[str, Path]:
    """The files beside a model that it names; InvalidName for a name that leads elsewhere."""
    if len(names) > _WEIGHT_FILES:
        raise InvalidDocument(f"{wanted.subject} wants its weights from {len(names)} files, more than {_WEIGHT_FILES}")
    parent = path.rpartition("/")[0]
    places = {name: f"{parent}/{plain_path(name)}" if parent else plain_path(name) for name in names}
    found: dict[str, Path] = {}
    left_bytes = wanted.limit_bytes
    for number, (name, place) in enumerate(places.items()):
        target = aside / f"weights-{number}"
        try:
            await files.download(folder, place, Wanted(target, left_bytes, None, f"{wanted.subject}, its weights"))
        except NotFound:
            raise InvalidDocument(f"{wanted.subject} lacks the file {name!r}, where its weights are") from None
        left_bytes -= target.stat().st_size
        found[name] = target
    return found
