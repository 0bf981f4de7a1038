from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from sidecar.admin.tracks import LIMIT, Tracks
from sidecar.errors import Unavailable
from sidecar.reports import ComparisonReport, Interval
from tests.admin.fake_reports import NOW, comparison
from tests.admin.fake_service import FakeService


class Growing(FakeService):
    """Each look finds 100 more pairs, of which `shares` agreed in turn."""

    def __init__(self, *shares: float) -> None:
        super().__init__()
        self.shares, self.pairs, self.agreed = list(shares), 0, 0.0

    def comparison(self, name: str, challenger: str | None) -> ComparisonReport:
        self.pairs += 100
        self.agreed += 100 * self.shares.pop(0)
        share = self.agreed / self.pairs
        return msgspec.structs.replace(comparison(), pairs=self.pairs, agreement=Interval(share, share, share))


def looked(service: FakeService, times: int) -> Tracks:
    now = NOW
    tracks = Tracks(service, lambda: now)
    for _ in range(times):
        tracks.sample()
        now += 10
    return tracks


def test_agreement_is_that_of_the_rows_between_two_looks() -> None:
    found = looked(Growing(0.9, 0.5, 1.0), 3).agreement("fraud", "3", "4")
    assert [(point.at - NOW, round(point.value, 9), point.n) for point in found] == [(10, 0.5, 100), (20, 1.0, 100)]


def test_evidence_that_begins_anew_leaves_a_gap_and_no_nonsense() -> None:
    service = Growing(0.9, 0.9, 0.8, 0.8)
    now = NOW
    tracks = Tracks(service, lambda: now)
    for look in range(4):
        if look == 2:
            service.pairs, service.agreed = 0, 0.0
        tracks.sample()
        now += 10
    assert [round(point.value, 9) for point in tracks.agreement("fraud", "3", "4")] == [0.9, 0.8]


def test_drift_is_remembered_by_feature_and_the_prediction_too() -> None:
    tracks = looked(FakeService(broke=True), 3)
    assert [point.value for point in tracks.drift("fraud", "amount")] == [6.82] * 3
    assert len(tracks.drift("fraud", "score")) == 3
    assert tracks.drift("fraud", "nix") == ()
    assert tracks.drift("nix", "amount") == ()


def test_a_clock_that_is_set_back_bends_no_line() -> None:
    now = NOW
    tracks = Tracks(FakeService(), lambda: now)
    for step in (0, 10, -500, -490, 20):
        now = NOW + step
        tracks.sample()
    assert [point.at - NOW for point in tracks.drift("fraud", "amount")] == [0, 10, 20]


@pytest.mark.parametrize("looks", [LIMIT - 1, LIMIT, 5 * LIMIT])
def test_memory_is_bounded_and_reaches_back_to_the_start(looks: int) -> None:
    found = looked(FakeService(), looks).drift("fraud", "amount")
    assert LIMIT // 2 - 1 <= len(found) < LIMIT
    assert found[0].at == NOW
    steps = {round(later.at - earlier.at) for earlier, later in pairwise(found)}
    assert len(steps) == 1


def test_a_service_that_refuses_leaves_the_rest() -> None:
    class Refusing(FakeService):
        def drift(self, name: str, against: Any) -> Any:
            raise Unavailable("Not now.")

    tracks = looked(Refusing(), 2)
    assert tracks.drift("fraud", "amount") == ()
    away = FakeService()
    away.raises = Unavailable("Not now.")
    assert looked(away, 2).agreement("fraud", "3", "4") == ()
