from __future__ import annotations

import numpy as np
import pytest

from bench.decide.late_outcomes import WORLDS, read


@pytest.mark.parametrize("name", ["worse; positives in a day, negatives in 3 weeks", "better; all in a week"])
def test_late_outcomes_pass_the_gate_only_where_they_may_be_believed(name: str) -> None:
    found = read(WORLDS[name], np.random.default_rng(1))
    assert (found.gate is not None) == name.startswith("better")
