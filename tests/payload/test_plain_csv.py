from __future__ import annotations

from typing import Any

import pytest

from sidecar.payload import Undecodable
from sidecar.records import Prediction
from tests.payload.samples import features, prediction

CSV: dict[str, Any] = {"content_type": "text/csv"}


@pytest.mark.parametrize(
    ("body", "names", "rows", "columns"),
    [
        (b"a,b\n1,2\n3,4\n", ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        (b"b,a\r\n1,x\r\n", ("a", "b"), 1, {"b": [1.0], "a": ["x"]}),
        (b"1,2\n3,4", ("a", "b"), 2, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        (b"1,de\n3,at", ("a", "b"), 2, {"a": [1.0, 3.0], "b": ["de", "at"]}),
        (b"de,at", ("a", "b"), 1, {"a": ["de"], "b": ["at"]}),
        (b"1,2,3", ("a", "b"), 1, {"[0]": [1.0], "[1]": [2.0], "[2]": [3.0]}),
        (b"x,y\n1,2\n", (), 1, {"x": [1.0], "y": [2.0]}),
        (b"x,y\n1,2\n", ("a", "b"), 1, {"x": [1.0], "y": [2.0]}),
        (b"x,y\nz,w\n", ("a", "b"), 2, {"a": ["x", "z"], "b": ["y", "w"]}),
        (b"1,2\n", (), 1, {"[0]": [1.0], "[1]": [2.0]}),
        (b"a,b\n1,\nNaN,NA\n", ("a", "b"), 2, {"a": [1.0, None], "b": [None, None]}),
        (b"a,b\n1e3,-Infinity\n", ("a",), 1, {"a": [1000.0], "b": [-float("inf")]}),
        (b'a,b\n"1","x, ""y""\nz"\n', ("a",), 1, {"a": [1.0], "b": ['x, "y"\nz']}),
        (b"\xef\xbb\xbfa\n1\n", ("a",), 1, {"a": [1.0]}),
        (b"a\n1_000\n", ("a",), 1, {"a": ["1_000"]}),
        (b"a\noops\n2\n", ("a",), 2, {"a": ["oops", 2]}),
        (b"a\nTrue\nfalse\n", ("a",), 2, {"a": ["true", "false"]}),
        (b"\n\na\n\n1\n\n", ("a",), 1, {"a": [1.0]}),
        (b"a,b\n", ("a", "b"), 0, {}),
        (b"", ("a",), 0, {}),
    ],
)
def test_lines_are_rows_with_or_without_a_line_of_names(
    body: bytes, names: tuple[str, ...], rows: int, columns: dict[str, list[Any]]
) -> None:
    assert features(body, names, **CSV) == (rows, columns)


def test_a_column_that_is_known_to_hold_texts_keeps_them() -> None:
    reading = {"texts": frozenset({"code"})}
    body = b"code,n\n01,1\n7.0,2\n,3\nTrue,4\n"
    assert features(body, ("code", "n"), reading=reading, **CSV) == (
        4, {"code": ["01", "7", None, "true"], "n": [1.0, 2.0, 3.0, 4.0]}
    )  # fmt: skip


def test_in_mlflows_csv_the_first_line_is_always_names() -> None:
    assert features(b"1,2\n3,4\n", ("a", "b"), reading={"protocol": "mlflow"}, **CSV) == (1, {"1": [3.0], "2": [4.0]})


@pytest.mark.parametrize(
    ("body", "labels", "scores"),
    [
        (b"0.5\n0.25\n", None, (0.5, 0.25)),
        (b"1\n0\n", ("1", "0"), None),
        (b"fraud\nok\n", ("fraud", "ok"), None),
        (b"0.25,0.75\n0.5,0.5\n", None, (0.75, 0.5)),
        (b"label,score\nx,0.5\n", ("x",), (0.5,)),
        (b"label,score\n", (), None),
        (b"", (), None),
    ],
)
def test_answers_are_columns_or_a_vector_a_line(
    body: bytes, labels: tuple[str, ...] | None, scores: tuple[float, ...] | None
) -> None:
    assert prediction(body, **CSV) == Prediction(labels, scores)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xfe", "encoding"),
        (b"a,b\n1\n", "shape"),
        (b"a,a\n1,2\n", "shape"),
        (b"a,b,c\n1,2\n3,4\n", "shape"),
        (b"a\n" + b"9" * 200_000, "shape"),
        (b"," * 10_000, "too_large"),
    ],
)
def test_lines_that_make_no_sense_are_undecodable(body: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as caught:
        features(body, ("a",), **CSV)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        (b"card,3\ncash,4\n", {"card": ["card", "cash"], "cash": [3.0, 4.0]}),
        (b"cash,card\n3,4\n", {"cash": [3.0], "card": [4.0]}),
        (b"cash,more\n3,4\n", {"cash": [3.0], "more": [4.0]}),
    ],
)
def test_a_row_that_holds_a_features_name_as_a_text_is_no_header(body: bytes, columns: dict[str, list[Any]]) -> None:
    rows, found = features(body, ("card", "cash"), **CSV)
    assert (rows, found) == (len(next(iter(columns.values()))), columns)
    assert list(found) == list(columns)
