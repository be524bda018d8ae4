"""What a robust loss may be told, and that it says no more than the rule proves."""

from __future__ import annotations

from typing import Any

import pytest

from curator.flips import label_smoothing
from curator.noise import Noise, Votes, contradicted, measured_noise
from tests import reports

MIX = {"auto": 421, "human": 305}


def test_fdr_counts_with_alpha_on_average_over_draws() -> None:
    value, why = label_smoothing(reports.result(), MIX)
    assert value == pytest.approx(421 * 0.1 / 726, rel=1e-3)
    assert why == (
        "label_smoothing 0.05799 for 726 rows: 421 auto labels count with 0.1, which bounds the share of wrong ones on "
        "average over calibration draws, not in this one (fdr); 305 labels of people count as right, for no two of "
        "them chose a side on one calibration pair."
    )


def test_pac_says_with_what_probability() -> None:
    value, why = label_smoothing(reports.result(guarantee="pac", delta=0.05), {"auto": 421, "human": 0})
    assert value == 0.1
    assert "the long-run error rate at the threshold with probability 0.95 over calibration draws" in why


def test_scope_bounds_no_error_among_accepted() -> None:
    """Of a fifth accepted, all wrong at alpha .1 would keep scope's promise for half of them."""
    value, why = label_smoothing(reports.result(guarantee="scope"), {"auto": 421, "human": 0})
    assert value == pytest.approx(0.1 * 600 / 421, rel=1e-3)
    assert "an estimate and no bound: alpha 0.1 over coverage 0.702" in why
    few = reports.result(guarantee="scope", accepted=110, coverage=110 / 600)
    value, why = label_smoothing(few, {"auto": 110, "human": 0})
    assert value is None
    assert "the labels come to 0.5455, and from one half on they say nothing" in why


@pytest.mark.parametrize("guarantee", ["fdr", "pac", "scope"])
def test_groups_weigh_as_many_pairs_as_they_accept(guarantee: str) -> None:
    result = reports.full_result(guarantee=guarantee, audit=None)
    value, why = label_smoothing(result, {"auto": 210, "human": 0})
    # 120 of 200 and 90 of 200 are accepted; two groups have no threshold and count for nothing.
    assert value == pytest.approx(0.1 * 400 / 210 if guarantee == "scope" else 0.1, rel=1e-3)
    assert "within each group and not over all groups together" in why


def test_an_audit_stands_beside_the_bound() -> None:
    audit = reports.full_result()["audit"]
    value, why = label_smoothing(reports.result(audit=audit), {"auto": 400, "human": 0})
    assert value == 0.1
    assert "an audit found 0.0341 of the accepted pairs wrong (95% interval 0.0071 to 0.0964)" in why
    assert "that is about all 421 accepted pairs, and for a part of them it is taken for granted" in why


def test_people_count_with_how_far_they_disagree() -> None:
    noise = measured_noise([Votes(2, "a", "a", 82), Votes(2, "a", "b", 18), Votes(1, "a", None, 50)])
    assert noise is not None
    assert (noise.pairs, noise.apart) == (100, 18)
    assert noise.rate == pytest.approx(0.1)
    assert noise.low < 0.1 < noise.high
    votes = [(1, 200), (3, 105)]
    value, why = label_smoothing(reports.result(), MIX, noise, votes)
    people = (200 * 0.1 + 105 * (3 * 0.1**2 * 0.9 + 0.1**3)) / 305
    assert contradicted(votes, 0.1, False) == pytest.approx(people)
    assert value == pytest.approx((421 * 0.1 + 305 * people) / 726, rel=1e-3)
    assert "305 labels of people count with 0.0752, as two of them disagree on 18 of 100 calibration pairs" in why
    value, why = label_smoothing(reports.result(), {"auto": 0, "human": 305}, noise)
    assert value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("result", "rows", "said"),
    [
        (reports.result(), {"auto": 0, "human": 305}, "305 labels of people count as right"),
        (reports.result(), {"auto": 0, "human": 0}, "there are no rows"),
        (reports.result(threshold=None, accepted=0), {"auto": 3, "human": 1}, "nothing is promised of the 3 auto"),
    ],
)  # fmt: skip
def test_nothing_to_correct(result: dict[str, Any], rows: dict[str, int], said: str) -> None:
    value, why = label_smoothing(result, rows)
    assert value is None
    assert why.startswith("No label_smoothing: ")
    assert said in why


def test_people_who_always_agree_leave_nothing_to_correct() -> None:
    noise = Noise(pairs=40, apart=0, rate=0.0, low=0.0, high=0.046)
    assert label_smoothing(reports.result(), {"auto": 0, "human": 40}, noise)[0] is None


def test_ties_that_are_left_out_are_not_bounded() -> None:
    rows = {"auto": 421, "human": 0}
    said = "pairs that people call equal are not in that, and on them a label says nothing"
    assert said in label_smoothing(reports.result(ties="exclude"), rows)[1]
    assert said not in label_smoothing(reports.result(), rows)[1]


def test_labels_of_a_model_are_not_called_those_of_people() -> None:
    _, why = label_smoothing(reports.result(labelled_by="a model"), MIX, Noise(100, 18, 0.1, 0.06, 0.16))
    assert "305 labels of people or in the raw file (a model) count with 0.1" in why
    assert "on pairs that a judge abstained on they may err more often" in why


@pytest.mark.filterwarnings("ignore")
def test_trl_reads_it_as_the_probability_of_a_flip() -> None:
    dpo = pytest.importorskip("trl.trainer.dpo_config")
    words = dpo.DPOConfig.__dataclass_fields__["label_smoothing"].metadata["help"]
    assert "flipped" in words
