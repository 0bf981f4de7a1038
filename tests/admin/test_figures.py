from __future__ import annotations

import math

import pytest
from markupsafe import Markup

from sidecar.admin import answers, figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), ("above −0.005", "above −0.005"), (0, "0"), (0.0, "0"), (5000, "5,000"), (168.0, "168"),
        (0.0123456, "0.0123"), (0.00001234, "1.2e-05"), (1234.56, "1,235"), (1.23456e10, "12,345,600,000"),
        (1.5e300, "1.5e+300"), (-0.5, "-0.5"), (math.inf, "inf"), (math.nan, "nan"), (True, "True"),
    ],
)  # fmt: skip
def test_numbers_are_cut_to_what_a_glance_compares(value: float | str | None, text: str) -> None:
    assert figures.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (math.nan, "–"), (0.0, "0%"), (1.0, "100%"), (0.5, "50.0%"), (0.9995, "99.95%"), (0.0012, "0.12%")],
)
def test_shares_near_the_ends_keep_their_difference(share: float | None, text: str) -> None:
    assert figures.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (12_000, "3 h 20 min"),
        (172_799, "47 h 59 min"), (777_600, "9 days"),
    ],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (3.42, "3.4 ms"), (1234.5, "1,234 ms")])
def test_milliseconds(value: float | None, text: str) -> None:
    assert figures.milliseconds(value) == text


def test_moments_and_digests() -> None:
    assert figures.moment(1_767_225_605) == "1 Jan 00:00:05 UTC"
    assert figures.digest("sha256:" + "ab" * 32) == "abababababab"
    assert figures.digest(None) == "–"


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (None, None), (math.nan, None), (math.inf, None), (0.0, "1970-01-01T00:00:00.000Z"),
        (-1.0, "1970-01-01T00:00:00.000Z"), (1e300, "9999-12-31T23:59:59.000Z"),
        (1_767_225_600.1239, "2026-01-01T00:00:00.123Z"),
    ],
)  # fmt: skip
def test_times_are_rfc_3339_in_utc(at_s: float | None, text: str | None) -> None:
    assert answers.rfc3339(at_s) == text


@pytest.mark.parametrize("mark", ["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"])
def test_no_text_reads_as_another_name(mark: str) -> None:
    shown = figures.in_reading_order(f"{mark}ecila")
    assert isinstance(shown, str)
    assert mark not in shown
    assert shown.endswith("ecila")
    ours = Markup("<b>{}</b>").format(mark)
    assert figures.in_reading_order(ours) == ours
    assert figures.in_reading_order(7) == 7
