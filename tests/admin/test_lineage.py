from __future__ import annotations

from sidecar.admin.lineage import headline, lineage_view
from tests.admin.fake_service import FakeService


def test_what_people_ask_for_first_comes_first_and_differences_are_marked() -> None:
    service = FakeService()
    service.lineage = {
        "3": {"zeta": "z", "params.depth": "3", "metrics.auc": "0.90", "run": "r3", "code": "aaa", "data": "d"},
        "4": {
            "params.depth": "3",
            "metrics.auc": "0.91",
            "run": "r4",
            "code": "bbb",
            "data": "d",
            "approved_by": "ana",
        },
        "5": {},
    }
    view = lineage_view(service.deployment("fraud"))
    assert view.versions == ("3", "4")
    assert [row.name for row in view.rows] == [
        "data",
        "code",
        "approved_by",
        "run",
        "metrics.auc",
        "params.depth",
        "zeta",
    ]
    assert {row.name for row in view.rows if row.differs} == {"code", "approved_by", "run", "metrics.auc", "zeta"}
    assert view.rows[2].values == (None, "ana")
    assert view.more == 0


def test_a_registry_that_knows_a_thousand_fields_makes_no_thousand_rows() -> None:
    service = FakeService()
    service.lineage = {"3": {f"params.p{number:04}": "1" for number in range(1_000)} | {"data": "d"}}
    view = lineage_view(service.deployment("fraud"))
    assert (len(view.rows), view.more, view.rows[0].name) == (60, 941, "data")


def test_a_card_shows_the_few_fields_that_say_something() -> None:
    told = {"data": "d", "approved_by": "ana", "created_by": " ", "run": "r", "metrics.auc": "0.9"}
    assert headline(told) == [("data", "d"), ("approved by", "ana")]
    assert headline({}) == []
