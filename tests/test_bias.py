"""Place, length and label mass: what is measured, and what is worth a line."""

from __future__ import annotations

import numpy as np
import pytest

from curator.bias import Bias, doubts, measure

INF = np.inf


def of(d_ab: list[float], d_ba: list[float], longer: object = 0, people: object = 0, sampled: object = True) -> Bias:
    spread = (np.broadcast_to(np.asarray(values), len(d_ab)) for values in (longer, people, sampled))
    return measure(d_ab, d_ba, *spread)


@pytest.mark.parametrize(
    ("d_ab", "d_ba", "first", "flipped"),
    [
        ([2.0], [2.0], 0.5, 0.0),
        ([2.0], [-2.0], 1.0, 1.0),
        ([-INF], [INF], 0.0, 1.0),
        ([1.0], [0.0], 0.75, 1.0),
        ([0.0], [0.0], 0.5, 0.0),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -3.0], 0.625, 0.25),
        ([2.1972245773362196], [2.1972245773362191], 0.5, 0.0),
    ],
)
def test_the_place(d_ab: list[float], d_ba: list[float], first: float, flipped: float) -> None:
    found = of(d_ab, d_ba).figures()
    assert (found["first_shown_preferred"], found["flipped"]) == (first, flipped)


def test_the_interval_of_the_place_is_that_of_as_many_pairs() -> None:
    (found,) = doubts("j", of([2.0] * 90 + [-2.0] * 10, [-2.0] * 40 + [2.0] * 50 + [2.0] * 10), 0.25)
    assert (found.figures["first_shown_preferred"], found.figures["changes_with_order"]) == (0.65, 50)
    # Clopper-Pearson for 65 of 100.
    assert found.figures["interval"] == pytest.approx([0.5482, 0.7427], abs=1e-4)


def test_nothing_judged_is_nothing_known() -> None:
    found = of([], [])
    assert set(found.figures().values()) == {0, None}
    assert doubts("j", found, 0.25) == []


def test_the_length() -> None:
    # The averaged label: a, b, a, tie, a; the longer response: a, a, neither, b, b.
    found = of([2.0, -2.0, 1.0, 1.0, 3.0], [2.0, -2.0, 1.0, -1.0, -1.0], [1, 1, 0, -1, -1], [1, 1, 1, 1, -1])
    figures = found.figures()
    assert (found.labelled, figures["longer_preferred"]) == (3, 1 / 3)
    assert (figures["compared_with_people"], figures["longer_preferred_there"]) == (3, 1 / 3)
    assert figures["longer_preferred_by_people"] == 1.0
    assert (found.both, found.judge_only, found.people_only) == (1, 0, 2)


def test_pairs_outside_the_sample_are_only_compared_with_people() -> None:
    found = of([2.0, 2.0], [2.0, -2.0], 1, 1, [True, False])
    assert (found.pairs, found.labelled, found.compared) == (1, 1, 1)
    found = of([2.0, 2.0], [2.0, 2.0], 1, 1, [True, False])
    assert (found.pairs, found.labelled, found.compared) == (1, 1, 2)


def test_swapping_a_and_b_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    d_ab, d_ba = rng.normal(0.3, 1.0, 500), rng.normal(-0.3, 1.0, 500)
    longer, people = rng.integers(-1, 2, 500), rng.integers(-1, 2, 500)
    assert of(d_ab.tolist(), d_ba.tolist(), longer, people) == of((-d_ba).tolist(), (-d_ab).tolist(), -longer, -people)


def test_bad_arrays_are_errors() -> None:
    with pytest.raises(ValueError, match="one shape"):
        measure([1.0], [1.0], [0, 0], [0], [True])
    with pytest.raises(ValueError, match="NaN"):
        measure([np.nan], [1.0], [0], [0], [True])


def test_a_place_is_worth_a_line_when_it_is_sure_and_matters() -> None:
    strong = doubts("j", of([1.0] * 80, [-1.0] * 60 + [1.0] * 20), 0.25)
    assert [one.name for one in strong] == ["position bias"]
    assert "j goes by the place: the response shown first wins 88% of its replies" in strong[0].text
    assert "its label changes with the order on 60 of 80 pairs" in strong[0].text
    assert strong[0].figures["interval"] == pytest.approx([0.7821, 0.9384], abs=1e-4)
    last = doubts("j", of([-1.0] * 80, [1.0] * 80), 0.25)
    assert "the response shown first wins 0% of its replies" in last[0].text
    assert doubts("j", of([1.0] * 8, [-1.0] * 8), 0.25) == [], "eight of eight happen to a fair coin"
    assert doubts("j", of([1.0] * 9000, [-1.0] * 900 + [1.0] * 8100), 0.25) == [], "sure, but small"
    even = of([1.0] * 40 + [-1.0] * 40, [-1.0] * 40 + [1.0] * 40)
    assert (even.first_shown, doubts("j", even, 0.25)) == (0.5, []), "unsteady, and yet without bias"


def test_length_is_worth_a_line_when_people_see_it_otherwise() -> None:
    sure, n = [3.0] * 100, 100
    agree = of(sure, sure, 1, 1)
    assert doubts("j", agree, 0.25) == [], "the longer always wins, and people say so too"
    people = np.where(np.arange(n) < 70, 1, -1)
    more = doubts("j", of(sure, sure, 1, people), 0.25)
    assert [one.name for one in more] == ["length bias"]
    assert (
        "likes the longer response more than people do: on 100 calibration pairs it prefers it in 100%, people in 70%; "
        "it contradicts them on 100% of those where they prefer the shorter, and on 0% of the others" in more[0].text
    )
    less = doubts("j", of(sure, sure, -1, people), 0.25)
    assert "less than people do: on 100 calibration pairs it prefers it in 0%, people in 30%" in less[0].text
    balanced = np.where(np.arange(n) < 50, 1, -1)
    label = np.where(np.arange(n) % 2, 3.0, -3.0).tolist()
    assert doubts("j", of(label, label, 1, balanced), 0.25) == [], "it errs both ways alike"


def test_a_judge_that_errs_at_random_has_no_length_bias() -> None:
    """People prefer the shorter in four of five, and each fifth label is wrong: so the longer wins more often by it."""
    people = np.where(np.arange(1000) < 800, -1, 1)
    label = np.where(np.arange(1000) % 5 == 0, -people, people) * 2.0
    found = of(label.tolist(), label.tolist(), 1, people)
    assert (found.judge_only, found.people_only) == (160, 40)
    assert doubts("j", found, 0.25) == []


def test_errors_that_lean_to_length_need_a_longer_outcome_too() -> None:
    """Wrong on half of the few that people want shorter, on a tenth of the many they want longer."""
    people = np.where(np.arange(1000) < 100, -1, 1)
    wrong = np.where(people == -1, np.arange(1000) % 2 == 0, np.arange(1000) % 10 == 0)
    label = np.where(wrong, -people, people) * 2.0
    found = of(label.tolist(), label.tolist(), 1, people)
    assert (found.judge_only, found.people_only) == (50, 90)
    assert doubts("j", found, 0.25) == []


def test_low_label_mass_is_counted() -> None:
    silent = measure([], [], [], [], [], (0.97, 400, 3))
    found = doubts("j", silent, 0.25)
    assert [one.name for one in found] == ["label mass"]
    assert "did not answer in 3 of 400 replies: the two labels have less than 0.25" in found[0].text
    assert silent.figures()["low_label_mass"] == 3 / 400
    assert doubts("j", measure([], [], [], [], [], (0.97, 400, 0)), 0.25) == []
