"""A transport in memory: what the other side does, and what the sidecar wrote."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any

_QUIET, _ = socket.socketpair()  # never readable: what a transport's descriptor is asked


class Wire(asyncio.Transport):
    """One end of a connection; what the sidecar writes is gathered in `seen`."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._waiting: list[bytes] = []
        self._paused = False
        self.seen = bytearray()
        self.state = "open"
        protocol.connection_made(self)

    # --- what the other side does

    def deliver(self, data: bytes) -> None:
        if self.is_closing():
            return
        if self._paused or self._waiting:
            self._waiting.append(data)
        elif hasattr(self._protocol, "get_buffer"):
            buffer = self._protocol.get_buffer(len(data))
            buffer[: len(data)] = data
            self._protocol.buffer_updated(len(data))
        else:
            self._protocol.data_received(data)

    def deliver_end(self) -> None:
        if not self.is_closing() and not self._protocol.eof_received():
            self.close()

    def deliver_reset(self) -> None:
        if not self.is_closing():
            self.state = "cut"
            self._protocol.connection_lost(ConnectionResetError())

    # --- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.state == "open":
            self.seen += data

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._end("closed", lost=False)

    def close(self) -> None:
        self._end("closed", lost=True)

    def abort(self) -> None:
        self._end("cut", lost=True)

    def _end(self, state: str, *, lost: bool) -> None:
        if self.state == "open":
            self.state = state
        if lost and self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, None)
            self._protocol = _NOBODY

    def is_closing(self) -> bool:
        return self._protocol is _NOBODY or self.state == "cut"

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.deliver(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket() if name == "socket" else default

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol


class _Socket:
    def fileno(self) -> int:
        return _QUIET.fileno()

    def setsockopt(self, *_: Any) -> None:
        """It is no real one."""


class _Nobody:
    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


_NOBODY = _Nobody()
