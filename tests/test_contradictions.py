"""Verdicts that no ranking agrees with, against brute force over all rankings; strengths of several judges."""

from __future__ import annotations

from itertools import combinations, permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import contradictions as module
from curator.contradictions import KINDS, MOST_LOG_ODDS, Kind, contradictions, strength

RANKINGS = list(product(range(3), repeat=3))


def impossible(signs: tuple[int, int, int]) -> bool:
    """Whether no ranks of x, y, z, equal ones allowed, give these signs of x over y, y over z, z over x."""
    return not any(
        signs == tuple(int(np.sign(one - other)) for one, other in ((x, y), (y, z), (z, x))) for x, y, z in RANKINGS
    )


def brute(rows: list[tuple[int, int, int, float]]) -> tuple[int, dict[tuple[int, frozenset[int]], str]]:
    """Triples compared in every pairing, and those without a ranking, by prompt and responses."""
    means: dict[tuple[int, int, int], float] = {}
    for prompt, a, b, _ in rows:
        if a != b:
            key = (prompt, min(a, b), max(a, b))
            said = [v if x == key[1] else -v for p, x, y, v in rows if (p, *sorted((x, y))) == key]
            means[key] = float(np.mean(said))
    triples, found = 0, {}
    for prompt in {row[0] for row in rows}:
        nodes = sorted({node for p, *ends in means if p == prompt for node in ends})
        for x, y, z in combinations(nodes, 3):
            if all((prompt, *ends) in means for ends in ((x, y), (y, z), (x, z))):
                triples += 1
                signs = tuple(
                    int(np.sign(value)) for value in (means[prompt, x, y], means[prompt, y, z], -means[prompt, x, z])
                )
                if impossible(signs):  # type: ignore[arg-type]
                    kind = {0: "cycle", 1: "chain", 2: "equal"}[signs.count(0)]
                    found[prompt, frozenset((x, y, z))] = kind
    return triples, found


ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4), st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0])),
    max_size=30,
)


@given(rows=ROWS, chunk=st.integers(1, 9))
def test_it_finds_what_brute_force_finds_and_each_once(rows: list[tuple[int, int, int, float]], chunk: int) -> None:
    saved, module.CHUNK = module.CHUNK, chunk
    try:
        found = contradictions(*(np.array([row[i] for row in rows]) for i in range(4)))
    finally:
        module.CHUNK = saved
    triples, expected = brute(rows)
    assert found.triples == triples
    listed = {}
    for kind, responses, places, least in zip(found.kind, found.responses, found.rows, found.strength, strict=True):
        said = [rows[place] for place in places]
        prompt = said[0][0]
        assert all(row[0] == prompt for row in said)
        # The rows are about 1 and 2, 2 and 3, 3 and 1.
        around = [*responses, responses[0]]
        assert [{row[1], row[2]} for row in said] == [set(around[i : i + 2]) for i in range(3)]
        listed[prompt, frozenset(int(one) for one in responses)] = KINDS[kind].value
        assert 0 < least < np.inf
    assert listed == expected
    assert len(found.kind) == len(expected)
    assert sum(found.count(kind) for kind in Kind) == len(expected)


ONE = {">": 1.0, "=": 0.0, "<": -1.0}


@pytest.mark.parametrize(
    ("said", "kind", "responses"),
    [
        ("1>2 2>3 3>1", Kind.CYCLE, [1, 2, 3]),
        ("1<2 2<3 3<1", Kind.CYCLE, [1, 3, 2]),
        ("1=2 2=3 3>1", Kind.EQUAL, [1, 2, 3]),
        ("1=2 2=3 3<1", Kind.EQUAL, [3, 2, 1]),
        ("1=2 2>3 3=1", Kind.EQUAL, [3, 1, 2]),
        ("1>2 2>3 3=1", Kind.CHAIN, [1, 2, 3]),
        ("1=2 2<3 3<1", Kind.CHAIN, [1, 3, 2]),
        ("1>2 2>3 3<1", None, []),
        ("1=2 2=3 3=1", None, []),
        ("1=2 2>3 3<1", None, []),
    ],
)
def test_the_kinds_and_how_they_read(said: str, kind: Kind | None, responses: list[int]) -> None:
    """The first responses of a reading are better, or equal; it does not matter how the pairs are given."""
    words = said.split()
    for turned in product([False, True], repeat=3):
        for order in permutations(range(3)):
            rows = []
            for place in order:
                one, sign, other = words[place]
                ends, value = (int(one), int(other)), ONE[sign]
                rows.append((*(ends[::-1] if turned[place] else ends), -value if turned[place] else value))
            found = contradictions([5] * 3, *(np.array(column) for column in zip(*rows, strict=True)))
            assert found.triples == 1
            assert [KINDS[k] for k in found.kind] == ([kind] if kind else [])
            assert found.responses.tolist() == ([responses] if kind else [])


def test_the_weakest_preference_counts_and_bare_verdicts_are_no_nan() -> None:
    found = contradictions([0] * 4, [1, 2, 3, 2], [2, 3, 1, 1], [np.inf, 4.0, 2.0, -np.inf])
    assert (found.strength.tolist(), found.rows.tolist()) == ([2.0], [[0, 1, 2]])
    # Equal and opposite verdicts about the same two responses are a tie.
    opposite = contradictions([0] * 4, [1, 2, 3, 1], [2, 3, 1, 2], [np.inf, 4.0, 2.0, -np.inf])
    assert opposite.count(Kind.CHAIN) == 1
    with pytest.raises(ValueError, match="NaN"):
        contradictions([0], [1], [2], [np.nan])
    with pytest.raises(ValueError, match="one shape"):
        contradictions([0], [1, 2], [2], [1.0])


def test_equal_responses_of_different_prompts_are_different() -> None:
    assert contradictions([0, 0, 1], [1, 2, 3], [2, 3, 1], [1.0, 1.0, 1.0]).triples == 0


def test_a_prompt_with_many_responses_is_limited_and_said_so() -> None:
    a, b = np.array(list(combinations(range(30), 2))).T
    cyclic = np.where((b - a) % 2 == 1, 1.0, -1.0)
    whole = contradictions(np.zeros(a.size), a, b, cyclic)
    assert (whole.triples, whole.limited) == (30 * 29 * 28 // 6, 0)
    part = contradictions(np.zeros(a.size), a, b, cyclic, most=10)
    assert (part.triples, part.limited, part.most) == (120, 1, 10)
    few = (a < 10) & (b < 10)
    assert part.kind.size == contradictions(np.zeros(int(few.sum())), a[few], b[few], cyclic[few]).kind.size > 0


@given(
    replies=st.lists(st.tuples(st.integers(0, 5), st.floats(-60, 60) | st.sampled_from([np.inf, -np.inf])), min_size=1)
)
def test_strengths_are_the_mean_and_spread_of_each_pair(replies: list[tuple[int, float]]) -> None:
    numbers: Any = sorted({pair for pair, _ in replies})
    found = strength([numbers.index(pair) for pair, _ in replies], [value for _, value in replies], len(numbers))
    for i, number in enumerate(numbers):
        said = np.clip([value for pair, value in replies if pair == number], -MOST_LOG_ODDS, MOST_LOG_ODDS)
        p = 1 / (1 + np.exp(-said))
        assert found.judges[i] == said.size
        assert found.log_odds[i] == pytest.approx(said.mean(), abs=1e-12)
        assert (found.preference[i], found.spread[i]) == pytest.approx((p.mean(), p.std()), abs=1e-9)


@pytest.mark.parametrize(
    ("log_odds", "contradicted", "ambiguous"),
    [
        ([-2.0], True, False),
        ([2.0], False, False),
        ([0.0], False, True),
        ([-2.0, -2.0, -np.inf], True, False),
        ([-3.0, 2.0], False, True),
        ([0.1, 3.0, -3.0], False, True),
        ([np.inf, np.inf, 1.0], False, False),
    ],
)
def test_what_is_contradicted_and_what_ambiguous(log_odds: list[float], contradicted: bool, ambiguous: bool) -> None:
    found = strength([0] * len(log_odds), log_odds, 1)
    assert (found.contradicted.tolist(), found.ambiguous.tolist()) == ([contradicted], [ambiguous])


@pytest.mark.parametrize(
    ("pair", "values", "n"), [([0], [np.nan], 1), ([0], [1.0], 2), ([1], [1.0], 1), ([0, 0], [1.0], 1)]
)
def test_strengths_of_nothing_are_refused(pair: list[int], values: list[float], n: int) -> None:
    with pytest.raises(ValueError, match="must"):
        strength(pair, values, n)
