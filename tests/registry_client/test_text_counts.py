from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_client import text_counts
from registry_client.text_counts import TextCounts, text_hash


def content(texts: TextCounts) -> tuple[list[str], list[list[int]], list[int], list[int]]:
    ordered = texts.ordered()
    return list(ordered.rows), ordered.counts.tolist(), ordered.hashes.tolist(), ordered.unlisted.tolist()


def merged(*parts: TextCounts) -> TextCounts:
    return TextCounts.combined([(part, (0,)) for part in parts], 1)


@pytest.fixture
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_counts, "TEXT_COUNT_LIMIT", 8)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=3), max_size=40), st.integers(0, 40), st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_equal_one_count_beyond_the_limit_too(
    texts: list[str], cut: int, shuffle: random.Random
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_counts, "TEXT_COUNT_LIMIT", 8)
        whole = content(TextCounts.of(Counter(texts)))
        first, second = TextCounts.of(Counter(texts[:cut])), TextCounts.of(Counter(texts[cut:]))
        assert content(merged(first, second)) == whole
        assert content(merged(second, first)) == whole
        shuffled = shuffle.sample(texts, len(texts))
        grown = TextCounts.empty()
        for text in shuffled:
            grown = merged(grown, TextCounts.of({text: 1}, largest_hash=grown.largest_hash))
        assert content(grown) == whole


@pytest.mark.usefixtures("_small_limit")
def test_beyond_the_limit_the_texts_of_smallest_hash_are_known_with_exact_counts() -> None:
    texts = Counter({f"t{number}": number + 1 for number in range(50)})
    counted = TextCounts.of(texts)
    assert counted.is_sampled
    assert set(counted.rows) == set(sorted(texts, key=lambda text: (text_hash(text), text))[:8])
    assert all(counted.counts[row, 0] == texts[text] for text, row in counted.rows.items())
    assert counted.total == texts.total()
    assert counted.largest_hash == max(map(text_hash, counted.rows))


def test_up_to_the_limit_every_text_is_known() -> None:
    counted = TextCounts.of({f"t{number}": 2 for number in range(1_000)})
    assert (counted.is_sampled, counted.largest_hash, counted.total) == (False, None, 2_000)


def test_blocks_are_counted_apart() -> None:
    first, second = TextCounts.of({"a": 1, "b": 2}), TextCounts.of({"b": 3}, unlisted=4)
    both = TextCounts.combined([(first, (1,)), (second, (0,))], 2)
    assert both.counts[both.rows["b"]].tolist() == [3, 2]
    assert both.counts[both.rows["a"]].tolist() == [0, 1]
    assert both.unlisted.tolist() == [4, 0]
    folded = TextCounts.combined([(both, (0, 0))], 1)
    assert folded.counts[folded.rows["b"]].tolist() == [5]


def test_texts_that_never_came_can_be_left_out() -> None:
    texts = TextCounts.of({"a": 1, "b": 1}).with_counts(np.array([[0, 0], [2, 1]]), np.zeros(2, np.int64))
    assert content(texts) == (["b"], [[2, 1]], [text_hash("b")], [0, 0])


def test_the_hash_is_the_same_on_every_machine_for_any_text() -> None:
    assert text_hash("country") == 0x5373C966
    assert text_hash("\ud800") == text_hash("?")
