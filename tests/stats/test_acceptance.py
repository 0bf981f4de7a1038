from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.reports import Cause
from sidecar.stats.acceptance import Candidate, accepted, explained_by, fitted, same_meaning, scale_of
from sidecar.stats.mixture_fit import deviance

Floats = NDArray[np.float64]
BEFORE: Floats = np.array([0.4, 0.3, 0.2, 0.1])
AFTER: Floats = np.array([0.1, 0.2, 0.3, 0.4])
OTHER: Floats = np.array([0.25, 0.25, 0.25, 0.25])


def _candidate(masses: Floats, name: str | None, penalty: float = 0.0) -> Candidate:
    cause = None if name is None else Cause(kind="recode", says=name)
    return Candidate(masses, penalty, cause, name or "")


def _accepted(observed: Floats, *candidates: Candidate, tolerance: float = 0.005, credible: bool = True) -> Cause:
    fits = fitted(candidates, observed, BEFORE)
    identity = float(deviance(observed, BEFORE[None, :])[0])
    return accepted(fits, identity, scale_of(observed, 0, tolerance), lambda _: credible)


def test_what_explains_all_is_named() -> None:
    found = _accepted(1_000 * AFTER, _candidate(AFTER, "turned"), _candidate(OTHER, "mixed"))
    assert (found.kind, found.says, found.share, found.explained) == ("recode", "turned", 1.0, 1.0)


def test_a_part_is_named_with_its_share() -> None:
    found = _accepted(5_000 * (0.6 * BEFORE + 0.4 * AFTER), _candidate(AFTER, "turned"))
    assert found.says == "turned, in about 40% of the rows"
    assert found.share == pytest.approx(0.4, abs=0.001)


def test_ordinary_drift_that_fits_as_well_silences_every_name() -> None:
    found = _accepted(1_000 * AFTER, _candidate(AFTER, "turned"), _candidate(AFTER, None))
    assert (found.kind, found.says) == ("unexplained", "no known fault explains the change; the nearest: turned")


def test_a_rival_of_another_meaning_must_be_beaten_by_2_ln_n() -> None:
    near = AFTER + np.array([0.01, -0.01, 0.01, -0.01])
    rival = _candidate(near, "another")
    few, many = (_accepted(n * AFTER, _candidate(AFTER, "turned"), rival) for n in (1_000, 50_000))
    assert few.kind == "unexplained"
    assert (many.kind, many.says) == ("recode", "turned")


def test_what_leaves_more_than_the_tolerance_and_the_noise_is_not_named() -> None:
    live = AFTER + np.array([0.02, -0.02, 0.02, -0.02])
    assert _accepted(100_000 * live, _candidate(AFTER, "turned"), tolerance=0.0).kind == "unexplained"
    assert _accepted(100_000 * live, _candidate(AFTER, "turned"), tolerance=0.01).kind == "recode"


def test_what_explains_less_than_nine_tenths_is_not_named() -> None:
    live = np.array([0.05, 0.05, 0.1, 0.8])
    assert _accepted(1_000 * live, _candidate(AFTER, "turned"), tolerance=1.0).kind == "unexplained"


def test_a_departure_within_noise_is_not_named() -> None:
    assert _accepted(1_000 * (BEFORE + np.array([0.01, -0.01, 0.0, 0.0])), _candidate(AFTER, "turned")).kind == (
        "unexplained"
    )


def test_who_uses_the_rules_may_refuse() -> None:
    assert _accepted(1_000 * AFTER, _candidate(AFTER, "turned"), credible=False).kind == "unexplained"


def test_without_candidates_nothing_is_guessed() -> None:
    found = _accepted(1_000 * AFTER, _candidate(AFTER, None))
    assert found.says == "no known fault explains the change"


def test_the_same_change_told_twice_is_named_by_the_commoner() -> None:
    common, rare = _candidate(AFTER, "common", 1.0), _candidate(AFTER, "rare", 4.0)
    found = _accepted(1_000 * AFTER, rare, common)
    assert found.says == "common; rare fits as well"


def test_a_small_baseline_has_noise_of_its_own() -> None:
    assert scale_of(1_000 * BEFORE, 0, 0.0).noise == 3.0
    assert scale_of(1_000 * BEFORE, 500, 0.0).noise == 9.0
    assert scale_of(1_000 * BEFORE, 500, 0.1).residual == pytest.approx(200.0)


@pytest.mark.parametrize(("left", "explained"), [(3.0, 1.0), (0.0, 1.0), (103.0, 0.9), (1_003.0, 0.0)])
def test_the_share_explained_is_of_what_noise_does_not_make(left: float, explained: float) -> None:
    assert explained_by(left, 1_003.0, scale_of(1_000 * BEFORE, 0, 0.0)) == pytest.approx(explained)


def test_ordinary_drift_means_nothing() -> None:
    assert not same_meaning(_candidate(AFTER, None), _candidate(AFTER, None))
    assert not same_meaning(_candidate(AFTER, "turned"), _candidate(OTHER, "mixed"))
