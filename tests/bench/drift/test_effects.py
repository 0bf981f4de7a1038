from __future__ import annotations

import numpy as np
import pytest

from bench.drift.effects import EFFECTS, QUICK, Effect


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.name)
def test_the_oracles_ratio_is_that_of_what_is_drawn(effect: Effect) -> None:
    # The mean of before/after over rows drawn after is one: only the true ratio has that.
    rng = np.random.default_rng(7)
    drawn = effect.after(rng, 400_000)
    known = effect.ratio(drawn) < 40.0  # what never happens before has no ratio
    assert np.mean(np.exp(-effect.ratio(drawn[known]))) * np.mean(known) == pytest.approx(1.0, abs=0.06)
    assert np.mean(effect.ratio(drawn)) > 0.0 > np.mean(effect.ratio(effect.before(rng, 100_000)))


def test_names_are_unique_and_the_quick_ones_exist() -> None:
    names = [effect.name for effect in EFFECTS]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
