"""Figures: the numbers they say, and SVG that lies inside a page without touching it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from curator.conformal import Guarantee, calibrate, exact
from curator.report.drawing import Picture
from curator.report.figures import alpha_figure, entropy_figure, orders_figure, reliability_figure
from curator.report.numbers import entropy_counts, order_counts, over_alpha, reliability
from tests.reports import figures


def pictures() -> list[Picture]:
    made = figures()
    return [made["alpha"], made["entropy"], made["reliability"], *(picture for _, picture in made["orders"])]


def test_equal_numbers_give_equal_bytes_whatever_the_users_settings() -> None:
    first = pictures()
    figures.cache_clear()
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "lines.linewidth": 9, "axes.grid": True}):
        assert pictures() == first
        assert mpl.rcParams["font.size"] == 30


def test_every_figure_has_a_text_alternative_and_a_table() -> None:
    for picture in pictures():
        root = ElementTree.fromstring(picture.svg)
        assert root.attrib["role"] == "img"
        assert {"width", "height"}.isdisjoint(root.attrib), "as wide as the page lets it be"
        by_id = {element.attrib.get("id"): element.text for element in root.iter()}
        title, description = root.attrib["aria-labelledby"].split()
        assert (by_id[title], by_id[description]) == (picture.title, picture.description)
        assert re.search(r"\d", picture.description)
        assert picture.rows
        assert {len(row) for row in picture.rows} == {len(picture.columns)}


def test_no_two_figures_share_an_id_and_all_that_is_referred_to_is_there() -> None:
    ids = [found for picture in pictures() for found in re.findall(r'\bid="([^"]+)"', picture.svg)]
    assert len(ids) == len(set(ids))
    referred = {found for picture in pictures() for found in re.findall(r'(?:href="#|url\(#)([^")]+)', picture.svg)}
    assert referred
    assert referred <= set(ids)


def test_colours_and_typeface_are_the_pages() -> None:
    for picture in pictures():
        assert not re.search(r"#[0-9a-f]{6}|font-family|<style|<metadata|<\?xml|xmlns", picture.svg)
        assert "var(--accepted)" in picture.svg
        assert "<text" in picture.svg, "text is text"


def test_the_curve_says_where_the_choice_lies() -> None:
    sure, wrong = np.array([3.0] * 40 + [1.0] * 60), np.array([0] * 40 + [1, 0] * 30)
    points = over_alpha(sure, wrong, [3.0] * 30 + [1.0] * 70, Guarantee.FDR, exact("0.1"), exact("0.1"))
    picture = alpha_figure(points, exact("0.1"))
    assert (
        "at the chosen alpha 0.1 it is 30.0%. Of the labelled pairs, 40 reach the threshold there"
        in picture.description
    )
    assert "wrong on 0 of them (0%)." in picture.description
    row = dict(zip(picture.columns, picture.rows[9], strict=True))
    assert row == {
        "alpha": "0.1",
        "accepted": "30",
        "coverage": "30.0%",
        "labelled pairs wrong": "0 of 40",
        "risk observed": "0%",
    }
    assert ">30.0%</text>" in picture.svg


def test_a_choice_that_accepts_nothing_can_be_drawn() -> None:
    sure, wrong = np.arange(1.0, 101.0), np.arange(100) % 6 == 0
    points = over_alpha(sure, wrong, sure, Guarantee.FDR, exact("0.1"), exact("0.1"))
    assert calibrate(sure, wrong, sure).accepted == 0 < points[-1].accepted
    picture = alpha_figure(points, exact("0.1"))
    assert "at the chosen alpha 0.1 it is 0%. Of the labelled pairs, 0 reach the threshold there" in picture.description
    assert picture.rows[9][2:] == ("0%", "0 of 0", "–")


def test_scope_shows_the_risk_that_it_bounds() -> None:
    sure, wrong = np.array([3.0] * 30 + [1.0] * 10), np.array([1] * 2 + [0] * 28 + [1] * 10)
    points = over_alpha(sure, wrong, [3.0, 1.0], Guarantee.SCOPE, exact("0.2"), exact("0.1"))
    picture = alpha_figure(points, exact("0.2"))
    assert "(5.0% of all labelled pairs)" in picture.description
    assert "accepted and wrong, of labelled pairs" in picture.svg


def test_the_histogram_says_how_many() -> None:
    counts = entropy_counts([0.01] * 1200 + [0.69] * 30, [True] * 1200 + [False] * 30)
    picture = entropy_figure(counts, 0.6123456)
    assert (
        "1,200 pairs accepted, 30 judged pairs abstained on. Accepted are those with BPE at most 0.6123."
        in picture.description
    )
    assert picture.rows == (("0.000 to 0.025", "1,200", "0"), ("0.668 to 0.693", "0", "30"))
    assert "threshold" in picture.svg
    assert "threshold" not in entropy_figure(counts, None).svg


def test_reliability_says_what_the_judge_says_and_what_people_say() -> None:
    picture = reliability_figure(reliability([0.9] * 8 + [0.6] * 2, [True] * 6 + [False] * 4))
    assert (
        "10 labelled pairs on which the judge has a preference. On average it gives its label 84.0%"
        in picture.description
    )
    assert "people give the same label to 60.0%" in picture.description
    assert picture.rows[-1][2:4] == ("6 of 8", "75.0%")


def test_orders_say_which_place_wins() -> None:
    picture = orders_figure(order_counts([19, 15, 2], [18, 3, 17], [1, 1, -1], [1, -1, 1], [40, 8, 2]), 3)
    assert picture.name == "orders3"
    assert "50 pairs" in picture.description
    assert (
        "shown first wins both times in 16.0%; the response shown second wins both times in 4.0%" in picture.description
    )
    assert [row[1] for row in picture.rows] == ["40", "8", "2", "0"]
    assert "shown second wins: 4.0%" in picture.svg


@pytest.mark.parametrize("n", [1, 10**9])
def test_extremes_are_drawn(n: int) -> None:
    assert orders_figure(order_counts([0], [19], [-1], [1], [n]), 0).rows[2][1] == f"{n:,}"
    assert reliability_figure(reliability([1.0], [False])).rows[0][3] == "0%"
    assert entropy_figure(entropy_counts([0.0], [True]), 0.0).rows[0][1] == "1"
