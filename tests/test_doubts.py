"""What speaks against a promise: each finding where it is, and none where it is not."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from curator.conformal import Guarantee
from curator.doubts import (
    LEVEL,
    Doubt,
    Prompts,
    chosen_before,
    drift,
    earlier_tries,
    expected_prompts,
    outgrown_draw,
    refused_labels,
    repeated_prompts,
    uneven_answers,
    waiting_draw,
    worse_than_a_coin,
)


def side(n: int, seed: int, sureness: float = 1.0, prompt: int = 100, responses: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "sureness": np.abs(rng.normal(sureness, 1.0, n)),
        "prompt": rng.poisson(prompt, n),
        "responses": rng.poisson(responses, n),
    }


def test_equal_sides_raise_no_doubt() -> None:
    assert drift(side(200, 1), side(2000, 2)) is None
    assert drift(side(0, 1), side(2000, 2)) is None
    assert drift(side(200, 1), side(0, 2)) is None


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        ({"sureness": 3.0}, "the judge is surer (median: better response has 0.95 against 0.7"),
        ({"sureness": 0.0}, "the judge is less sure (median: better response has 0.6"),
        ({"prompt": 120}, "prompts are longer (median: 120 against 100; p < 1e-9)"),
        ({"responses": 350}, "responses are shorter (median: 35"),
    ],
)
def test_what_differs_is_named_with_its_direction(calibration: dict[str, float], says: str) -> None:
    found = drift(side(300, 1, **calibration), side(2000, 2))
    assert found is not None
    assert found.name == "drift"
    assert found.text.startswith("exchangeability is implausible: ")
    assert says in found.text
    assert found.text.count("median") == 1, "only what differs is said"
    different = next(iter(calibration))
    assert (
        found.figures[different]["p"]
        < LEVEL / 3
        < min(found.figures[name]["p"] for name in found.figures.keys() - {different})
    )


def test_unjudged_pairs_are_an_atom_and_may_differ_too() -> None:
    half, none = side(300, 1), side(2000, 2)
    half["sureness"][:150] = -np.inf
    found = drift(half, none)
    assert found is not None
    assert "the judge is less sure" in found.text
    assert all(math.isfinite(value) for test in found.figures.values() for value in test.values())
    for one in (half, none):
        one["sureness"][:] = -np.inf
    assert drift(half, none) is None, "one level, the same on both sides"


def test_sure_beyond_any_number_is_a_level_like_others() -> None:
    """Bare verdicts: certain (inf), or no preference (-inf)."""
    calibration, pool = side(300, 1), side(2000, 2)
    calibration["sureness"], pool["sureness"] = np.full(300, np.inf), np.where(np.arange(2000) % 2, np.inf, -np.inf)
    found = drift(calibration, pool)
    assert found is not None
    assert found.figures["sureness"]["median_calibration"] == 1.0


def test_nan_is_an_error() -> None:
    bad = side(10, 1)
    bad["sureness"][3] = np.nan
    with pytest.raises(ValueError, match="sureness holds NaN"):
        drift(bad, side(20, 2))


def prompts(sizes: list[int], calibration: list[int]) -> Prompts:
    """Of the size of each prompt and how many of its pairs calibrate."""
    rows = []
    for size in sorted(set(sizes)):
        of = [used for total, used in zip(sizes, calibration, strict=True) if total == size]
        rows.append((size, len(of), sum(k > 0 for k in of), sum(0 < k < size for k in of), sum(of)))
    return Prompts(*(np.array(column) for column in zip(*rows, strict=True)))


def test_expected_prompts_is_the_mean_over_all_sets_of_pairs() -> None:
    sizes = [1, 2, 2, 3]
    owner = np.repeat(np.arange(4), sizes)
    for n in range(1, 9):
        seen = [len(set(owner[list(chosen)].tolist())) for chosen in combinations(range(8), n)]
        used = np.bincount(owner[:n], minlength=4).tolist()
        assert expected_prompts(prompts(sizes, used)) == pytest.approx(np.mean(seen)), n


def test_whole_prompts_are_told_from_single_pairs() -> None:
    sizes = [5] * 100
    whole = prompts(sizes, [5] * 10 + [0] * 90)
    found = repeated_prompts(whole, 0, 0.0, Guarantee.FDR)
    assert found is not None
    assert found.name == "whole prompts"
    assert "the 50 calibration pairs come from 10 prompts; drawn one by one they would come from about 41" in found.text

    rng = np.random.default_rng(1)
    names = Counter[str]()
    for _ in range(500):
        used = np.bincount(rng.choice(500, 50, replace=False) // 5, minlength=100).tolist()
        found = repeated_prompts(prompts(sizes, used), 0, 0.25, Guarantee.FDR)
        assert found is not None
        names[found.name] += 1
    assert names == {"repeated prompts": 500}
    assert "and 25% of the pairs share a response with those" in found.text


def test_pairs_that_curator_drew_are_doubted_under_pac_alone() -> None:
    used = prompts([5] * 100, [2] * 25 + [0] * 75)
    assert repeated_prompts(used, 50, 1.0, Guarantee.FDR) is None
    found = repeated_prompts(used, 50, 1.0, Guarantee.PAC)
    assert found is not None
    assert "pac speaks of pairs to come" in found.text
    alone = prompts([1] * 100, [1] * 50 + [0] * 50)
    assert repeated_prompts(alone, 0, 0.0, Guarantee.PAC) is None, "no prompt has two pairs"
    few = prompts([2] * 2 + [1] * 98, [1] * 2 + [1] * 48 + [0] * 50)
    assert repeated_prompts(few, 0, 0.0, Guarantee.FDR) is None, "two of fifty prompts have a pair in the pool"


def test_each_reason_for_not_calibrating_is_counted() -> None:
    assert refused_labels({}) == []
    found = refused_labels({"audit": 1, "offered": 12, "review": 0})
    assert [(one.name, one.figures["pairs"]) for one in found] == [("labels: offered", 12), ("labels: audit", 1)]
    assert found[0].text.startswith("12 labelled pairs do not calibrate: ")
    assert found[1].text.startswith("1 labelled pair does not calibrate: ")
    with pytest.raises(ValueError, match="unknown reasons: whim"):
        refused_labels({"whim": 1})


def test_a_draw_is_outgrown_only_where_labels_wait() -> None:
    assert outgrown_draw(0, 0) is None
    assert outgrown_draw(30, 0) is None, "to label in order is no mistake"
    found = outgrown_draw(1360, 120)
    assert isinstance(found, Doubt)
    assert (found.name, found.figures) == ("draw outgrown", {"pairs": 1360, "labels": 120})
    assert "1,360 pairs that came later would have been drawn too" in found.text
    assert "120 labelled pairs do not calibrate until" in found.text


def test_the_draw_and_the_tries() -> None:
    assert waiting_draw(0) is None
    assert earlier_tries(0) is None
    waiting, tries = waiting_draw(1200), earlier_tries(2)
    assert isinstance(waiting, Doubt)
    assert "1,200 pairs of the calibration draw have no label" in waiting.text
    assert tries is not None
    assert "found no threshold (2x)" in tries.text


def test_a_judge_that_is_worse_than_a_coin() -> None:
    assert worse_than_a_coin("j", 50, 100) is None
    assert worse_than_a_coin("j", 0, 0) is None
    assert worse_than_a_coin("j", 35, 100) is None  # once in six hundred is not rare enough
    found = worse_than_a_coin("j", 34, 100)
    assert found is not None
    assert found.figures["p"] == pytest.approx(0.000895, rel=0.01)
    assert "the judge j is right on 34 of 100 labelled pairs with a side" in found.text


def test_settings_that_were_decided_on_before() -> None:
    assert chosen_before(0) is None
    one, more = chosen_before(1), chosen_before(1200)
    assert one is not None
    assert one.text.startswith("1 other setting was decided on before with these labels at hand (judge, signal, ")
    assert more is not None
    assert more.text.startswith("1,200 other settings were decided on")
    assert more.figures == {"settings": 1200}


def test_uneven_answers() -> None:
    assert uneven_answers("j", (300, 300), (2000, 2000), 1) is None
    assert uneven_answers("j", (0, 0), (0, 0), 2) is None
    # All answered, against 2 of 100 that are not: hypergeometric, both tails.
    assert uneven_answers("j", (300, 300), (96, 100), 1) is None
    found = uneven_answers("j", (300, 300), (94, 100), 1)
    assert found is not None
    expected = math.comb(100, 6) / math.comb(400, 6)
    assert found.figures["p"] == pytest.approx(expected, rel=0.01)
    assert uneven_answers("j", (300, 300), (94, 100), math.ceil(LEVEL / expected)) is None, "each test at its share"
    assert "the judge j answered 300 of 300 calibration pairs, and 94 of 100 others" in found.text
    fewer = uneven_answers("j", (0, 300), (1_000_000, 1_000_000), 1)
    assert fewer is not None
    assert fewer.figures["calibration"] == [0, 300]
