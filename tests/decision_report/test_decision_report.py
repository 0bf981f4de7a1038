from __future__ import annotations

import html.parser
import json
import re
from typing import Any

import msgspec
import pytest

from sidecar.decide.audit_chain import check
from sidecar.decision_report import plots
from sidecar.decision_report.facts import report_of
from sidecar.decision_report.markdown import as_markdown
from sidecar.decision_report.page import POLICY, as_page
from sidecar.errors import Unknown
from sidecar.reports import Interval
from tests.decide.decide_samples import NOW
from tests.decision_report.report_samples import DAY, plain_step, promoted, report, sealed, story

HOSTILE = "<script>alert(1)</script><img src=x onerror=y> \"'`|*_[a](http://evil.example) # \u202egnp.exe\ud800\n## no"


class Parsed(html.parser.HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def test_it_tells_who_what_why_when_and_how_long() -> None:
    words = Parsed(as_page(report())).words
    for told in (
        "fraud: promoted to version 4",
        "alice",
        "better on the newest outcomes",
        "2023-11-14 22:13:20 UTC",
        "version 3 had answered for 7.0 days",
        "answered for 3.0 days, until rollback by bob (entry 3)",
        "Judged again from the kept counts: the same table, the same digest.",
        "s3://payments/2025-11",
        "holds: 3 entries",
        "95.70 % (95.20 % to 96.20 %)",
    ):
        assert told in words, told


def test_markdown_tells_the_same() -> None:
    text = as_markdown(report())
    for told in ("# fraud: promoted to version 4", "| Who | alice |", "## Gates: pass", "the same digest", "## Proof"):
        assert told in text, told
    assert "| pairs | pass | 10,000 | 5,000 | 10,000 |" in text


def test_without_a_number_the_newest_transition_is_told() -> None:
    found = report(None)
    assert (found.entry.action, found.evidence, found.verdict) == ("rollback", None, None)
    assert "asks no gates" in as_markdown(found)
    assert "Gates" not in as_page(found)
    assert found.followed_by is None


def test_a_champion_that_still_answers_is_said_to() -> None:
    entries = story()[:2]
    found = report_of(entries, "fraud", 2, check(entries, None, 2), NOW + DAY)
    assert "still answered when this was written" in as_markdown(found)


@pytest.mark.parametrize(("seq", "says"), [(9, "entry 9"), (0, "entry 0")])
def test_another_entry_is_no_transition(seq: int, says: str) -> None:
    with pytest.raises(Unknown, match=says):
        report(seq)


def test_a_deployment_without_a_trail_is_said() -> None:
    with pytest.raises(Unknown, match="no transition of 'churn'"):
        report_of(story(), "churn", None, check([], None), NOW)


def test_an_entry_of_another_kind_or_deployment_ends_nothing() -> None:
    entries = sealed(
        plain_step(NOW - DAY, "start", "3", "3"),
        promoted(NOW),
        plain_step(NOW + 1, "start", "9", "9", deployment="churn"),
        plain_step(NOW + 2, "start", "4", "4"),
    )
    assert report_of(entries, "fraud", 2, check(entries, None, 4), NOW + DAY).followed_by is None


def test_evidence_that_was_changed_is_found_and_said() -> None:
    told = json.loads(promoted(NOW).details)
    told["record"]["evidence"]["comparison"]["pairs"] += 5_000
    found = report(details=json.dumps(told))
    assert found.same is False
    assert "another digest" in Parsed(as_page(found)).words


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "[]",
        "null",
        "{",
        '{"gates": 5, "record": 7, "lineage": [], "target": "x", "approvals": {"a": 1}}',
        "[" * 5_000,
    ],
    ids=["empty", "list", "null", "cut", "odd", "deep"],
)
def test_details_that_nobody_can_read_still_make_a_report(broken: str) -> None:
    found = report(details=broken)
    assert "fraud: promoted" in as_page(found)
    assert "alice" in as_markdown(found)


def test_a_trail_that_does_not_hold_is_said_in_the_report() -> None:
    entries = story()
    entries[0] = msgspec.structs.replace(entries[0], reason="edited")
    found = report_of(entries, "fraud", 2, check(entries, None, 3), NOW)
    assert "does not hold: entry 1 was edited" in Parsed(as_page(found)).words


# --- the page ---------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    parsed = Parsed(as_page(report()))
    assert not {"script", "link", "iframe", "img", "object", "form", "base"} & set(parsed.tags)
    assert "svg" in parsed.tags
    names = {name for name, _ in parsed.attributes}
    assert not {"src", "href", "style", "action"} & names
    assert not [name for name in names if name.startswith("on")]
    assert ("content", POLICY) in parsed.attributes
    assert not re.search(r"url\(|@import|https?://(?!127)", as_page(report()).split("<body>")[0])


def hostile(**changes: Any) -> dict[str, Any]:
    told = json.loads(promoted(NOW).details)
    told["gates"][0]["detail"] = told["gates"][1]["observed"] = HOSTILE
    told["lineage"] = {HOSTILE: HOSTILE}
    told["approvals"] = [{"by": HOSTILE}]
    told["target"]["url"] = told["software"] = told[HOSTILE] = HOSTILE
    told["record"]["software"] = told["record"]["evidence"]["baseline_digest"] = HOSTILE
    told["record"]["evidence"]["comparison"]["copies"]["errors"] = {HOSTILE: 4}
    text = json.dumps(told)
    named = dict.fromkeys(("actor", "reason", "from_version", "to_version", "evidence"), HOSTILE.replace("\n", " "))
    return {"details": text, **{k: v.replace("\ud800", "") for k, v in named.items()}} | changes


def test_no_text_from_elsewhere_becomes_a_tag_or_reorders_what_is_read() -> None:
    page = as_page(report(**hostile()))
    clean, parsed = Parsed(as_page(report())), Parsed(page)
    assert set(parsed.tags) == set(clean.tags)
    assert "alert(1)" in parsed.words, "it is shown, as text"
    assert "\u202e" not in page
    page.encode()


def test_no_text_from_elsewhere_becomes_markdown() -> None:
    text = as_markdown(report(**hostile()))
    assert "<script" not in text.replace("\\<", "")
    assert not re.search(r"(?<!\\)\]\(", text)
    assert not re.search(r"https?:/", text), "no address becomes a link by itself"
    assert [line for line in text.splitlines() if line.startswith("## no")] == []
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert columns <= {2, 3, 4, 7}
    text.encode()


# --- the plots --------------------------------------------------------------------------------------------------


def test_a_histograms_bars_are_as_high_as_their_density() -> None:
    picture = str(plots.differences([(-1.0, 0.0, 10), (0.0, 0.5, 10)]))
    heights = [float(found) for found in re.findall(r'class="bar".*?height="([\d.]+)"', picture)]
    assert heights == [55.0, 110.0]
    assert "score differences of 20 rows, -1 to 0.5" in picture


def test_a_fine_histogram_is_drawn_in_few_bars_without_losing_a_row() -> None:
    bins = [(at / 1_000, (at + 1) / 1_000, 3) for at in range(1_000)]
    picture = str(plots.differences(bins))
    assert picture.count("<rect") <= 60
    assert "3,000 rows" in picture


@pytest.mark.parametrize("bins", [[], [(0.0, 1.0, 0)], [(1.0, 1.0, 5)]], ids=str)
def test_without_rows_there_is_no_histogram(bins: list[tuple[float, float, int]]) -> None:
    assert plots.differences(bins) is None


def test_agreement_lies_between_its_bounds_on_the_axis() -> None:
    picture = str(plots.agreement(Interval(0.95, 0.94, 0.96), 0.9))
    (left, right) = map(float, re.findall(r'class="whisker" x1="([\d.]+)" y1="34" x2="([\d.]+)"', picture)[0])
    dot = float(re.findall(r'cx="([\d.]+)"', picture)[0])
    required = float(re.findall(r'class="required" x1="([\d.]+)"', picture)[0])
    assert 20 <= required < left < dot < right <= 620
    assert "<title>agreement 95.00 %, between 94.00 % and 96.00 %; required 90.00 %</title>" in picture
