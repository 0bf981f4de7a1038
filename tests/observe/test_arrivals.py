from __future__ import annotations

import random

import pytest

from sidecar.observe.arrivals import Arrivals, ArrivalsDocument
from sidecar.records import Prediction
from sidecar.reports import Copies


def scores(*values: float) -> Prediction:
    return Prediction(labels=None, scores=values)


def copies(answered: int, **errors: int) -> Copies:
    return Copies(mirrored=answered, answered=answered, errors=errors)


def test_a_copy_that_ended_and_never_came_is_lost() -> None:
    arrivals = Arrivals()
    for _ in range(90):
        arrivals.arrived(scores(0.5))
    arrivals.ended(copies(97, timeout=3, status_5xx=10), 1_000.0)
    assert arrivals.lost() == 10
    assert Arrivals().lost() == 0


def test_copies_on_their_way_are_not_lost() -> None:
    arrivals = Arrivals()
    for second in range(30):
        arrivals.ended(copies(10), 1_000.0 + second)
        for _ in range(10):
            arrivals.arrived(scores(0.5))
        arrivals.ended(copies(0), 1_000.5 + second)
    assert arrivals.lost() == 0
    arrivals.ended(copies(7), 1_100.0)
    arrivals.ended(copies(0), 1_161.0)
    assert arrivals.lost() == 7


def test_drops_that_hit_high_scores_are_told_from_those_that_hit_any() -> None:
    rng = random.Random(1)
    fair, unfair = Arrivals(), Arrivals()
    for _ in range(4_000):
        score = rng.random()
        for arrivals, chance in ((fair, 0.05), (unfair, 0.15 if score > 0.8 else 0.01)):
            (arrivals.dropped if rng.random() < chance else arrivals.arrived)(scores(score))
    assert fair.drops_e() < 20.0
    assert unfair.drops_e() > 1_000.0


@pytest.mark.parametrize("said", [None, scores(5.0), Prediction(labels=("cat",), scores=None), scores()])
def test_an_answer_without_a_probability_says_nothing_of_drops(said: Prediction | None) -> None:
    arrivals = Arrivals()
    arrivals.arrived(said)
    arrivals.dropped(said)
    assert arrivals.drops_e() == 1.0
    assert sum(arrivals.to_document().sent) == 0


def test_labels_of_two_classes_count_as_scores_do() -> None:
    arrivals = Arrivals()
    for _ in range(200):
        arrivals.arrived(Prediction(labels=("0",), scores=None))
        arrivals.dropped(Prediction(labels=("true",), scores=None))
    assert arrivals.drops_e() > 1_000.0


def test_merging_adds_and_what_is_stored_comes_back() -> None:
    one, two = Arrivals(), Arrivals()
    for arrivals in (one, two):
        arrivals.arrived(scores(0.2))
        arrivals.ended(copies(3), 1_000.0)
    one.merge(two)
    assert one.lost() == 4
    again = Arrivals.from_document(one.to_document())
    assert again.to_document() == one.to_document()
    for damaged in (ArrivalsDocument(sent=[1]), ArrivalsDocument(dropped=[-1] * 20)):
        with pytest.raises(ValueError, match="damaged"):
            Arrivals.from_document(damaged)
