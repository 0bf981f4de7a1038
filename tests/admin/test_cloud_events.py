from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from sidecar.admin.cloud_events import read_event
from sidecar.errors import Invalid

ATTRIBUTES = {"specversion": "1.0", "id": "a-1", "source": "http://localhost:9081/", "type": "some.type"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}


def headers(values: dict[str, str], *more: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([*values.items(), *more]))


def binary(**changes: str | None) -> dict[str, str]:
    attributes = ATTRIBUTES | changes
    return {"Content-Type": "application/json"} | {f"Ce-{n}": v for n, v in attributes.items() if v is not None}


def test_a_binary_event_has_its_attributes_in_headers_and_its_data_as_the_body() -> None:
    event = read_event(headers(binary(inferenceservicename="fraud")), b'{"instances": [NaN]}')

    assert event.attributes == ATTRIBUTES | {"inferenceservicename": "fraud"}
    assert (event.data, event.content_type) == (b'{"instances": [NaN]}', "application/json")


def test_an_event_of_the_older_version_is_read_too() -> None:
    assert read_event(headers(binary(specversion="0.3")), b"").attributes["specversion"] == "0.3"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a%20b", "a b"),
        ("%E2%82%AC", "€"),
        ("100%25", "100%"),
        ("100%", "100%"),
        ('"quoted"', "quoted"),
        ('"', '"'),
    ],
)
def test_attributes_in_headers_are_percent_decoded(sent: str, meant: str) -> None:
    assert read_event(headers(binary(subject=sent)), b"").attributes["subject"] == meant


@pytest.mark.parametrize("value", ["%FF", "%C3", "\udcff"])
def test_attributes_that_are_no_utf_8_are_refused(value: str) -> None:
    with pytest.raises(Invalid, match="UTF-8"):
        read_event(headers(binary(subject=value)), b"")


def test_an_attribute_that_is_there_twice_is_refused() -> None:
    with pytest.raises(Invalid, match="'id' is there twice"):
        read_event(headers(binary(), ("CE-ID", "other")), b"")


@pytest.mark.parametrize(
    ("members", "data"),
    [
        ({"data": {"instances": [[1.50, 2]]}}, b'{"instances": [[1.5, 2]]}'),
        ({"data": [1, 2]}, b"[1, 2]"),
        ({"data": None}, b"null"),
        ({"data": "a,b\n1,2", "datacontenttype": "text/csv"}, b"a,b\n1,2"),
        ({"data": "text"}, b'"text"'),
        ({"data_base64": base64.b64encode(b"\0\1\2").decode()}, b"\0\1\2"),
        ({"data": base64.b64encode(b"\0\1").decode(), "datacontentencoding": "base64", "specversion": "0.3"}, b"\0\1"),
        ({}, b""),
    ],
)
def test_a_structured_event_gives_its_data_as_it_was_sent(members: dict[str, Any], data: bytes) -> None:
    event = read_event(headers(STRUCTURED), json.dumps(ATTRIBUTES | members).encode())

    assert event.data == data
    assert event.content_type == members.get("datacontenttype", "application/json")


def test_numbers_and_truth_values_are_attributes_and_null_is_none() -> None:
    members = ATTRIBUTES | {"sequence": 7, "last": True, "subject": None}
    event = read_event(headers(STRUCTURED), json.dumps(members).encode())

    assert event.attributes == ATTRIBUTES | {"sequence": "7", "last": "true"}


@pytest.mark.parametrize(
    ("content_type", "event"),
    [
        ("application/cloudevents-batch+json", "structured"),
        ("application/cloudevents+avro", "structured"),
        ("application/cloudevents", "structured"),
        ("application/json", "no headers"),
        ("", "no headers"),
    ],
)
def test_what_is_no_single_event_in_a_known_form_is_an_unsupported_media_type(content_type: str, event: str) -> None:
    with pytest.raises(web.HTTPUnsupportedMediaType, match="CloudEvent"):
        read_event(headers({"Content-Type": content_type}), json.dumps([ATTRIBUTES]).encode())


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_an_event_without_a_required_attribute_is_refused_by_its_name(name: str) -> None:
    rest = {key: value for key, value in ATTRIBUTES.items() if key != name}

    with pytest.raises(Invalid, match=f"lacks {name}"):
        read_event(headers(binary(**{name: None})), b"")
    with pytest.raises(Invalid, match=f"lacks {name}"):
        read_event(headers(STRUCTURED), json.dumps(rest).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"id": [1]}',
        b'{"id": {"a": 1}}',
        b'{"id": 1.5}',
        b'{"id": "\xff"}',
        b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"data": {"a": 1',
        json.dumps(ATTRIBUTES | {"data_base64": "no base64!"}).encode(),
        json.dumps(ATTRIBUTES | {"data_base64": 5}).encode(),
        json.dumps(ATTRIBUTES | {"data_base64": "AA==", "data": 1}).encode(),
        json.dumps(ATTRIBUTES | {"specversion": "2.0"}).encode(),
    ],
)
def test_a_broken_structured_event_is_refused_with_a_sentence(body: bytes) -> None:
    with pytest.raises(Invalid, match=r"event.*\.$"):
        read_event(headers(STRUCTURED), body)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode()))
def test_whatever_comes_as_a_structured_event_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert set(read_event(headers(STRUCTURED), body).attributes) >= set(ATTRIBUTES)
