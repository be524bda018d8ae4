"""The best possible prefix cache against a trie that counts its nodes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.prefixes import PrefixCache, best_prefix_cache

few_ids = st.lists(st.integers(0, 2), min_size=1, max_size=6)
wide_ids = st.lists(st.sampled_from([0, 1, 255, 256, 257, 65_535, 65_536, 2**32 - 1]), min_size=1, max_size=4)


def by_trie(prompts: Iterable[Sequence[int]]) -> int:
    """Nodes of the trie, and one token for each prompt that ends where another has ended."""
    trie: dict[int, dict] = {}  # type: ignore[type-arg]
    ends: set[tuple[int, ...]] = set()
    computed = 0
    for prompt in prompts:
        node = trie
        for token in prompt:
            computed += token not in node
            node = node.setdefault(token, {})
        computed += tuple(prompt) in ends
        ends.add(tuple(prompt))
    return computed


@given(st.lists(few_ids | wide_ids, min_size=1, max_size=12))
def test_brute_force_agrees(prompts: list[list[int]]) -> None:
    found = best_prefix_cache(prompts)
    assert (found.prompts, found.sent) == (len(prompts), sum(map(len, prompts)))
    assert found.computed == by_trie(prompts)
    # Whatever the order in which a cache meets the prompts, it computes no fewer.
    assert best_prefix_cache(prompts[::-1]) == found
    shortest = min(map(len, prompts))
    assert found.common == next((i for i in range(shortest) if len({p[i] for p in prompts}) > 1), shortest)


def test_a_prompt_that_begins_another_and_a_prompt_twice() -> None:
    assert best_prefix_cache([[1, 2, 3, 4], [1, 2], [1, 2]]) == PrefixCache(3, 8, 5, 2)
    assert best_prefix_cache([]) == PrefixCache(0, 0, 0, 0)


def test_scaling_counts_what_all_begin_with_once() -> None:
    cache = best_prefix_cache([[7, 7, 7, i, i] for i in range(10)])
    assert cache == PrefixCache(10, 50, 23, 3)
    assert cache.scaled(10) == 23
    assert cache.scaled(1_000) == 3 + 1_000 * 2


@pytest.mark.parametrize("prompt", [[], [-1], [2**32], [0.5], [[1]]])
def test_what_is_no_prompt(prompt: list[int]) -> None:
    with pytest.raises(ValueError, match="a prompt is"):
        best_prefix_cache([[1], prompt])


def test_thousands_of_long_prompts_take_seconds() -> None:
    rng = np.random.default_rng(0)
    rubric, texts = rng.integers(0, 50_000, 500), rng.integers(0, 50_000, (10_000, 500))
    texts[:, 0] = np.arange(10_000)
    start = time.monotonic()
    found = best_prefix_cache([np.concatenate([rubric, text]) for text in texts])
    assert found == PrefixCache(10_000, 10_000_000, 500 + 5_000_000, 500)
    assert time.monotonic() - start < 10
