from __future__ import annotations

import numpy as np
import pytest

from sidecar.reports import Cause
from sidecar.stats.category_naming import MOST_UNSEEN, Categories, name_recode

CITIES = ("Bonn", "Kyiv", "Lima", "Oslo")
TRAINED = (4_000, 3_000, 2_000, 1_000)
SHARES = (0.4, 0.3, 0.2, 0.1)
NAMED: dict[str, tuple[tuple[str, ...], str]] = {
    "case": (("BONN", "KYIV", "LIMA", "OSLO"), "categories come in upper or lower case"),
    "spaces": ((" Bonn", "Kyiv ", " Lima", "Oslo "), "categories come with spaces before or behind"),
    "quotes": (("'Bonn'", "'Kyiv'", "'Lima'", "'Oslo'"), "categories come in quotes"),
    "codes from 0": (("0", "1", "2", "3"), "names come as their numbers in alphabetical order, from 0"),
    "codes from 1": (("1", "2", "3", "4"), "names come as their numbers in alphabetical order, from 1"),
    "other names": (("q", "r", "s", "t"), "every category has another name"),
}


def _name(
    live: tuple[int, ...],
    unseen: tuple[tuple[str, int], ...] = (),
    categories: tuple[str, ...] = CITIES,
    trained: tuple[int, ...] = TRAINED,
) -> Cause:
    columns = Categories(categories, trained, live, unseen=unseen, live_unseen=sum(rows for _, rows in unseen))
    cause = name_recode(columns, tolerance=0.005)
    assert cause is not None
    return cause


def _drawn(shares: tuple[float, ...], n: int = 2_000) -> tuple[int, ...]:
    return tuple(np.random.default_rng(4).multinomial(n, shares).tolist())


@pytest.mark.parametrize("case", NAMED)
def test_another_way_of_writing_is_named(case: str) -> None:
    texts, says = NAMED[case]
    cause = _name((0, 0, 0, 0), tuple(zip(texts, _drawn(SHARES), strict=True)))
    assert (cause.kind, cause.says, cause.share) == ("recode", says, 1.0)
    assert cause.values == tuple(f"{was} → {now}" for was, now in zip(CITIES, texts, strict=True))


@pytest.mark.parametrize("case", ["case", "codes from 0"])
def test_it_is_named_where_part_of_the_rows_switched(case: str) -> None:
    texts, says = NAMED[case]
    switched = tuple(zip(texts, _drawn(SHARES, 600), strict=True))
    cause = _name(_drawn(SHARES, 1_400), switched)
    assert (cause.kind, cause.says) == ("recode", f"{says}, in about 30% of the rows")
    assert cause.share == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(("step", "says"), [(1, "codes are one higher"), (-1, "codes are one lower")])
def test_codes_that_are_one_off_are_named(step: int, says: str) -> None:
    known = ("1", "2", "3", "4")
    drawn = {str(int(code) + step): rows for code, rows in zip(known, _drawn(SHARES), strict=True)}
    unseen = tuple((code, rows) for code, rows in drawn.items() if code not in known)
    cause = _name(tuple(drawn.get(code, 0) for code in known), unseen, known)
    assert (cause.kind, cause.says) == ("recode", says)


def test_categories_in_each_others_place_are_named_by_their_frequencies() -> None:
    bonn, kyiv, lima, oslo = _drawn(SHARES)
    cause = _name((lima, bonn, oslo, kyiv))
    assert (cause.kind, cause.says) == ("recode", "categories changed places")
    assert "Bonn → Kyiv" in cause.values


def test_categories_that_come_as_one_are_named() -> None:
    bonn, kyiv, lima, oslo = _drawn(SHARES)
    cause = _name((bonn, 0, 0, kyiv + lima + oslo))
    assert (cause.kind, cause.says) == ("recode", "2 categories come as one")


def test_a_flag_turned_round_is_named_where_it_is_rare() -> None:
    cause = _name((103, 1_897), categories=("0", "1"), trained=(9_500, 500))
    assert cause.kind == "recode"


@pytest.mark.parametrize(
    ("live", "unseen", "categories", "trained"),
    [
        ((620, 720, 420, 240), (), CITIES, TRAINED),
        ((820, 1_180), (), ("0", "1"), (6_000, 4_000)),
        ((720, 540, 360, 180), (("Rome", 200),), CITIES, TRAINED),
        ((1_000, 500, 400, 100), (), CITIES, TRAINED),
        (_drawn(SHARES), (), CITIES, TRAINED),
        ((699, 684, 617), (), ("EWR", "JFK", "LGA"), (3_600, 3_300, 3_100)),
    ],
)
def test_what_the_world_does_is_given_no_name(
    live: tuple[int, ...], unseen: tuple[tuple[str, int], ...], categories: tuple[str, ...], trained: tuple[int, ...]
) -> None:
    assert _name(live, unseen, categories, trained).kind == "unexplained"


@pytest.mark.parametrize("filler", ["unknown", "N/A", "", "null"])
def test_a_filler_in_place_of_values_is_a_constant(filler: str) -> None:
    cause = _name(_drawn(SHARES, 1_000), ((filler, 1_000),))
    assert (cause.kind, cause.value) == ("constant", filler)
    assert cause.share == pytest.approx(0.5, abs=0.01)
    assert "as is written where there is none" in cause.says


def test_one_category_in_all_rows_is_a_constant_and_not_named_in_the_sentence() -> None:
    cause = _name((0, 0, 2_000, 0))
    assert (cause.kind, cause.value) == ("constant", "Lima")
    assert "Lima" not in cause.says


def test_rare_categories_are_respelled_with_the_others() -> None:
    columns = Categories(
        ("Bonn", "Kyiv"),
        (6_000, 3_000),
        (0, 0),
        tail=("Lima", "Oslo"),
        trained_tail=1_000,
        unseen=(("BONN", 600), ("KYIV", 300), ("LIMA", 52), ("OSLO", 48)),
        live_unseen=1_000,
    )
    cause = name_recode(columns, tolerance=0.005)
    assert cause is not None
    assert (cause.kind, cause.says) == ("recode", "categories come in upper or lower case")


def test_more_respelled_texts_than_are_remembered_are_named_all_the_same() -> None:
    names = tuple(f"city {number:02}" for number in range(30))
    unseen = tuple((name.upper(), 40) for name in names[:16])
    columns = Categories(names, (400,) * 30, (0,) * 30, unseen=unseen, live_unseen=1_200)
    cause = name_recode(columns, tolerance=0.005)
    assert cause is not None
    assert cause.kind in ("recode", "unexplained")


def test_too_few_rows_name_nothing() -> None:
    assert name_recode(Categories(CITIES, TRAINED, (20, 10, 10, 9)), tolerance=0.005) is None
    assert name_recode(Categories((), (), (), unseen=(("a", 500),), live_unseen=500), tolerance=0.005) is None


COUNTED = (("150", 800), ("163", 600), ("171", 400), ("188", 200))


def test_names_that_come_as_codes_are_another_coding_whatever_stands_for_which() -> None:
    columns = Categories(CITIES, TRAINED, (0, 0, 0, 0), unseen=(("150", 62), ("163", 38)), live_unseen=100)
    cause = name_recode(columns, tolerance=0.005)
    assert cause is not None
    assert (cause.kind, cause.says) == ("recode", "categories come as whole numbers instead of words")
    assert cause.values == ("150", "163")


def test_codes_in_part_of_the_rows_are_named_where_they_are_spread_as_the_names_were() -> None:
    cause = _name(tuple(4 * rows for _, rows in COUNTED), tuple((code, rows // 20) for code, rows in COUNTED))
    assert cause.kind == "recode"
    assert cause.says.startswith("categories come as whole numbers instead of words, in about 1% of the rows")


@pytest.mark.parametrize(
    ("unseen", "categories"),
    [
        ((("150", 95), ("163", 5)), CITIES),
        ((("150", 100),), CITIES),
        ((("Rome", 60), ("Cork", 40)), CITIES),
        ((("150", 60), ("163", 40)), ("Bonn", "Kyiv", "Lima", "7")),
    ],
    ids=["spread otherwise", "a single one", "of the same form", "of a form that training knew"],
)
def test_new_categories_beside_the_known_ones_are_no_other_coding(
    unseen: tuple[tuple[str, int], ...], categories: tuple[str, ...]
) -> None:
    assert _name(_drawn(SHARES, 900), unseen, categories).kind == "unexplained"


def test_more_respelled_categories_than_are_remembered_are_named_all_the_same() -> None:
    names = tuple(f"Gate {chr(65 + place // 8)}{place}" for place in range(40))
    # What a short memory has of forty texts: some of them, with counts that are far too high.
    unseen = tuple((name.lower(), 60) for name in names[:MOST_UNSEEN])
    columns = Categories(names, (250,) * 40, (0,) * 40, unseen=unseen, live_unseen=1_000)
    cause = name_recode(columns, tolerance=0.005)
    assert cause is not None
    assert (cause.kind, cause.says) == ("recode", "categories come in upper or lower case")
    other = tuple((f"Dock {place}", 60) for place in range(MOST_UNSEEN))
    strangers = name_recode(Categories(names, (250,) * 40, (0,) * 40, unseen=other, live_unseen=1_000), tolerance=0.005)
    assert strangers is not None
    assert strangers.kind == "unexplained"


def test_a_few_rare_categories_that_went_are_not_called_one() -> None:
    cause = _name((1_200, 800, 0, 0), trained=(6_000, 3_400, 300, 300))
    assert "come as one" not in cause.says or cause.kind == "unexplained"
