"""Is a managed model server ready? Asked over its Unix socket, in the Open Inference Protocol V2.

Keeps: `health` says whether the server and its model answer; `warmed` besides that has one inference of zeros made
from the model's own metadata, so that the first copy is not the warm-up. An answer is read up to a bound, since the
model, and so what it says of itself, is anybody's. Called by `managed_models`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

HEALTH_S = 3.0
INFERENCE_S = 60.0
_DESCRIPTION_BYTES = 1 << 20
# What is read of an answer to zeros: enough for a sentence.
_ANSWER_BYTES = 64 << 10
# Of more values, one row is no cheap question any more.
_MOST_VALUES = 1_000_000

_FREE = -1
_NOTHING: dict[str, object] = {"BYTES": "", "BOOL": False}


class NotReady(Exception):
    """It does not answer, or not yet. The message is a sentence."""


class Tensor(msgspec.Struct, frozen=True):
    """An input, as the model's metadata tell of it."""

    name: str
    datatype: str
    shape: Annotated[list[int], msgspec.Meta(max_length=32)]


class _Described(msgspec.Struct, frozen=True):
    inputs: list[Tensor]


def inference_path(name: str) -> str:
    """Where the model server of this name answers predictions."""
    return f"/v2/models/{quote(name, safe='')}/infer"


async def health(socket: str, name: str, version: str) -> None:
    """Raises NotReady unless the server is ready and serves this version."""
    async with _session(socket, HEALTH_S) as session:
        await _healthy(session, name, version)


async def warmed(socket: str, name: str, version: str) -> str | None:
    """As `health`; None once it has made an inference, a sentence where it is ready and would not. Raises NotReady."""
    async with _session(socket, INFERENCE_S) as session:
        await _healthy(session, name, version)
        _, described = await _asked(session, "GET", f"/v2/models/{quote(name, safe='')}", None, _DESCRIPTION_BYTES)
        try:
            tensors = zeros(msgspec.json.decode(described, type=_Described).inputs)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            return f"it was not warmed: {error}"
        body = json.dumps({"inputs": tensors}).encode()
        status, answer = await _asked(session, "POST", inference_path(name), body, _ANSWER_BYTES)
        return None if status == 200 else f"it answered {status} to an inference of zeros{_words(answer)}"


def zeros(inputs: list[Tensor]) -> list[Mapping[str, object]]:
    """One row of nothing for these inputs. Raises ValueError where that would be a large one."""
    tensors: list[Mapping[str, object]] = []
    values = 0
    for tensor in inputs:
        shape = [1 if size == _FREE else size for size in tensor.shape]
        if not shape or min(shape) < 1:
            raise ValueError("its metadata have a shape that is none")
        count = math.prod(shape)
        values += count
        if values > _MOST_VALUES:
            raise ValueError(f"one row of it has more than {_MOST_VALUES} values")
        data = [_NOTHING.get(tensor.datatype, 0)] * count
        tensors.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data})
    return tensors


def _session(socket: str, total_s: float) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=total_s)
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket), timeout=timeout)


async def _healthy(session: aiohttp.ClientSession, name: str, version: str) -> None:
    model = f"/v2/models/{quote(name, safe='')}/versions/{quote(version, safe='')}/ready"
    for path in ("/v2/health/ready", model):
        status, answer = await _asked(session, "GET", path, None, _ANSWER_BYTES)
        if status != 200:
            raise NotReady(f"it answers {status} to the question whether it is ready{_words(answer)}")


async def _asked(
    session: aiohttp.ClientSession, method: str, path: str, body: bytes | None, limit_bytes: int
) -> tuple[int, bytes]:
    url = URL(f"http://localhost{path}", encoded=True)
    try:
        async with session.request(
            method, url, data=body, headers={"content-type": "application/json"}, allow_redirects=False
        ) as answer:
            content = bytearray()
            while len(content) < limit_bytes and (chunk := await answer.content.read(limit_bytes - len(content))):
                content += chunk
            return answer.status, bytes(content)
    except TimeoutError:
        raise NotReady("it does not answer in time") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NotReady(f"it cannot be reached: {type(error).__name__}") from None


def _words(answer: bytes) -> str:
    """The server's own sentence, where it says one."""
    try:
        says = msgspec.json.decode(answer, type=dict[str, str]).get("error", "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return f": {says[:300]}" if says.isprintable() and says else ""
