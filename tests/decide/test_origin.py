from __future__ import annotations

import doctest

import pytest

from sidecar.decide import origin
from sidecar.decide.origin import Origin, contradiction, together

FULL = Origin(model="fraud", made_at=10.0, digest="sha256:a")


def test_the_examples_hold() -> None:
    assert doctest.testmod(origin).failed == 0


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (FULL, None),
        (Origin(model="fraud"), None),
        (Origin(model="fraud", digest="sha256:a"), None),
        (Origin(model="bc", made_at=10.0, digest="sha256:a"), "of the model 'bc'"),
        (Origin(model="fraud", made_at=10.0, digest="sha256:b"), "its content is sha256:b, and was sha256:a"),
        (Origin(model="fraud", made_at=11.0, digest="sha256:a"), "registered anew"),
        (Origin(model="fraud", made_at=11.0), "registered anew"),
    ],
)
def test_only_what_both_know_and_know_otherwise_is_another_model(now: Origin, says: str | None) -> None:
    found = contradiction(FULL, now)
    assert found == says if says is None else says in str(found)


def test_what_was_learnt_once_stays() -> None:
    assert together(FULL, Origin(model="fraud")) == FULL
    assert together(Origin(model="fraud"), FULL) == FULL
