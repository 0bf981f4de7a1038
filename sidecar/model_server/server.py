"""The embedded model server: one ONNX model behind the routes of the Open Inference Protocol V2.

Invariant: every answer that is not a prediction or a description is `{"error": sentence}` with its status.
Short requests run on the event loop (a hop to a thread costs more than the model); long ones in one
worker thread, so that health answers stay prompt and predictions keep to one core.
It has no access log, no batching, no model repository, no binary tensors.
`sidecar serve-model` calls `run_model_server`; the demo and tests use `serving` inside their own loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import orjson
import uvloop
from aiohttp import web

import sidecar
from sidecar.address import Address, parse_listen
from sidecar.model_server.body import decoded
from sidecar.model_server.errors import BodyTooLarge, ModelServerError, RequestRefused
from sidecar.model_server.model import OnnxModel

BODY_LIMIT_BYTES = 100 * 1024 * 1024
# About 128 rows of nine features, measured at under a millisecond: what the event loop may be kept waiting.
INLINE_BODY_BYTES = 8 * 1024
SHUTDOWN_TIMEOUT_S = 10.0
# Connections that wait to be accepted. On a Unix socket one more is refused at once, where TCP would try again.
BACKLOG = 2048

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ModelService:
    """The routes of one model."""

    def __init__(self, model: OnnxModel, worker: ThreadPoolExecutor) -> None:
        self._model = model
        self._worker = worker
        self._metadata = orjson.dumps(model.metadata())

    def application(self) -> web.Application:
        """An aiohttp application with all routes, for a runner."""
        application = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[_errors_as_json])
        application.router.add_get("/v2", self._server_metadata)
        application.router.add_get("/v2/health/live", self._health)
        application.router.add_get("/v2/health/ready", self._health)
        for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            application.router.add_get(model, self._model_metadata)
            application.router.add_get(f"{model}/ready", self._model_ready)
            application.router.add_post(f"{model}/infer", self._infer)
        return application

    async def _server_metadata(self, _request: web.Request) -> web.Response:
        described = {"name": "sidecar-model-server", "version": sidecar.__version__, "extensions": []}
        return _json_response(orjson.dumps(described))

    async def _health(self, _request: web.Request) -> web.Response:
        # The model is loaded before the socket is bound, so whoever is answered finds it ready.
        return web.Response()

    async def _model_metadata(self, request: web.Request) -> web.Response:
        self._check_served(request)
        return _json_response(self._metadata)

    async def _model_ready(self, request: web.Request) -> web.Response:
        self._check_served(request)
        return web.Response()

    async def _infer(self, request: web.Request) -> web.Response:
        self._check_served(request)
        if request.content_length is not None and request.content_length > BODY_LIMIT_BYTES:
            raise BodyTooLarge(f"the request body is over {BODY_LIMIT_BYTES} bytes")
        if "inference-header-content-length" in request.headers:
            raise RequestRefused("binary tensors are not supported: send the tensors' 'data' as JSON")
        body = await request.read()
        encoding = request.headers.get("content-encoding")
        if encoding is not None:
            body = decoded(body, encoding, BODY_LIMIT_BYTES)
        if len(body) <= INLINE_BODY_BYTES:
            return _json_response(self._model.answer(body))
        loop = asyncio.get_running_loop()
        return _json_response(await loop.run_in_executor(self._worker, self._model.answer, body))

    def _check_served(self, request: web.Request) -> None:
        self._model.check_served(request.match_info["name"], request.match_info.get("version"))


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestRefused as refusal:
        return _error_response(refusal.status, str(refusal))
    except web.HTTPRequestEntityTooLarge:
        return _error_response(413, f"the request body is over {BODY_LIMIT_BYTES} bytes")
    except (web.RequestPayloadError, ConnectionResetError):
        # Bad framing, or a caller who left in the middle of a body; the latter will not read this.
        return _error_response(400, "the request body did not arrive whole")
    except web.HTTPException as refusal:
        # The router's 404 and 405.
        response = _error_response(refusal.status, f"{request.method} {request.path}: {refusal.reason}")
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
        return response


def _json_response(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _error_response(status: int, sentence: str) -> web.Response:
    # The standard library escapes whatever is not ASCII, half surrogates included.
    body = json.dumps({"error": sentence}).encode()
    return web.Response(status=status, body=body, content_type="application/json")


@asynccontextmanager
async def serving(model: OnnxModel, listen: str) -> AsyncIterator[str]:
    """Serve `model` while the context lasts; gives the address it answers on, with the real port.

    `listen` is `HOST:PORT` (port 0 picks a free one) or `unix:/path`.

    Raises:
        ModelServerError: the address is malformed, in use or not allowed.
    """
    try:
        address = parse_listen(listen)
    except ValueError as fault:
        raise ModelServerError(f"cannot listen: {fault}") from fault
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="model") as worker:
        runner = web.AppRunner(
            ModelService(model, worker).application(),
            access_log=None,
            auto_decompress=False,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        await runner.setup()
        try:
            where = await _bind(runner, address)
            try:
                yield where
            finally:
                if address.unix:
                    _remove_socket(Path(address.unix))
        finally:
            await runner.cleanup()


async def serve(model: OnnxModel, listen: str) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight. Prints one line when ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(model, listen) as where:
        sys.stdout.write(f"serving {model.name} {model.version} on {where}\n")
        sys.stdout.flush()
        await stop.wait()


def run_model_server(path: str | Path, name: str, version: str, listen: str) -> None:
    """Load the model and serve it in this process until a signal; the body of `sidecar serve-model`.

    Raises:
        ModelServerError: the model file or the address is not usable; its text is one plain sentence.
    """
    model = OnnxModel(Path(path), name, version)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(model, listen))


async def _bind(runner: web.AppRunner, address: Address) -> str:
    try:
        if address.unix:
            _refuse_live_socket(address.unix)
            await web.UnixSite(runner, address.unix, backlog=BACKLOG).start()
            return str(address)
        await web.TCPSite(runner, address.host, address.port, backlog=BACKLOG).start()
    except OSError as fault:
        raise ModelServerError(f"cannot listen on {address}: {_reason(fault)}") from fault
    bound = msgspec.structs.replace(address, port=runner.addresses[0][1])
    return f"http://{bound}"


def _reason(fault: OSError) -> str:
    """The operating system's words alone: event loops wrap them in sentences of their own."""
    if isinstance(fault, socket.gaierror) or fault.errno is None:
        return fault.strerror or str(fault)
    return os.strerror(fault.errno).lower()


def _refuse_live_socket(path: str) -> None:
    """Event loops unlink an existing socket before they bind, even one that another process serves."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
    raise ModelServerError(f"cannot listen on unix:{path}: another process serves there")


def _remove_socket(path: Path) -> None:
    """Leave no dead socket behind; only ever a socket."""
    if path.is_socket():
        path.unlink(missing_ok=True)
