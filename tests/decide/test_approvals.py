"""Who agreed, what ends an approval, and what a dry run's digest covers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.agreed import Approval
from sidecar.config_gates import Gates
from sidecar.decide.approvals import Agreed, ApprovalBook, lacking
from sidecar.decide.audit_chain import EMPTY, Deed, seal
from sidecar.decide.gates import judge
from sidecar.decide.grounds import Grounds, grounds_of, other_grounds, subject_of
from sidecar.decide.promotion import Plan, decide_promotion
from sidecar.errors import Refused
from sidecar.standing import AuditEntry, Target
from sidecar.wished import Wish
from tests.decide.decide_samples import KNOWN, NOW, evidence, state

TWO = Gates.model_validate({"approvals": {"min": 2}})
DAY_S = 86_400.0


def grounds(settings: Gates = TWO, generation: int = 5, **changes: Any) -> Grounds:
    known = evidence(**changes)
    return grounds_of(subject_of(known, settings, generation), judge(settings, known, NOW))


def entry(action: str, actor: str, at: float = NOW, on: Grounds | None = None, reason: str = "read it") -> AuditEntry:
    told = on or grounds()
    return seal(
        EMPTY,
        Deed(
            at=at,
            actor=actor,
            action=action,
            deployment=told.subject.deployment,
            from_version=told.subject.champion,
            to_version=told.subject.challenger,
            reason=reason,
            evidence="sha256:e1",
            details=msgspec.json.encode({"grounds": told}).decode(),
        ),
    )


def counting(*entries: AuditEntry, now: float = NOW, on: Grounds | None = None) -> list[str]:
    book = ApprovalBook(entries)
    return [given.by for given in book.counting((on or grounds()).subject, DAY_S, now)]


def test_each_person_counts_once_and_more_traffic_voids_nothing() -> None:
    given = (entry("approve", "bob"), entry("approve", "ann"), entry("approve", "bob", NOW + 5))
    assert counting(*given) == ["ann", "bob"]
    assert counting(*given, on=grounds(pairs=1_000_000)) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"champion": "2"}, "the champion was changed"),
        ({"generation": 6}, "the champion was changed"),
        ({"baseline_digest": "sha256:other"}, "the baseline is another one"),
        ({"settings": Gates.model_validate({"approvals": {"min": 2}, "pairs": {"min": 1}})}, "settings were changed"),
        ({"since": NOW}, "the evidence began anew"),
    ],
)
def test_an_approval_ends_with_what_it_was_given_on(changed: dict[str, Any], why: str) -> None:
    now = grounds(**changed)
    assert counting(entry("approve", "bob"), on=now) == []
    status = ApprovalBook([entry("approve", "bob")]).status(now.subject, DAY_S, NOW)
    assert why in (status[0].void or "")


def test_an_approval_ends_by_age_by_its_person_and_by_a_gate_that_fails() -> None:
    given = entry("approve", "bob"), entry("approve", "ann")
    assert counting(*given, now=NOW + DAY_S - 1) == ["ann", "bob"]
    assert counting(*given, now=NOW + DAY_S) == []
    assert counting(*given, now=NOW - 2 * DAY_S) == []
    assert counting(*given, entry("withdraw_approval", "bob")) == ["ann"]
    assert counting(*given, entry("withdraw_approval", "eve")) == ["ann", "bob"]
    assert counting(*given, entry("void_approvals", "sidecar")) == []
    assert counting(*given, entry("void_approvals", "sidecar"), entry("approve", "bob", NOW + 9)) == ["bob"]


def test_entries_that_are_none_or_cannot_be_read_are_no_approval() -> None:
    broken = msgspec.structs.replace(entry("approve", "bob"), details='{"grounds": 5}')
    assert counting(broken, entry("promote", "ann"), entry("acknowledge", "eve")) == []


def test_the_gate_waits_for_as_many_people_as_the_settings_ask_for() -> None:
    one = (Approval(by="bob", at=NOW, reason="read it"),)
    both = (*one, Approval(by="ann", at=NOW, reason="read it too"))
    found = {n: judge(TWO, evidence(approvals=given), NOW).gates[-1] for n, given in enumerate(((), one, both))}
    assert [found[n].verdict for n in range(3)] == ["insufficient", "insufficient", "pass"]
    assert "1 of 2 people have agreed (bob): `sidecar approve fraud 4`" in found[1].detail
    assert judge(Gates(), evidence(approvals=one), NOW).gates[-1].verdict == "pass"
    assert judge(TWO, evidence(approvals=(*one, *one)), NOW).gates[-1].verdict == "insufficient"


@pytest.mark.parametrize(
    ("people", "counts", "promoter", "enough"),
    [
        (("ann", "bob"), False, "eve", True),
        (("ann", "bob"), False, "bob", False),
        (("ann", "bob"), True, "bob", True),
        (("ann",), True, "bob", False),
        (("ann", "bob"), False, "sidecar", True),
    ],
)
def test_who_promotes_is_none_of_those_who_agree(
    people: tuple[str, ...], counts: bool, promoter: str, enough: bool
) -> None:
    given = tuple(Approval(by=name, at=NOW, reason="read it") for name in people)
    agreed = Agreed(grounds=grounds(), approvals=given, needed=2, promoter_counts=counts)
    assert (lacking(agreed, promoter) is None) == enough


# --- evidence and plans that somebody has read -----------------------------------------------------------------------


def promote(agreed: Agreed | None = None, known: Any = None, settings: Gates | None = None, **wishes: Any) -> Plan:
    seen = known or evidence()
    table = judge(settings or Gates(), seen, NOW)
    command = Wish(**{"challenger": "4", "actor": "eve", "reason": "better by far"} | wishes)
    standing = agreed or Agreed(grounds=grounds_of(subject_of(seen, settings or Gates(), 5), table))
    return decide_promotion(state(), command, table, KNOWN, now=NOW, watch_s=1_800.0, agreed=standing)


def test_evidence_that_was_read_stands_while_only_traffic_came() -> None:
    read, later = evidence(), evidence(pairs=20_000)
    before = grounds(Gates())
    now = Agreed(grounds=grounds(Gates(), pairs=20_000), reviewed=before)
    digest = judge(Gates(), read, NOW).evidence
    assert promote(now, later, evidence=digest).state.champion == "4"
    with pytest.raises(Refused, match="nobody knows that evidence"):
        promote(msgspec.structs.replace(now, reviewed=None), later, evidence=digest)
    turned = msgspec.structs.replace(before, verdicts=(("pairs", "insufficient"), *before.verdicts[1:]))
    with pytest.raises(Refused, match="gate pairs says pass"):
        promote(msgspec.structs.replace(now, reviewed=turned), later, evidence=digest)


def test_a_plan_may_be_carried_out_as_long_as_nothing_that_mattered_changed() -> None:
    shown = promote().shown
    assert shown is not None
    assert (shown.rollback_to, shown.watch_s, shown.target) == ("3", 1_800.0, KNOWN["4"].url)
    assert promote(known=evidence(pairs=99_000), plan=shown.digest).shown == shown
    loose = Gates(agreement=False)
    for changed in (
        {"force": True},
        {"settings": loose},
        {"known": evidence(baseline_digest="sha256:other")},
        {"agreed": Agreed(grounds=grounds(Gates()), approvals=(Approval(by="bob", at=NOW, reason="fine"),))},
    ):
        with pytest.raises(Refused, match="repeat the dry run"):
            promote(plan=shown.digest, **changed)


def test_a_plan_covers_where_the_version_answers() -> None:
    shown = promote().shown
    assert shown is not None
    table = judge(Gates(), evidence(), NOW)
    elsewhere = KNOWN | {"4": Target("http://127.0.0.1:9")}
    command = Wish("4", "eve", "better by far", plan=shown.digest)
    with pytest.raises(Refused, match="address"):
        decide_promotion(
            state(), command, table, elsewhere, now=NOW, watch_s=1_800.0, agreed=Agreed(grounds=grounds(Gates()))
        )


def test_grounds_say_what_differs() -> None:
    assert other_grounds(grounds(), grounds()) is None
    assert other_grounds(grounds(), grounds(challenger="2")) == "it is about another version"
