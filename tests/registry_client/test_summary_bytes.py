from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest

from registry_client.errors import InvalidDocument
from registry_client.summary import Summary, summarise
from registry_client.summary_bytes import MAGIC

START = len(MAGIC) + 32
# Places in the body, an array: see the structs of the module.
PREDICTION, TIME, COLUMNS, SPAN, BLOCKS, BLOCK_ROWS, SCORES, SOURCES = 0, 2, 3, 4, 5, 6, 7, 8
AMOUNT, COUNTRY = 0, 1
NAME, NUMBERS, INFINITIES, MISSING, TEXTS, WHOLE_TEXTS, WHOLE_NUMBERS = range(7)
SHIFT, KEYS, LOWS, HEIGHTS, FRACTIONS, COUNTS = range(6)


def small() -> bytes:
    columns = {
        "amount": [1.5, 2.5, 2.5, None],
        "country": ["DE", "FR", "DE", None],
        "score": [0.1, 0.2, 0.3, 0.4],
        "fraud": [0, 1, 0, 1],
        "at": ["2026-01-01", "2026-01-01", "2026-01-02", None],
    }
    return summarise(columns, prediction="score", outcome="fraud", time="at").to_bytes()


def body() -> list[Any]:
    found: list[Any] = msgspec.msgpack.decode(zlib.decompress(small()[START:]))
    return found


def framed(plain: bytes) -> bytes:
    return sealed(zlib.compress(plain))


def sealed(compressed: bytes) -> bytes:
    return MAGIC + sha256(compressed).digest() + compressed


def ints(*numbers: int) -> bytes:
    return np.array(numbers, "<i8").tobytes()


def put(value: Any, *path: int) -> Callable[[list[Any]], None]:
    def change(document: list[Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def float_bits(*numbers: float) -> bytes:
    return np.array(numbers, "<f8").tobytes()


def test_a_summary_reads_back_as_it_was_written() -> None:
    again = Summary.from_bytes(small())
    assert again.to_bytes() == small()
    assert (again.rows, again.columns) == (4, ("amount", "country", "score", "fraud"))


def test_the_frame_of_the_tests_is_the_frame_of_the_module() -> None:
    assert Summary.from_bytes(framed(msgspec.msgpack.encode(body()))).to_bytes() == small()


@pytest.mark.parametrize(
    "change",
    [
        put(60, COLUMNS, AMOUNT, NUMBERS, SHIFT),
        put(-1, COLUMNS, AMOUNT, NUMBERS, SHIFT),
        put(1, COLUMNS, AMOUNT, NUMBERS, SHIFT),
        put(b"123", COLUMNS, AMOUNT, NUMBERS, KEYS),
        put(ints(5, -1), COLUMNS, AMOUNT, NUMBERS, KEYS),
        put(ints(2**62, 2**62), COLUMNS, AMOUNT, NUMBERS, KEYS),
        put(float_bits(2.5, 1.5), COLUMNS, AMOUNT, NUMBERS, LOWS),
        put(float_bits(1.5, float("nan")), COLUMNS, AMOUNT, NUMBERS, LOWS),
        put(float_bits(1.5, float("inf")), COLUMNS, AMOUNT, NUMBERS, LOWS),
        put(float_bits(1.5), COLUMNS, AMOUNT, NUMBERS, LOWS),
        put(ints(0, 2**62), COLUMNS, AMOUNT, NUMBERS, HEIGHTS),
        put(ints(0, -1), COLUMNS, AMOUNT, NUMBERS, HEIGHTS),
        put(ints(2**40, 0), COLUMNS, AMOUNT, NUMBERS, FRACTIONS),
        put(ints(-1, 0), COLUMNS, AMOUNT, NUMBERS, FRACTIONS),
        put(ints(0, 0, 0), COLUMNS, AMOUNT, NUMBERS, COUNTS),
        put(ints(0, -1, 0, 1, 1, 2), COLUMNS, AMOUNT, NUMBERS, COUNTS),
        put(ints(0, 2**62, 0, 0, 1, 1), COLUMNS, AMOUNT, NUMBERS, COUNTS),
        put(ints(0, 0, 0, 0, 1, 1), COLUMNS, AMOUNT, NUMBERS, COUNTS),
        put(ints(0, 2, 0, 0, 1, 1), COLUMNS, AMOUNT, NUMBERS, COUNTS),
        put(ints(1, 0, 0, 0, 0, 0), COLUMNS, AMOUNT, INFINITIES),
        put(ints(0, 0, 0), COLUMNS, AMOUNT, MISSING),
        put(9, COLUMNS, AMOUNT, WHOLE_NUMBERS),
        put(-1, COLUMNS, AMOUNT, WHOLE_NUMBERS),
        put([["1"], ints(0, 9, 0), ints(0, 0, 0)], COLUMNS, AMOUNT, WHOLE_TEXTS),
        put(["FR", "DE"], COLUMNS, COUNTRY, TEXTS, 0),
        put(["DE", "DE"], COLUMNS, COUNTRY, TEXTS, 0),
        put(["DE"], COLUMNS, COUNTRY, TEXTS, 0),
        put(["DE", "x" * 500], COLUMNS, COUNTRY, TEXTS, 0),
        put(ints(0, 0, 0, 0, 0, 0), COLUMNS, COUNTRY, TEXTS, 1),
        put(ints(1, 0, 0), COLUMNS, COUNTRY, TEXTS, 2),
        put("", COLUMNS, AMOUNT, NAME),
        put("country", COLUMNS, AMOUNT, NAME),
        put("x" * 600, COLUMNS, AMOUNT, NAME),
        put("zzz", PREDICTION),
        put("amount", TIME),
        put(99, SPAN),
        put(ints(3, 2, 1), BLOCKS),
        put(ints(*range(100)), BLOCKS),
        put(ints(1, 2, 2**63 - 1), BLOCKS),
        put(ints(1, 1, 1), BLOCK_ROWS),
        put(ints(1, 2, -1), BLOCK_ROWS),
        put(ints(2**40, 2, 1), BLOCK_ROWS),
        put([["a", "md5:1"]], SOURCES),
        put([], SCORES),
        put("text", COLUMNS),
        put([], COLUMNS, AMOUNT),
    ],
)
def test_a_summary_that_contradicts_itself_is_refused_though_its_digest_fits(
    change: Callable[[list[Any]], None],
) -> None:
    document = body()
    change(document)
    with pytest.raises(InvalidDocument, match="the summary cannot be read"):
        Summary.from_bytes(framed(msgspec.msgpack.encode(document)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        MAGIC,
        MAGIC + bytes(32),
        MAGIC + bytes(32) + b"not compressed",
        sealed(b"not compressed"),
        sealed(zlib.compress(b"")[:-2]),
        sealed(small()[START:] + b"more"),
        framed(b""),
        framed(b"\xff" * 100),
        framed(b"\x91" * 100_000),
        framed(b"\xdd\xff\xff\xff\xff"),
        small() + b"more",
        small()[:-1],
    ],
    ids=range(14),
)
def test_bytes_that_are_no_summary_are_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(InvalidDocument):
        Summary.from_bytes(data)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry_client.summary_bytes.BODY_LIMIT_BYTES", 1_000)
    with pytest.raises(InvalidDocument, match="larger than 1000 bytes"):
        Summary.from_bytes(framed(bytes(100_000)))


def test_no_flipped_bit_and_no_truncation_goes_unnoticed() -> None:
    data = small()
    chance = random.Random(1)
    for _ in range(200):
        place = chance.randrange(len(data))
        with pytest.raises(InvalidDocument):
            Summary.from_bytes(data[:place])
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        with pytest.raises(InvalidDocument):
            Summary.from_bytes(bytes(flipped))
