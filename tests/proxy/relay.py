"""Sends bytes through a plane in memory to a champion that answers every whole request, and gathers what came out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.proxy.in_memory import Play
from tests.proxy.memory_wire import Wire
from tests.proxy.rereading import h11_requests
from tests.proxy.transcript import Transcript

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Relayed:
    """`streams`: what each connection to the champion carried, and whether it was cut in the end; `heard`: what the
    caller got; `state`: how its connection ended.
    """

    streams: tuple[tuple[bytes, bool], ...]
    heard: bytes
    state: str


class _Relay(Play):
    def __init__(self, answer: Iterable[bytes], *, then_ends: bool) -> None:
        super().__init__(Transcript("relay", (), ()), lambda data: (data,))
        self._answer = tuple(answer)
        self._then_ends = then_ends
        self._answered: dict[Wire, int] = {}

    async def send(self, parts: Iterable[bytes]) -> Relayed:
        try:
            for part in parts:
                self.caller.deliver(part)
                await self.settle()
                while await self._answer_one():
                    pass
            streams = tuple((bytes(wire.seen), wire.state == "cut") for wire in self._wires("M"))
            return Relayed(streams, bytes(self.caller.seen), self.caller.state)
        finally:
            await self._clear()

    async def _answer_one(self) -> bool:
        for wire in self._wires("M"):
            answered = self._answered.get(wire, 0)
            if wire.state == "open" and len(h11_requests(bytes(wire.seen))) > answered:
                self._answered[wire] = answered + 1
                for part in self._answer:
                    wire.deliver(part)
                    await self.settle()
                if self._then_ends:
                    wire.deliver_end()
                    await self.settle()
                return True
        return False


async def relay(parts: Iterable[bytes], answer: Iterable[bytes] = (ANSWER,), *, then_ends: bool = False) -> Relayed:
    """The caller says `parts`, the champion answers each whole request with the parts of `answer`."""
    return await _Relay(answer, then_ends=then_ends).send(parts)


def split(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The pieces of `data` between these places, none of them empty."""
    borders = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[begin:end] for begin, end in pairwise(borders) if begin < end]
