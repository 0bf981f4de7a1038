"""The smaller rows: large bodies, idle clients, control's faults, stale connections, aborts."""

from __future__ import annotations

import pytest

from bench.open_loop import Latencies
from bench.peers import NGINX_KEPT, NGINX_MIRROR
from bench.rows import aborts, control_faults, idle_clients, large_bodies, stale_champion
from bench.rows.aborts import State
from bench.rows.idle_clients import CLIENTS, Idle, clients_allowed
from bench.rows.stale_champion import Poster


def test_large_bodies_are_measured_against_nginxs_throughput() -> None:
    def run(rate: float) -> large_bodies.Run:
        return large_bodies.Run(rate, 500.0, 0.4, 1.0, 0, 0.0)

    found = large_bodies.judged(
        {
            NGINX_MIRROR: [run(100), run(100)],
            NGINX_KEPT: [run(200), run(200)],
            large_bodies.SIDECAR: [run(90), run(80)],
        }
    )
    assert [(one.against, one.met) for one in found.findings] == [
        (NGINX_MIRROR, True),
        (NGINX_KEPT, False),
    ]
    assert found.tables[0].rows[-1] == (large_bodies.SIDECAR, "85 (80–90)", "500", "0.40", "100.0%", "0")


@pytest.mark.parametrize(("files", "clients"), [(1_000_000, CLIENTS), (1024, 724), (100, 1)])
def test_as_many_idle_clients_as_open_files_allow(files: int, clients: int) -> None:
    assert clients_allowed(files) == clients


@pytest.mark.parametrize(("accepted", "served", "met"), [(4.0, 12.0, True), (17.0, 12.0, False), (4.0, 16.5, False)])
def test_an_idle_client_may_cost_so_much_before_and_after_its_request(
    accepted: float, served: float, *, met: bool
) -> None:
    found = idle_clients.judged({idle_clients.SIDECAR: Idle(CLIENTS, accepted, served, CLIENTS)})
    assert found.findings[0].met is met
    assert "ulimit" not in found.note


def test_fewer_idle_clients_than_asked_for_are_told() -> None:
    found = idle_clients.judged({idle_clients.SIDECAR: Idle(724, 1.0, 1.0, 724)})
    assert "Only 724 connections" in found.note
    assert "724 idle clients" in found.findings[0].measure


def ms(p99: float, failed: int = 0) -> Latencies:
    return Latencies(due=3000, failed=failed, p50_ms=0.3, p99_ms=p99, most_ms=p99, late_p99_ms=0.1)


def test_a_fault_of_controls_may_not_fail_a_request_nor_slow_it() -> None:
    found = control_faults.judged(
        {
            control_faults.BEFORE: [ms(2.0), ms(2.0)],
            control_faults.KILLED: [ms(2.9), ms(2.9)],
            control_faults.STOPPED: [ms(3.5), ms(3.6)],
            control_faults.FULL: [ms(2.0, failed=1), ms(2.0)],
        },
        "",
    )
    assert {one.measure: one.met for one in found.findings} == {
        "control killed: failed requests": True,
        "control killed: p99 above before": True,
        "control stopped: failed requests": True,
        "control stopped: p99 above before": False,
        "disk full: failed requests": False,
        "disk full: p99 above before": True,
    }


def test_where_p99_is_high_five_percent_are_allowed() -> None:
    found = control_faults.judged(
        {
            control_faults.BEFORE: [ms(100.0)],
            control_faults.KILLED: [ms(104.0)],
            control_faults.STOPPED: [ms(106.0)],
        },
        "only root may mount a small disk to fill",
    )
    by_name = {one.measure: one for one in found.findings}
    assert by_name["control killed: p99 above before"].met is True
    assert by_name["control stopped: p99 above before"].met is False
    full = by_name["disk full: failed requests"]
    assert (full.met, full.skipped) == (None, "only root may mount a small disk to fill")


def test_one_post_that_failed_is_one_too_many() -> None:
    good, bad = Poster(sent=60), Poster(sent=59, failed=1, last="HTTP/1.1 502 Bad Gateway")
    assert stale_champion.judged([good, good], 60.0, 31, 2).findings[0].met is True
    found = stale_champion.judged([good, bad], 60.0, 31, 2)
    assert found.findings[0].met is False
    assert "119 POSTs, 1 failed (HTTP/1.1 502 Bad Gateway)" in found.note
    assert "2 were repeated" in found.note


START = State(open_files=15, resident_mib=36.0, connections=0, inflight=0, held_bytes=0)


@pytest.mark.parametrize(
    ("after", "missed"),
    [
        (START, set()),
        (State(16, 36.0, 0, 0, 0), {"descriptors left"}),
        (State(15, 41.0, 0, 0, 0), {"memory left"}),
        (State(15, 39.0, 0, 0, 0), set()),
        (State(15, 36.0, 1, 2, 0), {"requests in flight left", "client connections left"}),
    ],
)
def test_after_the_aborts_everything_is_back_at_the_start(after: State, missed: set[str]) -> None:
    found = aborts.judged(START, after, 900)
    assert {one.measure.partition(" after")[0] for one in found.findings if not one.met} == missed
