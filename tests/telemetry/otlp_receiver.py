"""A collector: takes OTLP over HTTP and keeps the spans that came."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class OtlpReceiver:
    """Listens on a free port from construction to `close`. While `held` is set, it lets its callers wait."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  named by the library
                """No line for each request."""

        self.status = 200
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self.paths: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        self.go_on.wait()
        self.paths.add(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.status == 200:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = values(of_resource.resource.attributes)
                for of_scope in of_resource.scope_spans:
                    self.spans += of_scope.spans
        request.send_response(self.status)
        request.send_header("content-length", "0")
        request.end_headers()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
