from __future__ import annotations

import json

import pytest

from sidecar.wire.refusal import ALL, DRAINING, MALFORMED, NO_ROUTE, Refusal, write_refusal


@pytest.mark.parametrize("why", ALL, ids=lambda why: f"{why.status} {why.reason} {why.says[:20]}")
@pytest.mark.parametrize("close", [True, False])
def test_a_refusal_is_a_whole_answer_with_a_sentence_for_people(why: Refusal, close: bool) -> None:
    head, _, body = write_refusal(why, b"x-request-id: i\r\n", close=close).partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    document = json.loads(body)
    assert start.startswith(b"HTTP/1.1 %d " % why.status)
    assert int(headers[b"content-length"]) == len(body)
    assert headers[b"content-type"] == b"application/problem+json"
    assert (headers[b"sidecar-error"], headers[b"x-request-id"]) == (why.reason.encode(), b"i")
    assert headers.get(b"connection") == (b"close" if close else None)
    assert document["error"] == document["detail"] == why.says
    assert document["status"] == why.status
    assert document["title"]
    assert document["type"] == "about:blank"
    assert why.says.endswith(".")
    assert why.reason.replace("_", "").isalpha()


def test_where_trying_again_may_help_it_says_when() -> None:
    assert b"retry-after: 1\r\n" in write_refusal(DRAINING, b"", close=True)
    assert b"retry-after" not in write_refusal(MALFORMED, b"", close=True)
    assert {why.status for why in ALL if why.retry_after_s is not None} == {503}


def test_an_answer_to_head_tells_the_length_and_has_no_body() -> None:
    whole = write_refusal(NO_ROUTE, b"", close=False)
    head = write_refusal(NO_ROUTE, b"", close=False, body=False)
    assert whole.startswith(head)
    assert head.endswith(b"\r\n\r\n")
    assert len(whole) > len(head)


def test_every_status_of_the_contract_is_there() -> None:
    assert {why.status for why in ALL} == {400, 404, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504}
