"""The arithmetic of cost, and the sample it rests on."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.pair import Message, Pair
from curator.planning import Machine, PromptSample, Work, amount, count_tokens, store_bytes


def pair(prompt: int, number: int = 0) -> Pair:
    return Pair((Message("user", f"prompt {prompt}"),), f"a {number}", f"b {number}")


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint32)


def test_gpu_hours_from_tokens() -> None:
    # 15M pairs x 2 orders x 812 tokens with 14B parameters at 400 TFLOP/s.
    work = Work(15e6 * 2 * 812, Machine(14 * 10**9, tflops=400, gpus=8, price=2.5))
    assert work.tokens == 24.36e9
    assert work.flops == 2 * 14e9 * 24.36e9
    assert work.gpu_hours == pytest.approx(473.667, abs=0.001)
    assert work.wall_hours == pytest.approx(473.667 / 8, abs=0.001)
    assert work.price == pytest.approx(1184.17, abs=0.01)
    assert Work(1.0, Machine(10**9)).price is None


def test_tokens_of_both_orders() -> None:
    # Rubric 9 9, prompt 1 or 2, then both responses.
    first, second = (ids(9, 9, 1, 5, 6), ids(9, 9, 1, 6, 5)), (ids(9, 9, 2, 5, 6), ids(9, 9, 2, 6, 5))
    tokens = count_tokens([[first], [second]])
    assert tokens.mean == 5
    assert tokens.sent(100) == 1_000
    assert (tokens.both.computed, tokens.one.computed) == (2 + 2 * (1 + 4), 2 + 2 * (1 + 2))
    assert tokens.orders == 12 / 8
    assert tokens.computed(2) == 12
    assert tokens.computed(100) == 2 + 100 * 5
    assert tokens.error == 0
    in_bytes = count_tokens([[first], [second]], divisor=4)
    assert (in_bytes.mean, in_bytes.sent(100), in_bytes.computed(2)) == (1.25, 250, 3)
    with pytest.raises(ValueError, match="no pairs"):
        count_tokens([])


def test_the_error_of_the_mean_is_over_prompts() -> None:
    def of_length(length: int) -> tuple[np.ndarray, np.ndarray]:
        return ids(*range(length)), ids(*range(length))

    # Equal groups of one length each: the error is that of a mean of two numbers, however many pairs a group has.
    groups = [[of_length(10)] * 50, [of_length(14)] * 50]
    assert count_tokens(groups, whole=False).error == pytest.approx(np.std([10, 14], ddof=1) / math.sqrt(2))
    assert count_tokens(groups[:1], whole=False).error is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("14B", 14 * 10**9), ("70b", 70 * 10**9), ("7e9", 7 * 10**9), ("0.5B", 5 * 10**8), ("1.5e3k", 1_500_000),
        ("15000000", 15_000_000), ("15M", 15_000_000), ("1T", 10**12), ("0.1B", 10**8), ("3.", 3),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, number: int) -> None:
    assert amount(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "B", "13 000 000", "13,000,000", "13_000", "-7B", "nan", "inf", "0", "0.5", "1e99", "7e-9", "١٤B", "0x9"],
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (whole )?number"):
        amount(text)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(1, 20),
    st.randoms(),
)
def test_the_sample_holds_whole_prompts_whatever_the_order(
    numbers: list[tuple[int, int]], wanted: int, rng: Random
) -> None:
    def sample(rows: list[tuple[int, int]]) -> PromptSample:
        taken = PromptSample(wanted)
        for row in rows:
            taken.add(pair(*row))
        return taken

    taken = sample(numbers)
    kept = {one.pair_id for prompt in taken.prompts for one in prompt}
    assert taken.rows == len(numbers)
    assert len(kept) >= min(wanted, len(set(numbers)))
    assert taken.whole == (len(kept) == len(set(numbers)))
    if taken.whole:
        assert taken.pairs == len(set(numbers))
    if wanted > 4:  # no prompt has more than four pairs
        prompts = {one.prompt_id for prompt in taken.prompts for one in prompt}
        assert kept == {pair(*row).pair_id for row in numbers if pair(*row).prompt_id in prompts}
        shuffled = rng.sample(numbers, len(numbers))
        assert {one.pair_id for prompt in sample(shuffled).prompts for one in prompt} == kept


def test_the_sample_is_bounded_and_tells_of_duplicates() -> None:
    taken = PromptSample(50)
    for number in range(3_000):
        taken.add(pair(number // 3, number % 3))
        taken.add(pair(number // 3, number % 3))
    sizes = [len(prompt) for prompt in taken.prompts]
    assert set(sizes) == {3}
    assert sum(sizes) == 51
    assert (taken.rows, taken.pairs, taken.whole) == (6_000, 3_000, False)
    one = PromptSample(50)
    for number in range(1_000):
        one.add(pair(0, number))
    assert [len(prompt) for prompt in one.prompts] == [50]
    assert (one.rows, one.pairs, one.whole) == (1_000, 1_000, False)


def test_which_prompts_are_kept_is_chance() -> None:
    """Prompts of 400 draws: each is kept as often as any other, wherever it stands in the file."""
    kept = np.zeros(20)
    for draw in range(400):
        taken = PromptSample(5)
        rows = [Pair((Message("user", f"{draw} {number}"),), "x", "y", line=number) for number in range(20)]
        for row in rows:
            taken.add(row)
        for prompt in taken.prompts:
            kept[prompt[0].line] += 1
    # 400 x 5 / 20 = 100 expected, standard deviation 8.7.
    assert kept.sum() == 2_000
    assert (np.abs(kept - 100) < 35).all()


def test_text_and_store_bytes() -> None:
    taken = PromptSample(5)
    taken.add(Pair((Message("user", "é"),), "abc", "de", metadata={"k": 1}))
    assert taken.text_bytes == 2 + 3 + 2 + len('{"k": 1}')
    assert store_bytes(1_000) == pytest.approx(840)
