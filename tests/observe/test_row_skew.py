from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from registry_client.baseline import Baseline
from registry_client.from_columns import build_baseline
from sidecar.observe.kept_rows import KeptRow
from sidecar.observe.row_skew import BLOCK_ROWS, RowSkew
from sidecar.observe.skew_alarms import skew_alarms, skew_says
from sidecar.reports import FeatureSkew

NOW = 1_700_000_000.0
AMOUNTS = [float(value) for value in np.exp(np.random.default_rng(7).normal(5.0, 1.0, 4_000))]
NORMAL = [float(value) for value in np.random.default_rng(8).normal(0.0, 1.0, 4_000)]
CITIES = ["Berlin", "Paris", "Ålesund", "New York", "São Paulo"]


def baseline(**columns: Any) -> Baseline:
    return build_baseline(columns, now=datetime(2026, 1, 1, tzinfo=UTC))


def kept(number: int, values: dict[str, object]) -> KeptRow:
    return KeptRow(request_id=f"id-{number}", row=0, at=NOW + number, values=values, score=None, label=None)


def compared(
    pairs: Sequence[tuple[object, object]], trained: Baseline | None = None, *, name: str = "amount", chunk: int = 100
) -> FeatureSkew:
    """(offline, live) pairs of one feature, posted in chunks."""
    skew = RowSkew(trained, now=NOW)
    rows = [(kept(number, {name: live}), {name: offline}) for number, (offline, live) in enumerate(pairs)]
    for start in range(0, len(rows), chunk):
        skew.compare(rows[start : start + chunk])
    (feature,) = skew.report().features
    return feature


def test_rows_that_are_the_same_differ_in_none_and_have_no_cause() -> None:
    feature = compared([(value, value) for value in AMOUNTS[:500]])
    assert (feature.compared, feature.differs, feature.share, feature.share_lower) == (500, 0, 0.0, 0.0)
    assert feature.cause is None
    assert not feature.alarm
    assert feature.median_ratio is None


@pytest.mark.parametrize(
    "printed",
    [
        lambda value: float(np.float32(value)),
        lambda value: float(f"{value:.8g}"),
        lambda value: f"{value:.9g}",
        lambda value: value * (1 + 1e-9),
    ],
    ids=["float32", "eight digits", "a text of nine digits", "rounding of a sum"],
)
def test_other_ways_to_print_one_number_are_no_difference(printed: Callable[[float], object]) -> None:
    pairs = [(printed(value), value) for value in AMOUNTS[:300]]
    assert compared(pairs, baseline(amount=AMOUNTS)).differs == 0


@pytest.mark.parametrize(
    ("live", "kind", "part"),
    [
        (lambda x: x / 100, "scale", "cents become euros"),
        (lambda x: x * 1000, "scale", "seconds become milliseconds"),
        (lambda x: x * 1.609344, "scale", "miles become kilometres"),
        (lambda x: -x, "sign", "sign turned"),
        (lambda x: x + 1, "affine", "off by one"),
        (lambda x: x - 1, "affine", "off by one"),
        (lambda x: 1.8 * x + 32, "affine", "Celsius into Fahrenheit"),
        (lambda x: 3.7 * x - 12.5, "affine", "3.7 × the offline value − 12.5"),
        (lambda x: 3.71 * x, "scale", "3.71 × the offline value"),
        (math.log, "function", "ln of the offline value"),
        (math.log1p, "function", "log1p of"),
        (math.log10, "function", "log10 of"),
        (math.sqrt, "function", "sqrt of"),
        (lambda x: float(round(x)), "function", "round of"),
        (lambda x: float(math.trunc(x)), "function", "truncate of"),
        (lambda x: None, "missing", "missing where the offline pipeline has a value"),
        (repr, "type", "another type"),
    ],
)
def test_a_catalogued_difference_is_named(live: Callable[[float], object], kind: str, part: str) -> None:
    feature = compared([(value, live(value)) for value in AMOUNTS[:400]], baseline(amount=AMOUNTS))
    assert feature.cause is not None
    assert (feature.cause.kind, part in feature.cause.says) == (kind, True), feature.cause
    assert feature.alarm


def test_a_normalisation_that_is_written_twice_is_named_before_the_distribution_could_tell() -> None:
    raw_mean, raw_sd = 210.0, 95.0
    trained = baseline(amount=NORMAL)
    pairs = [(z, (z - raw_mean) / raw_sd) for z in NORMAL[:60]]
    feature = compared(pairs, trained)
    assert feature.cause is not None
    assert feature.cause.kind == "scaler"
    assert "applied twice" in feature.cause.says
    assert feature.cause.factor == pytest.approx(1 / raw_sd, rel=1e-3)
    assert feature.cause.offset == pytest.approx(-raw_mean / raw_sd, rel=1e-3)
    assert feature.alarm, "60 rows are enough where all differ"


@pytest.mark.parametrize(
    ("offline_of", "live_of", "says"),
    [
        (lambda x, m, s: x, lambda x, m, s: (x - m) / s, "only the live value is normalised"),
        (lambda x, m, s: (x - m) / s, lambda x, m, s: x, "only the offline value is normalised"),
    ],
    ids=["live", "offline"],
)
def test_a_normalisation_in_one_pipeline_only_is_named(
    offline_of: Callable[..., float], live_of: Callable[..., float], says: str
) -> None:
    mean, sd = float(np.mean(AMOUNTS)), float(np.std(AMOUNTS))
    pairs = [(offline_of(x, mean, sd), live_of(x, mean, sd)) for x in AMOUNTS[:300]]
    feature = compared(pairs, baseline(amount=AMOUNTS))
    assert feature.cause is not None
    assert feature.cause.kind == "scaler"
    assert says in feature.cause.says


@pytest.mark.parametrize(
    ("live", "part"),
    [
        (str.upper, "another case"),
        (lambda text: f" {text} ", "other blanks"),
        (lambda text: text.replace("Å", "A\u030a").replace("ã", "a\u0303"), "Unicode form"),
    ],
)
def test_texts_that_mean_the_same_are_named(live: Callable[[str], str], part: str) -> None:
    pairs = [(city, live(city)) for city in CITIES * 60]
    feature = compared(pairs, name="city")
    assert feature.kind == "categorical"
    assert feature.cause is not None
    assert (feature.cause.kind, part in feature.cause.says) == ("recode", True), feature.cause


def test_codes_that_begin_at_one_are_named_and_so_are_leading_zeros() -> None:
    trained = baseline(code=[str(n % 9) for n in range(500)])
    shifted = compared([(str(n % 9), str(n % 9 + 1)) for n in range(200)], trained, name="code")
    padded = compared([(str(n % 9 + 1), f"{n % 9 + 1:04}") for n in range(200)], trained, name="code")
    assert shifted.cause is not None
    assert "counted one higher" in shifted.cause.says
    assert padded.cause is not None
    assert padded.cause.kind == "recode"


def test_the_share_of_rows_that_differ_is_told_with_a_bound_and_by_how_much() -> None:
    pairs = [(value, value / 100 if number % 4 == 0 else value) for number, value in enumerate(AMOUNTS[:2_000])]
    feature = compared(pairs, baseline(amount=AMOUNTS))
    assert feature.share == 0.25
    assert 0.2 < feature.share_lower < 0.25
    assert feature.median_ratio == pytest.approx(0.01, rel=0.02)
    assert feature.median_difference == pytest.approx(
        float(np.median([value / 100 - value for value in AMOUNTS[:2_000:4]])), rel=0.03
    )
    assert feature.since == NOW


def test_nine_in_ten_differing_rows_must_fit_or_nothing_is_named() -> None:
    noise = np.random.default_rng(3)
    pairs = [
        (value, value / 100 if number % 5 else value * float(noise.uniform(2, 50)))
        for number, value in enumerate(AMOUNTS[:1_000])
    ]
    feature = compared(pairs, baseline(amount=AMOUNTS))
    assert feature.cause is not None
    assert feature.cause.kind == "unexplained"
    nearly = [
        (value, value / 100 if number % 20 else value * float(noise.uniform(2, 50)))
        for number, value in enumerate(AMOUNTS[:1_000])
    ]
    named = compared(nearly, baseline(amount=AMOUNTS))
    assert named.cause is not None
    assert (named.cause.kind, named.cause.factor) == ("scale", 0.01)
    assert named.cause.share == pytest.approx(0.95)


def test_one_and_the_same_value_over_and_over_proves_no_form() -> None:
    feature = compared([(100.0, 1.0)] * 300, baseline(amount=AMOUNTS))
    assert feature.cause is not None
    assert feature.cause.kind == "unexplained", "÷100, log10 and many others fit one pair of values alike"


def test_fewer_than_ten_differing_rows_name_nothing() -> None:
    assert compared([(value, value / 100) for value in AMOUNTS[:9]]).cause is None


def test_a_tolerated_share_never_alarms_in_a_long_run() -> None:
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(30):
        differs = rng.uniform(size=2_000) < 0.01
        pairs = [(1.0, 2.0 if wrong else 1.0) for wrong in differs]
        alarms += compared(pairs).alarm
    assert alarms <= 1


def test_a_fault_after_a_long_time_of_agreement_is_found_as_soon_as_after_a_short_one() -> None:
    """A hundred thousand rows that agreed would hide a thousand that do not, if they were counted with them."""
    skew = RowSkew(None, now=NOW)
    same = [(kept(number, {"amount": 1.5 + number}), {"amount": 1.5 + number}) for number in range(1_000)]
    for _ in range(100):
        skew.compare(same)
    wrong = [(kept(number, {"amount": 15.0 + number * 10}), {"amount": 1.5 + number}) for number in range(300)]
    skew.compare(wrong)
    (feature,) = skew.report().features
    assert feature.alarm
    assert feature.cause is not None
    assert feature.cause.kind == "scale"
    assert feature.since == NOW
    assert skew.rows == 100_300


def test_the_alarm_stays_until_a_block_of_newer_rows_agrees() -> None:
    skew = RowSkew(baseline(amount=AMOUNTS), now=NOW)

    def post(first: int, rows: int, *, wrong: bool) -> bool:
        skew.compare([
            (kept(first + n, {"amount": AMOUNTS[n] / (100 if wrong else 1)}), {"amount": AMOUNTS[n]})
            for n in range(rows)
        ])  # fmt: skip
        return skew.report().features[0].alarm

    assert post(0, 300, wrong=True)
    assert post(1_000, BLOCK_ROWS // 2, wrong=False), "half a block is no evidence"
    assert post(2_000, BLOCK_ROWS // 4, wrong=True)
    assert post(3_000, BLOCK_ROWS // 4, wrong=False), "a block that holds some is none either"
    assert not post(4_000, BLOCK_ROWS, wrong=False)
    feature = skew.report().features[0]
    assert (feature.differs, feature.cause) == (0, None), "counting began anew"


def test_traffic_around_the_tolerance_does_not_flap() -> None:
    skew, rng, states = RowSkew(None, now=NOW), np.random.default_rng(5), []
    for start in range(0, 30_000, 100):
        wrong = rng.uniform(size=100) < 0.013
        skew.compare([(kept(start + n, {"x": 2.0 if bad else 1.0}), {"x": 1.0}) for n, bad in enumerate(wrong)])
        states.append(skew.report().features[0].alarm)
    changes = sum(before != after for before, after in pairwise(states))
    assert changes <= 6, changes


def test_both_missing_is_the_same_and_one_missing_is_told_which() -> None:
    assert compared([(None, None), (float("nan"), None), ("", None)] * 20).differs == 0
    feature = compared([(None, value) for value in AMOUNTS[:50]], baseline(amount=AMOUNTS))
    assert feature.cause is not None
    assert feature.cause.says == "there where the offline pipeline has none"


def test_names_that_nobody_knows_are_counted_and_ignored() -> None:
    skew = RowSkew(baseline(amount=AMOUNTS), now=NOW)
    skew.compare([(kept(1, {"amount": 1.0}), {"amount": 1.0, "nonsense": 4})])
    assert [feature.name for feature in skew.report().features] == ["amount"]
    assert skew.unnamed == 1


@pytest.mark.parametrize(
    "value",
    [True, 10**400, -(10**400), float("inf"), "x" * 1_000, "\ud800", [1, 2], {"a": 1}, "1e999", 2**1023, 5e-324, 0.0],
    ids=str,
)
@pytest.mark.parametrize("side", ["offline", "live"])
def test_no_value_however_strange_breaks_the_comparison(value: object, side: str) -> None:
    for trained in (None, baseline(amount=AMOUNTS), baseline(amount=CITIES * 100)):
        pairs = [(value, other) if side == "offline" else (other, value) for other in (*AMOUNTS[:12], None, "a", value)]
        feature = compared(pairs, trained)
        assert feature.compared == 15
        assert RowSkew(trained, now=NOW).report().features == ()


def test_counts_go_on_after_a_restart_and_hold_no_value() -> None:
    trained = baseline(amount=AMOUNTS, city=CITIES * 800)
    first = RowSkew(trained, now=NOW)
    secret = "Xanadu-7319"
    first.compare([
        (kept(n, {"amount": x / 100, "city": secret.upper()}), {"amount": x, "city": secret})
        for n, x in enumerate(AMOUNTS[:200])
    ])  # fmt: skip
    blob = first.snapshot()
    second = RowSkew(trained, now=NOW + 9)
    second.restore(blob)
    assert second.report() == first.report()
    assert secret.encode() not in blob
    assert secret.upper().encode() not in blob


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, b"garbage"])
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: bytes) -> None:
    skew = RowSkew(None, now=NOW)
    skew.compare([(kept(1, {"x": 1.0}), {"x": 2.0})])
    before = skew.report()
    with pytest.raises(ValueError, match=r"."):
        skew.restore(damage)
    assert skew.report() == before


def test_the_alarm_says_what_differs_and_never_a_value() -> None:
    skew = RowSkew(baseline(city=CITIES * 100), now=NOW)
    skew.compare([(kept(n, {"city": f"Secret{n % 7}"}), {"city": f"SECRET{n % 7}"}) for n in range(100)])
    (alarm,) = skew_alarms(skew.report())
    assert (alarm.key, alarm.kind, alarm.severity, alarm.cause) == ("rows/city", "data.broken", "warning", "recode")
    assert alarm.says.startswith(
        "city: 100.0% of 100 compared rows differ from the offline pipeline's; live is the same"
    )
    assert "ecret0" not in alarm.says
    assert "do not retrain" in alarm.action
    feature = skew.report().features[0]
    assert skew_says(feature) in alarm.says
    unexplained = RowSkew(None, now=NOW)
    unexplained.compare([(kept(n, {"x": AMOUNTS[n]}), {"x": AMOUNTS[-n]}) for n in range(100)])
    (other,) = skew_alarms(unexplained.report())
    assert (other.kind, "no way that has a name" in other.says) == ("drift.detected", True)
