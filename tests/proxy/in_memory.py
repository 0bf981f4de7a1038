"""Plays transcripts: a real plane and callers between transports in memory, so that every split is exact and cheap.

Words after !!
    refused STATUS REASON       the model server saw nothing, the caller this refusal and then the end
    refused midway STATUS REASON  the same, but an incomplete request may have gone on, whose connection was then cut
    unanswered STATUS REASON    the caller saw this refusal, and before it at most interim answers; the model server's
                                connection is gone
    broken STATUS REASON        the same, or an answer that stops in the middle by a reset
    caller is open|closed|cut, model is open|closed|cut|gone    (the latest connection to the model server)
    caller ends|resets, model ends|resets, time passes SECONDS
    connections N, copies N
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from sidecar.decide.routing_table import Destination, RoutingTable
from sidecar.proxy.listener import Caller
from sidecar.proxy.plane import Plane
from tests.proxy.comparable import is_whole, tidy
from tests.proxy.memory_wire import Wire
from tests.proxy.scripted import shadow_of, table
from tests.proxy.transcript import Transcript

Cut = Callable[[bytes], Iterable[bytes]]
_INTERIM = re.compile(rb"(?:HTTP/1\.1 1(?!01)\d\d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n)*")
_STATUS_LINE = re.compile(rb"(?m)^HTTP/1\.1 \d{3} ")


class MemoryLoop:
    """The running loop, with connections in memory and a clock that a transcript moves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.shift_s = 0.0
        self.made: list[tuple[int, Wire]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._loop.time() + self.shift_s

    async def create_connection(self, make: Callable[[], Any], _host: str, port: int, **_: Any) -> tuple[Wire, Any]:
        protocol = make()
        wire = Wire(protocol)
        self.made.append((port, wire))
        return wire, protocol


def table_of(options: tuple[str, ...]) -> RoutingTable:
    """The routing table for a transcript's options."""
    bounds = {key: int(value) for key, _, value in (option.partition("=") for option in options) if value}
    champion = Destination("3", "model", 80, "", None)
    shadows = (shadow_of(Destination("4", "copy", 81, "", None)),) if "shadow" in options else ()
    made = table(champion, *shadows, **bounds)
    if "upgrades" in options:
        routes = tuple(msgspec.structs.replace(route, upgrades=True) for route in made.routes)
        made = msgspec.structs.replace(made, routes=routes, upgrades=True)
    return made


class Play:
    """One transcript being played; `cut` says how each thing said is split."""

    def __init__(self, transcript: Transcript, cut: Cut) -> None:
        self._transcript = transcript
        self._cut = cut
        self._expected = {"C": b"", "M": b"", "S": b""}
        self._before: dict[Wire, int] = {}
        self.loop = MemoryLoop()
        self.plane = Plane(self.loop, "w0", table_of(transcript.options))  # type: ignore[arg-type]  # looks like one
        self.plane.control_up = True
        self.plane.offer = lambda _exchange: None
        self.caller = Wire(Caller(self.plane))

    async def run(self, times: int = 1) -> None:
        try:
            for time in range(times):
                if time:
                    await self._begin_again()
                await self._run()
        finally:
            await self._clear()

    async def _begin_again(self) -> None:
        """The same from another caller: now the worker has met every head before."""
        self.caller.deliver_reset()
        await self.settle()
        self._before = {wire: len(wire.seen) for _, wire in self.loop.made}
        self._expected = {"C": b"", "M": b"", "S": b""}
        self.caller = Wire(Caller(self.plane))

    async def _run(self) -> None:
        for step in self._transcript.steps:
            side = step.kind.strip(">")
            if step.kind == "!!":
                await self._obey(*step.words)
            elif step.kind == ">c":
                self._expected["C"] += step.data
                assert self._readable("C").startswith(tidy(self._expected["C"])), "what C saw first"
            elif step.kind.startswith(">"):
                self._expected[side] += step.data
                assert self._readable(side) == tidy(self._expected[side]), f"what {side} saw"
            else:
                await self._say(side, step.data)
        for side, expected in self._expected.items():
            assert not expected or self._readable(side) == tidy(expected), f"what {side} saw in the end"

    async def _say(self, side: str, data: bytes) -> None:
        for part in self._cut(data):
            (self.caller if side == "C" else self._wires(side)[-1]).deliver(part)
            await self.settle()

    async def settle(self) -> None:
        """Until nothing more happens by itself."""
        before = -1
        while before != (before := self._activity()):
            for _ in range(3):
                await asyncio.sleep(0)

    def _activity(self) -> int:
        wires = [self.caller, *(wire for _, wire in self.loop.made)]
        return sum(len(wire.seen) + len(wire.state) + 1000 for wire in wires)

    def _wires(self, side: str) -> list[Wire]:
        wires = [wire for port, wire in self.loop.made if port == (81 if side == "S" else 80)]
        # What serves now stands last.
        return sorted(wires, key=lambda wire: len(wire.seen) > self._before.get(wire, 0))

    def _seen(self, side: str) -> bytes:
        if side == "C":
            return bytes(self.caller.seen)
        return b"".join(bytes(wire.seen[self._before.get(wire, 0) :]) for wire in self._wires(side))

    def _readable(self, side: str) -> bytes:
        return tidy(self._seen(side))

    async def _clear(self) -> None:
        self.caller.deliver_reset()
        self.plane.close()
        for _, wire in self.loop.made:
            wire.deliver_reset()
        for _ in range(4):
            await asyncio.sleep(0)

    # --- words

    async def _obey(self, *words: str) -> None:
        match words:
            case ("refused", *midway, status, reason):
                self._refused(status, reason, midway=bool(midway))
            case ("unanswered", status, reason):
                self._unanswered(status, reason)
            case ("broken", status, reason):
                self._broken(status, reason)
            case ("caller" | "model" as who, "is", state):
                is_now = (self.caller if who == "caller" else self._wires("M")[-1]).state
                assert (is_now != "open") if state == "gone" else (is_now == state), f"{who} is {is_now}"
            case ("caller" | "model" as who, what):
                self._leave(self.caller if who == "caller" else self._wires("M")[-1], what)
            case ("time", "passes", seconds):
                self.loop.shift_s += float(seconds)
                self.plane.tick()
            case (what, number):
                self._count(what, int(number))
            case _:
                raise ValueError(words)
        await self.settle()

    def _leave(self, wire: Wire, what: str) -> None:
        leave = {"ends": wire.deliver_end, "resets": wire.deliver_reset}
        leave[what]()

    def _count(self, what: str, number: int) -> None:
        counted = {"connections": len(self._wires("M")), "copies": sum(bool(wire.seen) for wire in self._wires("S"))}
        assert counted[what] == number, f"{counted[what]} {what}"

    def _new(self, side: str) -> bytes:
        """What was seen since the last expectation."""
        seen, expected = self._readable(side), tidy(self._expected[side])
        assert seen.startswith(expected), f"what {side} saw before"
        self._expected[side] = self._seen(side)
        return seen[len(expected) :]

    def _refused(self, status: str, reason: str, *, midway: bool) -> None:
        refusals = self._new("C")
        assert refusals.startswith(b"HTTP/1.1 %s " % status.encode()), refusals
        assert b"\r\nsidecar-error: %s\r\n" % reason.encode() in refusals
        assert b"\r\nconnection: close\r\n" in refusals
        assert len(_STATUS_LINE.findall(refusals)) == 1
        assert self.caller.state == "closed"
        forwarded = self._new("M")
        if forwarded:
            assert midway, "something went on to the model server"
            assert not is_whole(forwarded), "a whole request went on"
            assert self._wires("M")[-1].state == "cut"

    def _unanswered(self, status: str, reason: str) -> None:
        refusals = _INTERIM.sub(b"", self._new("C"), count=1)
        assert refusals.startswith(b"HTTP/1.1 %s " % status.encode()), refusals
        assert b"\r\nsidecar-error: %s\r\n" % reason.encode() in refusals
        assert len(_STATUS_LINE.findall(refusals)) == 1
        assert self._wires("M")[-1].state != "open"

    def _broken(self, status: str, reason: str) -> None:
        if b"\r\nsidecar-error: " in self._readable("C")[len(tidy(self._expected["C"])) :]:
            self._unanswered(status, reason)
            return
        begun = self._new("C")
        assert not is_whole(begun, answer=True), "it looked like a whole answer"
        assert self.caller.state == "cut"
        assert self._wires("M")[-1].state != "open"


def ways(longest: int, *, every: bool = True) -> Iterator[tuple[str, Cut]]:
    """Whole, byte by byte, and split in two at every position."""
    yield "whole", lambda data: (data,)
    yield "byte by byte", lambda data: (data[at : at + 1] for at in range(len(data)))
    for at in range(1, longest if every else 0):
        yield f"split at {at}", lambda data, at=at: (data[:at], data[at:]) if at < len(data) else (data,)  # type: ignore[misc]


async def play(transcript: Transcript, *, every: bool = True) -> None:
    """Plays a transcript in every way; says which one failed."""
    for name, cut in ways(transcript.longest, every=every):
        await _play(transcript, name, cut, 1)
    if not transcript.counts:
        await _play(transcript, "twice", lambda data: (data,), 2)


async def _play(transcript: Transcript, name: str, cut: Cut, times: int) -> None:
    try:
        await Play(transcript, cut).run(times)
    except AssertionError as error:
        error.add_note(f"{transcript.title}: {name}")
        raise
