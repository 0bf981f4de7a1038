from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from sidecar.admin.timeline import Timeline, timeline
from sidecar.standing import Alarm, AuditEntry
from tests.admin.fake_reports import NOW, alarm
from tests.admin.fake_service import FakeService


def drawn(service: FakeService, alarms: tuple[Alarm, ...], **changed: Any) -> Timeline:
    entries = asyncio.run(service.audit(0, 100))
    first: AuditEntry = msgspec.structs.replace(entries[0], **changed)
    found = timeline(service.deployment("fraud"), (first, *entries[1:]), alarms, NOW)
    assert found is not None
    return found


def test_versions_follow_each_other_without_a_gap_and_alarms_lie_below() -> None:
    found = drawn(FakeService(broke=True), (alarm(), alarm(id="b", severity="info", ended=NOW - 30)))
    versions = [span for span in found.spans if span.version]
    assert [span.label for span in versions] == ["3", "4"]
    assert versions[0].x + versions[0].width == versions[1].x
    assert versions[1].x + versions[1].width == 100
    open_alarm, ended = (span for span in found.spans if not span.version)
    assert {open_alarm.kind, ended.kind} == {"critical", "info"}
    assert all(0 <= span.x <= 100 and span.x + span.width <= 100.001 for span in found.spans)
    assert max(span.y for span in found.spans) < found.height


def test_it_is_told_in_words_newest_first() -> None:
    told = [says for _, says in drawn(FakeService(broke=True), (alarm(),)).told]
    assert told[0].startswith("Alarm: amount: live = 0.01")
    assert told[1:] == ["Promoted to 4 by alice: gates pass", "Started with 3 by sidecar"]


def test_what_began_long_ago_is_cut_at_the_edge() -> None:
    found = drawn(FakeService(broke=True), (), at=NOW - 400 * 86_400)
    assert found.spans[0].x == 0
    assert len(found.marks) == 1


def test_many_alarms_are_bounded() -> None:
    many = tuple(alarm(id=str(number), since=NOW - number) for number in range(50))
    found = drawn(FakeService(broke=True), many)
    assert found.hidden == 44
    assert len([span for span in found.spans if not span.version]) == 6


def test_without_a_transition_there_is_no_picture() -> None:
    assert timeline(FakeService().deployment("fraud"), (), (alarm(),), NOW) is None
