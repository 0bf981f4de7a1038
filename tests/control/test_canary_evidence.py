"""A canary's step is judged by its own requests and counts: none of another step, none of a broken stretch."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.canary import CanaryStep
from sidecar.control.watch import DeploymentWatch
from sidecar.reports import Copies
from sidecar.standing import Canary, Target
from tests.control.live_samples import NOW, URLS, deployment, exchange, leg, shadow_counts, state

STEPS = (CanaryStep(0.1, 0.0, 10), CanaryStep(0.5, 0.0, 10))
FIRST = Canary(version="4", target=Target(URLS["4"]), steps=STEPS, since=NOW, step_since=NOW, salt="s")
SECOND = msgspec.structs.replace(FIRST, step=1, step_since=NOW + 60)


def watching(canary: Canary | None = FIRST) -> DeploymentWatch:
    """One that has seen the canary begin."""
    watch = DeploymentWatch(deployment(), state(), None, NOW)
    watch.begin(deployment(), state(canary=canary), None, NOW)
    return watch


def asked(watch: DeploymentWatch, numbers: range, canary: Canary = FIRST, **changes: Any) -> None:
    for number in numbers:
        watch.fold(exchange(number, canary=canary.version, step_since=canary.step_since, **changes))


def counted(watch: DeploymentWatch, mirrored: int, canary: Canary = FIRST, worker: str = "w0", **changes: Any) -> None:
    counts = shadow_counts(mirrored, champion="4", version="3", step_since=canary.step_since, **changes)
    watch.evidence.canary.fold_counts(worker, counts, NOW + 70, void=watch.void)


def judged(watch: DeploymentWatch) -> tuple[int, Copies]:
    observer = watch.evidence.canary.observer
    assert observer is not None
    report = observer.report(NOW + 100)
    return report.judged_requests, report.copies


def test_what_was_asked_and_counted_at_the_step_before_is_no_evidence_of_this_one() -> None:
    watch = watching()
    asked(watch, range(100))
    watch.begin(deployment(), state(canary=SECOND), None, NOW + 60)
    # They were under way as the step changed, and the worker counts them once a second.
    asked(watch, range(100, 130))
    counted(watch, 130)
    assert judged(watch) == (0, judged(watching())[1])
    asked(watch, range(200, 250), SECOND)
    counted(watch, 50, SECOND)
    n, copies = judged(watch)
    assert (n, copies.mirrored, copies.lost) == (50, 50, 0)


def test_another_canary_of_the_same_version_begins_with_nothing() -> None:
    watch = watching()
    asked(watch, range(100))
    watch.begin(deployment(), state(), None, NOW + 10)
    again = msgspec.structs.replace(FIRST, since=NOW + 20, step_since=NOW + 20)
    watch.begin(deployment(), state(canary=again), None, NOW + 20)
    asked(watch, range(100, 150))
    assert judged(watch)[0] == 0


def test_a_broken_input_leaves_requests_out_and_calls_none_of_them_lost() -> None:
    watch = watching()
    asked(watch, range(100))
    watch.leave_out(NOW + 30, NOW + 40)
    # Nothing counts from here on, and what the worker had not told yet has arrived all the same.
    counted(watch, 100)
    asked(watch, range(100, 300))
    counted(watch, 300)
    assert judged(watch)[0] == 0
    watch.leave_out(None, NOW + 50)
    asked(watch, range(300, 400))
    counted(watch, 400)
    n, copies = judged(watch)
    assert (n, copies.mirrored, copies.lost) == (100, 100, 0)


def test_what_never_arrives_is_lost_and_what_is_on_its_way_is_not() -> None:
    watch = watching(msgspec.structs.replace(FIRST, step_since=NOW + 60))
    begun = msgspec.structs.replace(FIRST, step=1, step_since=NOW + 65)
    watch.begin(deployment(), state(canary=begun), None, NOW + 65)
    asked(watch, range(50), begun)
    counted(watch, 80, begun)
    assert judged(watch)[1].lost == 0
    watch = watching()
    asked(watch, range(50))
    counted(watch, 80)
    n, copies = judged(watch)
    assert (n, copies.mirrored, copies.lost) == (50, 80, 30)


def test_counts_of_before_a_restart_are_none_of_what_begins_anew_with_it() -> None:
    watch = DeploymentWatch(deployment(), state(canary=FIRST), None, NOW)
    counted(watch, 500)
    asked(watch, range(100))
    counted(watch, 600)
    n, copies = judged(watch)
    assert (n, copies.mirrored, copies.lost) == (100, 100, 0)
    # Of the next step it has seen the beginning.
    watch.begin(deployment(), state(canary=SECOND), None, NOW + 60)
    asked(watch, range(100, 200), SECOND)
    counted(watch, 100, SECOND)
    assert judged(watch)[1].mirrored == 100


def test_other_settings_begin_it_anew_and_lose_no_copy() -> None:
    watch = watching()
    asked(watch, range(100))
    watch.begin(deployment(score_tolerance=0.2), state(canary=FIRST), None, NOW + 10)
    counted(watch, 100)
    asked(watch, range(100, 220))
    counted(watch, 220)
    n, copies = judged(watch)
    assert (n, copies.lost) == (120, 0)
    compared = watch.comparisons["4"].report(NOW + 20)
    assert (compared.judged_requests, compared.copies.lost) == (120, 0)


@pytest.mark.parametrize("gone", [["4"], ["4", "5"]])
def test_a_number_that_stands_for_another_model_is_another_canary(gone: list[str]) -> None:
    watch = watching()
    asked(watch, range(100))
    watch.evidence.forget([version for version in gone if version in watch.comparisons], NOW + 10)
    assert watch.evidence.canary.other_model
    assert judged(watch)[0] == 0
    watch.begin(deployment(), state(canary=SECOND), None, NOW + 60)
    assert watch.evidence.canary.other_model  # a step makes it no other
    watch.begin(deployment(), state(), None, NOW + 70)
    watch.begin(deployment(), state(canary=msgspec.structs.replace(FIRST, since=NOW + 80)), None, NOW + 80)
    assert not watch.evidence.canary.other_model


def test_requests_that_it_failed_need_no_copy_of_the_champion() -> None:
    watch = watching()
    asked(watch, range(40), shadows=(leg("4", None, error="connect"),))
    n, copies = judged(watch)
    assert (n, copies.mirrored, copies.lost) == (40, 40, 0)
    watch.leave_out(NOW, NOW + 40)
    asked(watch, range(40, 60), shadows=(leg("4", None, error="connect"),))
    assert judged(watch)[1].lost == 0
