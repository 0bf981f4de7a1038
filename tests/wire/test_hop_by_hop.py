from __future__ import annotations

import pytest

from sidecar.wire.hop_by_hop import CREDENTIALS, HOP_BY_HOP, NEVER_NAMED, named_by_connection


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"", set()),
        (b"close", set()),
        (b"keep-alive, Upgrade", set()),
        (b"X-A", {b"x-a"}),
        (b" x-a\t,,X-B , close", {b"x-a", b"x-b"}),
        (b"Host, Content-Length, Authorization, x-request-id, Sidecar-Shadow", set()),
        (b"X-Forwarded-For, x-forwarded-anything, Forwarded, X-Real-IP, Via, traceparent", set()),
        (b"Inference-Header-Content-Length, Set-Cookie, X-Forward", {b"x-forward"}),
    ],
)
def test_what_connection_takes_off_a_message(value: bytes, named: set[bytes]) -> None:
    assert named_by_connection(value) == named


def test_every_name_is_in_lower_case_and_credentials_cannot_be_named() -> None:
    assert all(name == name.lower() for name in HOP_BY_HOP | CREDENTIALS | NEVER_NAMED)
    assert CREDENTIALS < NEVER_NAMED
