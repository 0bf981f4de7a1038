from __future__ import annotations

from itertools import product
from math import lgamma

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.stats.catalogue import Figures
from sidecar.stats.edetector import EDetector
from sidecar.stats.edetectors import EDetectors
from sidecar.stats.fault_bets import MOST, SHARES, FaultBets, fault_moves
from sidecar.stats.tolerant_tests import TolerantTests

Floats = NDArray[np.float64]
ATOMS = np.exp(np.random.default_rng(1).normal(4.0, 0.7, 512))
BORDERS = np.quantile(ATOMS, np.arange(1, 12) / 12)


def _shares(values: Floats) -> Floats:
    return np.bincount(np.searchsorted(BORDERS, values, side="right"), minlength=BORDERS.size + 1) / values.size


def test_bets_are_a_few_faults_that_move_cells_least_and_no_two_alike() -> None:
    moves = fault_moves(ATOMS, BORDERS) / 512
    assert 4 <= len(moves) <= MOST
    assert np.allclose(moves.sum(axis=1), 1.0)
    apart = 0.5 * np.abs(moves[:, None, :] - moves[None, :, :]).sum(axis=2)
    assert apart[~np.eye(len(moves), dtype=bool)].min() >= 0.09
    miles = 0.5 * np.abs(moves - _shares(ATOMS / 1.609344)).sum(axis=1)
    assert miles.min() < 0.1


def test_what_lies_beyond_the_ruler_anyway_is_no_bet() -> None:
    narrow = np.linspace(1_000.0, 1_001.0, 512)
    moves = fault_moves(narrow, np.quantile(narrow, np.arange(1, 12) / 12))
    beyond = (moves[:, 0] + moves[:, -1]) / 512
    assert (beyond < 0.9).all()


def test_scalers_know_the_figures_of_training() -> None:
    values = np.random.default_rng(2).normal(1.0, 2.0, 512)
    borders = np.quantile(values, np.arange(1, 12) / 12)
    figures = Figures(1.0, 2.0, -5.0, 7.0, 5_000)
    standard = np.bincount(np.searchsorted(borders, (values - 1.0) / 2.0, side="right"), minlength=12) / 512
    apart = 0.5 * np.abs(fault_moves(values, borders, figures) / 512 - standard).sum(axis=1)
    assert apart.min() < 0.1


def test_nothing_to_bet_on_is_no_fault() -> None:
    assert fault_moves([], [1.0, 2.0]).shape == (0, 3)
    assert fault_moves(np.zeros(512), [1.0]).shape[1] == 2


def test_the_mean_of_the_evidence_without_drift_is_one_at_most() -> None:
    baseline, n = [40, 30, 20, 10], 6
    tests = TolerantTests([baseline], [4], apart=True, moves=[np.array([[10, 20, 30, 40], [0, 0, 0, 100]])])
    p0, mean, total = np.array(baseline) / 100, 0.0, 0.0
    for counts in product(range(n + 1), repeat=4):
        if sum(counts) != n:
            continue
        ways = np.exp(lgamma(n + 1) - sum(lgamma(count + 1) for count in counts))
        chance = float(ways * np.prod(p0 ** np.array(counts)))
        total += chance
        mean += chance * float(np.exp(tests.log_e([[counts]], 0.0)[0, 0]))
    assert total == pytest.approx(1.0)
    # The bets are on the smoothed shares, not on p0: that is worth the little above one which the ball pays for.
    assert mean <= 1.05


def test_each_bet_is_a_distribution() -> None:
    prior = np.array([0.4, 0.3, 0.2, 0.07, 0.03])
    bets = FaultBets([np.array([[1, 2, 3, 4], [9, 0, 0, 1]])], [prior])
    one_row = np.eye(5)
    ratios = np.exp(bets.log_ratio(one_row, np.zeros(5, dtype=np.int64)))
    assert float((prior * ratios).sum()) == pytest.approx(1.0)
    assert ratios[4] == pytest.approx(1.0)  # what is missing keeps its share
    assert SHARES.max() < 1.0


def test_a_third_of_the_rows_in_another_unit_is_found_with_fewer_rows() -> None:
    rng = np.random.default_rng(3)
    baseline = np.bincount(np.searchsorted(BORDERS, ATOMS, side="right"), minlength=12)
    baseline = np.append(10 * baseline, [20, 0])
    live = rng.choice(ATOMS, 1_500)
    live = np.where(rng.random(1_500) < 0.3, live / 1.609344, live)
    counts = np.append(np.bincount(np.searchsorted(BORDERS, live, side="right"), minlength=12), [4, 0])
    with_bets = TolerantTests([baseline], [12], apart=True, moves=[fault_moves(ATOMS, BORDERS)])
    without = TolerantTests([baseline], [12], apart=True)
    gained = with_bets.log_e([[counts]], 0.01)[0, 0] - without.log_e([[counts]], 0.01)[0, 0]
    assert gained > 4.0


def test_columns_beside_it_change_no_bit_of_a_column_with_bets() -> None:
    rng = np.random.default_rng(4)
    trained = [rng.integers(50, 500, size) for size in (14, 9, 20)]
    moves = [rng.integers(0, 60, (5, 12)), None, rng.integers(0, 60, (2, 18))]

    def made() -> list[EDetector]:
        return [
            EDetector(counts, 0.005, 100.0, now=0.0, ordered=len(counts) - 2, moves=bets)
            for counts, bets in zip(trained, moves, strict=True)
        ]

    together, alone = made(), made()
    detectors = EDetectors(together)
    for bucket in range(1, 9):
        counts = [rng.integers(0, 40, len(one)) for one in trained]
        detectors.close(counts, now=60.0 * bucket)
        for detector, rows in zip(alone, counts, strict=True):
            detector.close(rows, now=60.0 * bucket)
    assert [one.log_s for one in together] == [one.log_s for one in alone]


@pytest.mark.parametrize("moves", [np.zeros((1, 3)), np.ones((1, 9))])
def test_moves_that_say_nothing_are_refused(moves: Floats) -> None:
    with pytest.raises(ValueError, match="move"):
        FaultBets([moves], [np.array([0.2, 0.3, 0.5])])
