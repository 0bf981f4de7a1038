from __future__ import annotations

import msgspec
import pytest

from sidecar.observe.mirror_silence import LEAST_DUE, SILENT_S, MirrorSilence
from sidecar.records import DROP_REASONS
from sidecar.reports import AlarmChange, Copies

NOW = 1_700_000_000.0


def dropped(n: int, reason: str = "connect_error") -> Copies:
    return Copies(dropped={**dict.fromkeys(DROP_REASONS, 0), reason: n})


def after(*deltas: tuple[float, Copies], at: float) -> AlarmChange | None:
    silence = MirrorSilence("4")
    for seconds, delta in deltas:
        silence.fold(delta, NOW + seconds)
    return silence.alarm(NOW + at)


def test_a_minute_of_due_copies_and_none_sent_is_an_alarm_that_says_what_to_do() -> None:
    alarm = after((0, dropped(15)), (30, dropped(10)), at=SILENT_S)
    assert alarm is not None
    assert (alarm.key, alarm.kind, alarm.severity, alarm.since) == ("mirror/4", "mirror.silent", "warning", NOW)
    assert alarm.says == (
        "no copy reached version 4 since 2023-11-14 22:13:20 UTC: 25 were due, most of them dropped for connect_error"
    )
    assert "Start the challenger's server" in alarm.action


@pytest.mark.parametrize(
    ("deltas", "at"),
    [
        ((), 1000.0),
        (((0, Copies()), (30, Copies())), 1000.0),
        (((0, dropped(LEAST_DUE - 1)),), 1000.0),
        (((0, dropped(500)),), SILENT_S - 1),
        (((0, dropped(500)), (50, Copies(mirrored=1)), (51, dropped(500))), 100.0),
        (((0, dropped(500, "disabled")),), 1000.0),
        (((0, dropped(500, "shutting_down")),), 1000.0),
        (((0, Copies(mirrored=1, dropped={"timeout": 500})),), 1000.0),
    ],
)
def test_there_is_no_alarm(deltas: tuple[tuple[float, Copies], ...], at: float) -> None:
    assert after(*deltas, at=at) is None


def test_one_copy_sent_ends_it() -> None:
    silence = MirrorSilence("4")
    silence.fold(dropped(50), NOW)
    assert silence.alarm(NOW + 60) is not None
    silence.fold(Copies(mirrored=1, dropped={"connect_error": 3}), NOW + 61)
    assert silence.alarm(NOW + 200) is None


@pytest.mark.parametrize("reason", [*sorted(set(DROP_REASONS) - {"disabled", "shutting_down"}), "something new"])
def test_every_reason_has_an_action_in_words(reason: str) -> None:
    alarm = after((0, dropped(100, reason)), at=100)
    assert alarm is not None
    assert len(alarm.action) > 30
    assert reason in alarm.says


def test_two_challengers_do_not_share_their_counts() -> None:
    MirrorSilence("4").fold(dropped(100), NOW)
    assert MirrorSilence("5").reasons == {}


def test_it_survives_a_restart() -> None:
    silence = MirrorSilence("4")
    silence.fold(dropped(50), NOW)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(silence), type=MirrorSilence)
    assert again.alarm(NOW + 60) == silence.alarm(NOW + 60)
