"""The same version number is not always the same model; evidence is about models."""

from __future__ import annotations

import pytest

from sidecar.config import Deployment
from sidecar.control.carryover import Snapshot
from sidecar.control.origins import SNAPSHOT, Origins
from sidecar.control.watch import DeploymentWatch
from sidecar.decide.origin import Origin
from tests.control.live_samples import NOW, deployment, exchange, state


class World:
    """One watch with challengers 4 and 5 and some evidence on both; `known` is what the registry says."""

    def __init__(self) -> None:
        challengers = [{"version": version, "url": f"http://127.0.0.1:80{version}0"} for version in ("4", "5")]
        self.watch = DeploymentWatch(deployment(challengers=challengers), state(), None, NOW)
        self.known = {
            version: Origin(model="fraud", made_at=float(version), digest="sha256:a") for version in ("3", "4", "5")
        }
        self.origins = self.made()
        self.origins.begin([self.watch], NOW)
        self.watch.fold(exchange(1, rows=2))
        assert self.pairs() == {"4": 2, "5": 0}

    def made(self) -> Origins:
        return Origins(self.origin_of)

    def origin_of(self, of: Deployment, version: str) -> Origin:
        assert of.name == "fraud"
        return self.known[version]

    def look(self) -> None:
        self.origins.look(self.watch, NOW + 60)

    def pairs(self) -> dict[str, int]:
        return {version: seen.report(NOW).pairs for version, seen in self.watch.comparisons.items()}

    def since(self) -> dict[str, float]:
        return {version: seen.since for version, seen in self.watch.comparisons.items()}


@pytest.fixture
def world() -> World:
    return World()


def test_evidence_goes_on_while_versions_are_what_they_were(world: World) -> None:
    for digest in ("sha256:a", None, "sha256:a"):
        world.known["4"] = Origin(model="fraud", made_at=4.0, digest=digest)
        world.look()
    assert world.pairs()["4"] == 2


@pytest.mark.parametrize(
    "other",
    [
        Origin(model="fraud", made_at=4.0, digest="sha256:b"),
        Origin(model="fraud", made_at=44.0, digest="sha256:a"),
        Origin(model="fraud", made_at=44.0),
    ],
)
def test_other_content_under_a_challengers_number_begins_its_evidence_anew_and_is_said(
    world: World, other: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    world.known["4"] = other
    world.look()
    assert world.pairs()["4"] == 0
    assert world.since() == {"4": NOW + 60, "5": NOW}, "the other challenger's goes on"
    assert caplog.text.count("evidence begins anew") == 1
    world.watch.fold(exchange(2, rows=2))
    world.look()
    assert world.pairs()["4"] == 2, "once"


def test_another_champion_under_the_same_number_begins_all_evidence_anew(world: World) -> None:
    paired = world.watch.paired
    world.known["3"] = Origin(model="fraud", made_at=3.0, digest="sha256:b")
    world.look()
    assert world.since() == {"4": NOW + 60, "5": NOW + 60}
    assert world.watch.paired is not paired


def test_a_reload_that_names_another_model_begins_all_evidence_anew_though_addresses_stay(world: World) -> None:
    world.known = {version: Origin(model="bc") for version in world.known}
    world.look()
    assert world.pairs() == {"4": 0, "5": 0}


@pytest.mark.parametrize("changed", [False, True])
def test_what_changed_while_the_sidecar_was_down_is_noticed(world: World, *, changed: bool) -> None:
    snapshots = {kept.observer: kept for kept in world.origins.unsaved(NOW)}
    assert list(snapshots) == [SNAPSHOT]
    world.origins.saved(snapshots.values())
    assert world.origins.unsaved(NOW) == []

    if changed:
        world.known["4"] = Origin(model="fraud", made_at=4.0, digest="sha256:b")
    world.origins = world.made()
    world.origins.restore(snapshots)
    world.look()
    assert world.pairs()["4"] == 2, "evidence of the last run is not there yet, so nothing is said about it"
    world.origins.begin([world.watch], NOW + 60)
    assert world.pairs()["4"] == (0 if changed else 2)


def test_memory_that_nobody_can_read_is_as_if_there_was_none(world: World) -> None:
    world.origins = world.made()
    world.origins.restore({SNAPSHOT: Snapshot("fraud", SNAPSHOT, b"\xc1", NOW)})
    world.origins.begin([world.watch], NOW)
    assert world.pairs()["4"] == 2
