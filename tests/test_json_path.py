"""Paths into JSON documents, as settings write them."""

from __future__ import annotations

import pytest

from sidecar.json_path import parse_path
from sidecar.payload.plain_json import at_path
from sidecar.payload.undecodable import Undecodable


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.a", ("a",)),
        ("$.a.b[0]", ("a", "b", 0)),
        ("$[12][0]", (12, 0)),
        ("$['a b'].c", ("a b", "c")),
        ('$["a.b[0]"]', ("a.b[0]",)),
        ("$.größe-in_m²", ("größe-in_m²",)),
    ],
)
def test_a_path_is_steps(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with $"),
        ("a.b", "begins with $"),
        ("$a", "from 'a' on"),
        ("$.", "from '.' on"),
        ("$.a..b", "from '..b' on"),
        ("$.a[*].b", "from '[*].b' on"),
        ("$[-1]", "from '[-1]' on"),
        ("$[1", "from '[1' on"),
        ("$['']", "from"),
        ("$.a b", "from ' b' on"),
        ("$[9999999999]", "from"),
        ("$" + ".a" * 33, "at most 32 steps"),
    ],
)
def test_a_path_that_cannot_be_read_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"path|cannot") as caught:
        parse_path(text)
    assert says in str(caught.value)


def test_walking_leads_there_or_nowhere() -> None:
    document = {"a": [{"b": None}, 2]}
    assert at_path(document, parse_path("$")) is document
    assert at_path(document, parse_path("$.a[0].b")) is None
    assert at_path(document, parse_path("$.a[1]")) == 2
    for text in ("$.b", "$.a.b", "$.a[2]", "$[0]", "$.a[1].c", "$.a[0].b.c"):
        with pytest.raises(Undecodable):
            at_path(document, parse_path(text))
