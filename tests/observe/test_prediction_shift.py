from __future__ import annotations

import random

import msgspec
import pytest

from sidecar.observe.prediction_shift import Side, prediction_psi
from sidecar.records import Prediction


def _sides(classes: int, rows: int, *, agree: float, moved: bool = False, seed: int = 1) -> tuple[Side, Side]:
    """A champion of many classes, and a challenger that says something else on some rows."""
    rng, sides = random.Random(seed), (Side(), Side())
    for _ in range(rows):
        said = rng.randrange(classes)
        other = said if rng.random() < agree else rng.randrange(classes)
        if moved and other % 3 == 0:
            other = 7
        for side, label in zip(sides, (said, other), strict=True):
            side.fold(Prediction(labels=(f"class-{label}",), scores=None))
    return sides


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [150, 230, 1_000, 20_000])
def test_models_of_many_classes_that_say_each_as_often_have_not_shifted(classes: int, seed: int) -> None:
    psi = prediction_psi(*_sides(classes, 8_000, agree=0.9, seed=seed))
    assert psi is not None
    assert psi < 0.05


@pytest.mark.parametrize("classes", [20, 1_000])
def test_a_shift_between_many_classes_is_seen(classes: int) -> None:
    assert (prediction_psi(*_sides(classes, 8_000, agree=0.9, moved=True)) or 0.0) > 0.5


def test_a_side_of_few_labels_is_laid_beside_one_of_many() -> None:
    few, many = _sides(150, 4_000, agree=1.0)[0], _sides(300, 4_000, agree=1.0)[0]
    psi = prediction_psi(few, many)
    assert psi is not None
    assert psi == prediction_psi(many, few)
    assert psi > 0.1, "half of what one says, the other never says"
    assert prediction_psi(many, Side()) is None


@pytest.mark.parametrize("classes", [190, 260])
def test_neither_the_order_of_labels_nor_how_rows_were_spread_changes_a_count(classes: int) -> None:
    rng = random.Random(3)
    labels = [f"class-{rng.randrange(classes)}" for _ in range(3_000)]
    whole, parts = Side(), [Side(), Side(), Side()]
    for label in labels:
        whole.fold(Prediction(labels=(label,), scores=None))
    for label in rng.sample(labels, len(labels)):
        parts[min(2, int(rng.expovariate(2.0)))].fold(Prediction(labels=(label,), scores=None))
    for part in parts[1:]:
        before = msgspec.to_builtins(part.to_document())
        parts[0].merge(part)
        assert msgspec.to_builtins(part.to_document()) == before
    assert parts[0].to_document() == whole.to_document()
    again = Side.from_document(parts[0].to_document())
    assert again.to_document() == whole.to_document()
    assert len(whole.labels) <= 200


def test_damaged_groups_are_refused() -> None:
    document = msgspec.structs.replace(Side().to_document(), groups=[1, 2])
    with pytest.raises(ValueError, match="groups"):
        Side.from_document(document)
