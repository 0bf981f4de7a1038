"""A table summary as bytes, and back: how partial builds travel between machines. Format `sidecar-summary/1`.

Layout: a line with the format, the sha256 of what follows, then the body compressed by zlib: msgpack, with arrays as
little-endian int64. Invariant: what `unpacked` returns is consistent as if it had been summed up here (cells ascend
and hold their numbers, every column adds up to the rows of every block), whoever wrote it; reading takes at most
1 GiB. It signs nothing: the digest finds damage, not forgery. Used by table summaries.
"""

from __future__ import annotations

import zlib
from hashlib import sha256
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np

from registry_client.column import TEXT_LIMIT
from registry_client.column_summary import FEW_INTEGERS, ColumnSummary
from registry_client.errors import InvalidDocument
from registry_client.fine_cells import FINE_CELL_LIMIT, ROWS_LIMIT, SHIFT_LIMIT, FineCells, Floats, Integers, keys_of
from registry_client.table_summary import Roles, Summary
from registry_client.text_counts import TEXT_COUNT_LIMIT, TextCounts
from registry_client.time_blocks import BLOCK_LIMIT, UNDATED, Blocks

MAGIC = b"sidecar-summary/1\n"
BODY_LIMIT_BYTES = 1 << 30
_DIGEST_BYTES = 32
_COLUMN_LIMIT = 5_002  # a baseline's features, the prediction and the outcome
_SPAN_LIMIT = 62

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]


class _Cells(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Fine cells; `keys` and `highs` as differences, which are small and compress."""

    shift: Annotated[int, msgspec.Meta(ge=0, le=SHIFT_LIMIT)]
    keys: bytes
    lows: bytes
    heights: bytes
    fractions: bytes
    counts: bytes


class _Texts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    texts: Annotated[list[_Text], msgspec.Meta(max_length=TEXT_COUNT_LIMIT)]
    counts: bytes
    unlisted: bytes


class _Column(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: _Name
    numbers: _Cells
    infinities: bytes
    missing: bytes
    texts: _Texts
    whole_texts: _Texts | None
    whole_numbers: Annotated[int, msgspec.Meta(ge=0, le=ROWS_LIMIT)]
    has_floats: bool


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    prediction: _Name | None
    outcome: _Name | None
    time: _Name | None
    columns: Annotated[list[_Column], msgspec.Meta(max_length=_COLUMN_LIMIT)]
    span: Annotated[int, msgspec.Meta(ge=0, le=_SPAN_LIMIT)]
    blocks: bytes
    block_rows: bytes
    scores: _Cells
    sources: list[tuple[Annotated[str, msgspec.Meta(max_length=4_096)], _Digest]]


def packed(summary: Summary) -> bytes:
    """The summary as bytes; equal summaries give equal bytes."""
    body = _Body(
        prediction=summary.roles.prediction,
        outcome=summary.roles.outcome,
        time=summary.roles.time,
        columns=[_column(name, summary.by_name[name]) for name in summary.columns],
        span=summary.blocks.span,
        blocks=_bytes(np.array(summary.blocks.numbers, np.int64)),
        block_rows=_bytes(summary.block_rows),
        scores=_cells(summary.scores),
        sources=list(summary.sources),
    )
    compressed = zlib.compress(msgspec.msgpack.encode(body), 3)
    return MAGIC + sha256(compressed).digest() + compressed


def unpacked(data: bytes) -> Summary:
    """Read and check bytes of whatever origin; InvalidDocument in a sentence where they will not do."""
    if not data.startswith(MAGIC):
        raise InvalidDocument("these bytes are no summary that this version reads (format sidecar-summary/1)")
    start = len(MAGIC) + _DIGEST_BYTES
    if sha256(data[start:]).digest() != data[len(MAGIC) : start]:
        raise InvalidDocument("the summary is damaged: it does not have the digest that it says it has")
    try:
        reader = zlib.decompressobj()
        plain = reader.decompress(data[start:], BODY_LIMIT_BYTES)
    except zlib.error as error:
        raise InvalidDocument(f"the summary is damaged: {error}") from error
    if reader.unconsumed_tail:
        raise InvalidDocument(f"the summary is larger than {BODY_LIMIT_BYTES} bytes")
    if not reader.eof or reader.unused_data:
        raise InvalidDocument("the summary is damaged: it breaks off, or goes on after its end")
    try:
        return _summary(msgspec.msgpack.decode(plain, type=_Body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidDocument(f"the summary cannot be read: {error}") from error


def _summary(body: _Body) -> Summary:
    numbers = _integers(body.blocks, "blocks")
    dated = numbers[numbers != UNDATED]
    if (numbers[1:] <= numbers[:-1]).any() or dated.size > BLOCK_LIMIT or (np.abs(dated) >> _SPAN_LIMIT).any():
        raise ValueError("its blocks of time do not ascend, or are too many")
    width = numbers.size
    block_rows = _counts(body.block_rows, (width,), "rows of blocks")
    if block_rows.sum() > ROWS_LIMIT:
        raise ValueError(f"it has more than {ROWS_LIMIT} rows")
    names = tuple(column.name for column in body.columns)
    if len(set(names)) != len(names):
        raise ValueError("two of its columns have the same name")
    if {body.prediction, body.outcome} - {None, *names} or body.time in names:
        raise ValueError("its prediction or outcome is not among its columns, or its time is")
    by_name = {column.name: _column_summary(column, block_rows) for column in body.columns}
    scores = _fine_cells(body.scores, 2)
    if scores.total > block_rows.sum():
        raise ValueError("it has more scores than rows")
    return Summary(
        roles=Roles(body.prediction, body.outcome, body.time),
        columns=names,
        by_name=by_name,
        blocks=Blocks(body.span, tuple(numbers.tolist())),
        block_rows=block_rows,
        scores=scores,
        sources=tuple(sorted(body.sources)),
    )


def _column(name: str, column: ColumnSummary) -> _Column:
    return _Column(
        name=name,
        numbers=_cells(column.numbers),
        infinities=_bytes(column.infinities),
        missing=_bytes(column.missing),
        texts=_texts(column.texts),
        whole_texts=_texts(column.whole_texts) if column.whole_texts is not None else None,
        whole_numbers=column.whole_numbers,
        has_floats=column.has_floats,
    )


def _column_summary(column: _Column, block_rows: Integers) -> ColumnSummary:
    width = block_rows.size
    numbers, texts = _fine_cells(column.numbers, width), _text_counts(column.texts, width)
    infinities = _counts(column.infinities, (2, width), "infinities")
    missing = _counts(column.missing, (width,), "missing values")
    known = numbers.counts.sum(axis=0) + infinities.sum(axis=0)
    if (known + missing + texts.counts.sum(axis=0) + texts.unlisted != block_rows).any():
        raise ValueError(f"column {column.name[:80]!r} does not add up to the rows")
    whole = _text_counts(column.whole_texts, width) if column.whole_texts is not None else None
    if whole is not None and (len(whole.rows) > FEW_INTEGERS or (whole.counts.sum(axis=0) > known).any()):
        raise ValueError(f"column {column.name[:80]!r} counts more integers than numbers")
    if column.whole_numbers > numbers.total:
        raise ValueError(f"column {column.name[:80]!r} counts more integers than numbers")
    return ColumnSummary(numbers, infinities, missing, texts, whole, column.whole_numbers, column.has_floats)


def _cells(cells: FineCells) -> _Cells:
    lows, highs = cells.lows.view(np.int64), cells.highs.view(np.int64)
    return _Cells(
        shift=cells.shift,
        keys=_bytes(np.diff(cells.keys, prepend=0)),
        lows=_bytes(lows),
        heights=_bytes(highs - lows),
        fractions=_bytes(cells.fractions),
        counts=_bytes(cells.counts),
    )


def _fine_cells(document: _Cells, blocks: int) -> FineCells:
    keys = np.cumsum(_integers(document.keys, "keys"))
    if keys.size > FINE_CELL_LIMIT:
        raise ValueError(f"it has {keys.size} cells in a column, more than {FINE_CELL_LIMIT}")
    lows, heights = _integers(document.lows, "lows"), _integers(document.heights, "heights")
    fractions = _integers(document.fractions, "fractions")
    counts = _counts(document.counts, (keys.size, blocks), "counts of cells")
    if not lows.size == heights.size == fractions.size == keys.size:
        raise ValueError("its cells are of different numbers")
    low: Floats = lows.view(np.float64)
    high: Floats = (lows + heights).view(np.float64)
    is_sound = (
        np.isfinite(low).all()
        and np.isfinite(high).all()
        and (low <= high).all()
        and (keys[1:] > keys[:-1]).all()
        and (keys_of(low, document.shift) == keys).all()
        and (keys_of(high, document.shift) == keys).all()
        and not np.signbit(low[keys == 0]).any()
    )
    if not is_sound:
        raise ValueError("its cells do not ascend, or do not hold their numbers")
    cells = FineCells(document.shift, keys, low, high, fractions, counts)
    if (cells.totals < 1).any() or (fractions < 0).any() or (fractions >> 30 >= cells.totals).any():
        raise ValueError("it has an empty cell, or one whose numbers do not add up")
    return cells


def _texts(texts: TextCounts) -> _Texts:
    ordered = texts.ordered()
    return _Texts(texts=list(ordered.rows), counts=_bytes(ordered.counts), unlisted=_bytes(ordered.unlisted))


def _text_counts(document: _Texts, blocks: int) -> TextCounts:
    names = document.texts
    if any(left >= right for left, right in pairwise(names)):
        raise ValueError("its texts do not ascend")
    counts = _counts(document.counts, (len(names), blocks), "counts of texts")
    unlisted = _counts(document.unlisted, (blocks,), "unlisted texts")
    if not counts.any(axis=1).all() or (unlisted.any() and len(names) < TEXT_COUNT_LIMIT):
        raise ValueError("it has a text that never came, or left texts out that it had place for")
    return TextCounts.of(dict.fromkeys(names, 0)).with_counts(counts, unlisted)


def _bytes(array: Integers) -> bytes:
    return array.astype("<i8", copy=False).tobytes()


def _integers(data: bytes, what: str) -> Integers:
    if len(data) % 8:
        raise ValueError(f"its {what} are no array")
    return np.frombuffer(data, dtype="<i8").astype(np.int64)


def _counts(data: bytes, shape: tuple[int, ...], what: str) -> Integers:
    found = _integers(data, what)
    if found.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"there are {found.size} {what} instead of {shape}")
    if ((found < 0) | (found > ROWS_LIMIT)).any():
        raise ValueError(f"its {what} are negative or too large")
    return found.reshape(shape)
