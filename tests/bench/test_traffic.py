"""What the bench sends and answers is what the sidecar can read."""

from __future__ import annotations

import json

import pytest

from bench.traffic import CHAMPION, answer, bodies, large_body, wrk_script
from sidecar.demo.payments import FEATURES
from sidecar.payload.message import Message
from sidecar.payload.reading import Reading, read_features, read_prediction


def test_requests_are_distinct_about_600_bytes_and_name_every_feature() -> None:
    made = bodies()
    assert len(set(made)) == len(made)
    assert all(580 <= len(body) <= 680 for body in made)
    rows, features = read_features(Reading(), Message(made[0], content_type="application/json"))
    assert rows == 1
    assert set(features.order) == {feature.name for feature in FEATURES}


def test_the_answer_has_a_label_and_a_score() -> None:
    said = read_prediction(Reading(), Message(answer(CHAMPION).encode(), content_type="application/json"))
    assert said.labels == ("0",)
    assert said.scores == (0.125,)


def test_every_body_is_in_wrks_script() -> None:
    made = bodies()
    script = wrk_script(made)
    assert all(f"[==[{body.decode()}]==]" in script for body in made)


def test_own_ids_make_every_head_another() -> None:
    made = bodies()
    fixed, own = wrk_script(made), wrk_script(made, own_ids=True)
    assert "return prepared[at]" in fixed
    assert "x-request-id" not in fixed
    assert "x-request-id: bench-%012d" in own
    assert "traceparent: 00-" in own


@pytest.mark.parametrize("size", [1_000, 262_144])
def test_a_large_body_is_a_request_of_exactly_its_size(size: int) -> None:
    body = large_body(size)
    assert len(body) == size
    (tensor,) = json.loads(body)["inputs"]
    assert tensor["shape"] == [1, len(tensor["data"])]
    assert len(body.rstrip()) > 0.85 * size
