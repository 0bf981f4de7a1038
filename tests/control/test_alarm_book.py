from __future__ import annotations

from typing import Any

import msgspec

from sidecar.control.alarm_book import CALMER_AFTER_S, SAME_WITHIN_S, AlarmBook
from sidecar.reports import AlarmChange
from sidecar.standing import Acknowledgement, Alarm

NOW = 1_700_000_000.0
SEEN = Acknowledgement(by="alice", at=NOW, reason="the feed team is on it")


def change(key: str = "feature/amount", **changes: Any) -> AlarmChange:
    fields: dict[str, Any] = {
        "key": key, "kind": "drift.detected", "severity": "warning", "says": "amount moved", "action": "look",
        "since": NOW - 5,
    }  # fmt: skip
    return AlarmChange(**fields | changes)


def test_an_alarm_keeps_its_id_and_beginning_when_its_cause_is_found() -> None:
    book = AlarmBook(())
    (began,) = book.update("fraud", "risk", [change()], NOW)
    (found,) = book.update("fraud", "risk", [change(kind="data.broken", since=NOW + 50)], NOW + 60)
    assert (found.id, found.since, found.kind) == (began.id, NOW - 5, "data.broken")
    assert book.broken_since("fraud") == NOW - 5
    assert book.broken_since("other") is None


def test_a_broken_input_stays_known_as_broken_until_it_ends() -> None:
    book = AlarmBook(())
    broken = change(
        kind="data.broken", severity="critical", says="amount: live = 0.01 × trained", action="fix the feed"
    )
    book.update("fraud", "risk", [broken], NOW)
    assert book.update("fraud", "risk", [change(says="no cause yet", severity="info")], NOW + 1) == ()
    (alarm,) = book.open()
    assert (alarm.kind, alarm.severity, alarm.says) == ("data.broken", "critical", "amount: live = 0.01 × trained")
    assert book.broken_since("fraud") == NOW - 5
    assert [a.ended for a in book.update("fraud", "risk", [], NOW + 2)] == [NOW + 2]
    assert book.broken_since("fraud") is None


def test_what_it_says_is_refreshed_without_being_news() -> None:
    book = AlarmBook(())
    book.update("fraud", "risk", [change()], NOW)
    assert book.update("fraud", "team", [change(says="amount moved far", action="run")], NOW + 1) == ()
    (alarm,) = book.open()
    assert (alarm.says, alarm.action, alarm.owner) == ("amount moved far", "run", "team")


def test_another_severity_is_news() -> None:
    book = AlarmBook(())
    book.update("fraud", "risk", [change()], NOW)
    assert [a.severity for a in book.update("fraud", "risk", [change(severity="critical")], NOW + 1)] == ["critical"]


def test_an_acknowledgement_stays_over_changes_and_takes_nothing_back() -> None:
    book = AlarmBook(())
    (stale,) = book.update("fraud", "risk", [change()], NOW)
    book.update("fraud", "risk", [change(kind="data.broken", says="newer")], NOW + 1)
    seen = book.acknowledged(stale)
    assert (seen.acknowledged, seen.kind, seen.says) == (True, "data.broken", "newer")
    book.update("fraud", "risk", [change(kind="data.broken", says="newest")], NOW + 2)
    assert book.open()[0].acknowledged
    (again,) = book.open()
    assert book.acknowledged(again) == again


def test_an_acknowledged_alarm_that_the_book_forgot_is_answered_for() -> None:
    book = AlarmBook(())
    (alarm,) = AlarmBook(()).update("fraud", "risk", [change()], NOW)
    assert book.acknowledged(alarm).acknowledged
    assert book.all() == ()
    assert book.unsaved() == ()


def test_an_alarm_that_no_longer_holds_ends_and_is_told_for_a_day() -> None:
    book = AlarmBook(())
    book.update("fraud", "risk", [change()], NOW)
    (ended,) = book.update("fraud", "risk", [], NOW + 10)
    assert ended.ended == NOW + 10
    assert book.open() == ()
    later = NOW + 10 + SAME_WITHIN_S
    (again,) = book.update("fraud", "risk", [change()], later)
    assert again.id != ended.id
    assert [alarm.id for alarm in book.all()] == [again.id, ended.id]
    book.update("fraud", "risk", [change()], NOW + 10 + 86_401)
    assert [alarm.id for alarm in book.all()] == [again.id]


def test_deployments_do_not_end_each_others_alarms_and_one_that_is_gone_ends_its_own() -> None:
    book = AlarmBook(())
    book.update("fraud", "", [change()], NOW)
    book.update("other", "", [change()], NOW)
    assert {alarm.deployment for alarm in book.open()} == {"fraud", "other"}
    assert [alarm.deployment for alarm in book.end_all_but(["fraud"], NOW + 1)] == ["other"]
    assert [alarm.deployment for alarm in book.open()] == ["fraud"]


def test_what_changed_is_unsaved_until_it_was_written_as_it_is() -> None:
    book = AlarmBook(())
    book.update("fraud", "risk", [change()], NOW)
    (first,) = book.unsaved()
    book.update("fraud", "risk", [change(kind="data.broken")], NOW + 1)
    book.saved(first)
    (second,) = book.unsaved()
    assert second.kind == "data.broken", "it changed while it was being written"
    book.saved(second)
    assert book.unsaved() == ()
    book.acknowledged(second)
    assert [alarm.acknowledged for alarm in book.unsaved()] == [True]


def test_a_book_of_stored_alarms_goes_on_where_it_was() -> None:
    first = AlarmBook(())
    (alarm,) = first.update("fraud", "risk", [change()], NOW)
    second = AlarmBook(first.all())
    assert second.update("fraud", "risk", [change()], NOW + 100) == ()
    assert second.open()[0].id == alarm.id


def test_an_alarm_about_inputs_is_not_over_while_nobody_looks_at_them() -> None:
    book = AlarmBook(())
    book.update("fraud", "", [change(), change("mirror/4", kind="mirror.silent")], NOW)
    ended = book.update("fraud", "", [], NOW + 1, inputs_known=False)
    assert [alarm.kind for alarm in ended] == ["mirror.silent"]
    assert [alarm.kind for alarm in book.open()] == ["drift.detected"]


def test_names_that_are_no_text_do_not_break_the_book() -> None:
    (alarm,) = AlarmBook(()).update("fraud", "", [change("feature/\ud800")], NOW)
    assert alarm.id.isascii()


def test_one_that_comes_back_soon_is_the_same_alarm_and_no_news() -> None:
    book = AlarmBook(())
    (began,) = book.update("fraud", "risk", [change(since=NOW - 5)], NOW)
    book.acknowledged(msgspec.structs.replace(began, acknowledgement=SEEN))
    told = 0
    for minute in range(1, 30):
        holding = [change(since=NOW + 60 * minute)] if minute % 2 else []
        told += sum(alarm.ended is None for alarm in book.update("fraud", "risk", holding, NOW + 60 * minute))
    assert told == 0, "flapping is told once"
    (alarm,) = book.open()
    assert (alarm.id, alarm.since, alarm.acknowledgement) == (began.id, NOW - 5, SEEN)


def test_one_that_comes_back_graver_is_news() -> None:
    book = AlarmBook(())
    book.update("fraud", "risk", [change()], NOW)
    book.update("fraud", "risk", [], NOW + 60)
    assert [alarm.severity for alarm in book.update("fraud", "risk", [change(severity="critical")], NOW + 90)] == [
        "critical"
    ]


def test_severity_rises_at_once_and_falls_after_a_while_only() -> None:
    book = AlarmBook(())

    def seen(severity: str, at: float) -> tuple[str, int]:
        news = book.update("fraud", "risk", [change(severity=severity)], NOW + at)
        return book.open()[0].severity, len(news)

    assert seen("info", 0) == ("info", 1)
    assert seen("critical", 1) == ("critical", 1)
    for at in range(2, 100):
        assert seen("info" if at % 3 else "critical", at) == ("critical", 0)
    assert seen("info", 100) == ("critical", 0)
    assert seen("info", 100 + CALMER_AFTER_S - 1) == ("critical", 0)
    assert seen("info", 100 + CALMER_AFTER_S) == ("info", 0)


def test_what_explains_an_alarm_is_told_by_id() -> None:
    book = AlarmBook(())
    broken = change("feature/amount", kind="data.broken", severity="critical")
    shifted = change("prediction", kind="prediction.shifted", severity="info", explained_by="feature/amount")
    news = book.update("fraud", "risk", [shifted, broken], NOW)
    by_kind = {alarm.kind: alarm for alarm in news}
    assert by_kind["prediction.shifted"].explained_by == by_kind["data.broken"].id
    assert [alarm.kind for alarm in book.all()] == ["data.broken", "prediction.shifted"]
    book.update("fraud", "risk", [change("prediction", kind="prediction.shifted", severity="warning")], NOW + 5)
    assert [alarm.explained_by for alarm in book.open()] == [None]


def test_an_explanation_that_came_later_is_written() -> None:
    book = AlarmBook(())
    for alarm in book.update("fraud", "risk", [change("prediction", kind="prediction.shifted")], NOW):
        book.saved(alarm)
    broken = change("feature/amount", kind="data.broken")
    shifted = change("prediction", kind="prediction.shifted", explained_by="feature/amount")
    book.update("fraud", "risk", [broken, shifted], NOW + 5)
    assert {alarm.kind for alarm in book.unsaved()} == {"data.broken", "prediction.shifted"}


def test_who_acknowledged_when_and_why_stays_over_changes_and_restarts() -> None:
    book = AlarmBook(())
    (began,) = book.update("fraud", "risk", [change()], NOW)
    book.acknowledged(msgspec.structs.replace(began, acknowledgement=SEEN))
    book.update("fraud", "risk", [change(kind="data.broken", severity="critical")], NOW + 1)
    again = AlarmBook(msgspec.json.decode(msgspec.json.encode(book.all()), type=tuple[Alarm, ...]))
    (alarm,) = again.open()
    assert (alarm.acknowledged, alarm.acknowledgement) == (True, SEEN)


def test_an_alarm_that_was_stored_by_an_earlier_version_is_read() -> None:
    stored = b"""{"id":"a-1","deployment":"fraud","kind":"data.broken","severity":"warning","says":"s","action":"a",
        "since":1.0,"owner":"","acknowledged":true,"ended":null}"""
    alarm = msgspec.json.decode(stored, type=Alarm)
    assert (alarm.acknowledged, alarm.acknowledgement, alarm.explained_by) == (True, None, None)


def test_an_explanation_holds_while_a_new_watch_cannot_name_the_cause_yet() -> None:
    book = AlarmBook(())
    broken = change("feature/amount", kind="data.broken", severity="critical")
    shifted = change("prediction", kind="prediction.shifted", severity="info", explained_by="feature/amount")
    book.update("fraud", "risk", [broken, shifted], NOW)
    unnamed = change("feature/amount", kind="drift.detected")
    alone = change("prediction", kind="prediction.shifted", severity="warning")
    assert book.update("fraud", "risk", [unnamed, alone], NOW + 1) == ()
    assert {alarm.kind: (alarm.severity, alarm.explained_by is None) for alarm in book.open()} == {
        "data.broken": ("critical", True),
        "prediction.shifted": ("info", False),
    }
    book.update("fraud", "risk", [alone], NOW + 2)
    book.update("fraud", "risk", [alone], NOW + 3)
    assert [(alarm.severity, alarm.explained_by) for alarm in book.open()] == [("warning", None)]
