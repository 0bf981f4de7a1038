from __future__ import annotations

import json
from typing import Any

import pytest

from registry_client.errors import InvalidDocument, Refused
from registry_client.webhook import BODY_LIMIT_BYTES, AliasEvent, OtherEvent, signature, verified

SECRET = b"shared"
NOW = 1_795_369_180.5
# As MLflow 3.17 sent it.
BODY = (
    b'{"entity": "model_version_alias", "action": "created", "timestamp": "2026-11-22T17:39:39.173120+00:00", '
    b'"data": {"name": "bc", "alias": "challenger", "version": "1"}}'
)


def headers(body: bytes, *, delivery: str = "221d97fb", timestamp: str = "1795369179", **others: str) -> dict[str, str]:
    return {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": signature(SECRET, delivery, timestamp, body),
    } | {name.replace("_", "-"): value for name, value in others.items()}


def message(**changes: Any) -> bytes:
    document = json.loads(BODY)
    data = document["data"] | changes.pop("data", {})
    return json.dumps(document | {"data": data} | changes).encode()


def test_a_signed_message_says_which_alias_moved() -> None:
    assert verified(SECRET, headers(BODY), BODY, NOW) == AliasEvent("221d97fb", "bc", "challenger", "1")


def test_names_of_headers_may_be_written_in_any_case() -> None:
    lowered = {name.lower(): value for name, value in headers(BODY).items()}
    assert verified(SECRET, lowered, BODY, NOW) == AliasEvent("221d97fb", "bc", "challenger", "1")


def test_the_signature_is_mlflows() -> None:
    # Computed with openssl: printf 'id.1.{}' | openssl dgst -sha256 -hmac key -binary | base64
    assert signature(b"key", "id", "1", b"{}") == "v1,5PVmP2AfJGwnp9flV+flrzfukNWA9zyUdqvI+IQalVs="


def test_an_alias_that_was_taken_away_points_nowhere() -> None:
    body = message(action="deleted")
    assert verified(SECRET, headers(body), body, NOW) == AliasEvent("221d97fb", "bc", "challenger", None)


def test_other_events_are_told_by_their_kind() -> None:
    body = message(entity="model_version", action="created", data={"alias": None})
    assert verified(SECRET, headers(body), body, NOW) == OtherEvent("221d97fb", "model_version.created", "bc")


@pytest.mark.parametrize(
    "changed",
    [
        {"X_MLflow_Signature": "v1,AAAA"},
        {"X_MLflow_Signature": ""},
        {"X_MLflow_Signature": "v1,é\ud800"},
        {"X_MLflow_Signature": signature(b"other", "221d97fb", "1795369179", BODY)},
        {"X_MLflow_Signature": signature(SECRET, "221d97fb", "1795369179", BODY + b" ")},
        {"X_MLflow_Delivery_Id": "another"},
        {"X_MLflow_Delivery_Id": ""},
        {"X_MLflow_Timestamp": "1795369180"},
        {"X_MLflow_Timestamp": ""},
        {"X_MLflow_Timestamp": "now"},
        {"X_MLflow_Timestamp": "1e9"},
        {"X_MLflow_Timestamp": "٣"},
        {"X_MLflow_Timestamp": "9" * 5_000},
    ],
)
def test_what_is_not_signed_like_that_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(Refused):
        verified(SECRET, headers(BODY, **changed), BODY, NOW)


def test_a_message_without_any_of_the_headers_is_refused() -> None:
    with pytest.raises(Refused, match="X-MLflow-Delivery-Id"):
        verified(SECRET, {}, BODY, NOW)


def test_without_a_secret_no_message_is_taken() -> None:
    forged = headers(BODY) | {"X-MLflow-Signature": signature(b"", "221d97fb", "1795369179", BODY)}
    with pytest.raises(Refused, match="needs a secret"):
        verified(b"", forged, BODY, NOW)


@pytest.mark.parametrize(("age_s", "taken"), [(0, True), (299, True), (301, False), (-299, True), (-301, False)])
def test_an_old_message_or_one_from_the_future_is_refused(age_s: int, taken: bool) -> None:
    now = 1_795_369_179 + age_s
    if taken:
        assert verified(SECRET, headers(BODY), BODY, now).delivery == "221d97fb"
    else:
        with pytest.raises(Refused, match="clocks"):
            verified(SECRET, headers(BODY), BODY, now)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"entity": "model_version_alias"}',
        message(entity=7),
        message(data={"name": None}),
        message(data={"alias": None}),
        message(data={"alias": ["a"]}),
        message(data={"name": "x" * 300}),
    ],
    ids=range(12),
)
def test_what_was_signed_but_cannot_be_read_is_told(body: bytes) -> None:
    with pytest.raises(InvalidDocument):
        verified(SECRET, headers(body), body, NOW)


def test_a_huge_message_is_not_even_hashed() -> None:
    with pytest.raises(InvalidDocument, match="larger"):
        verified(SECRET, {}, b" " * (BODY_LIMIT_BYTES + 1), NOW)
