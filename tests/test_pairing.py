"""Who meets whom: each policy against brute force, and by chance that depends on seed and content alone."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.pair import Candidates, Message, Pair, Response, Verdict
from curator.pairing import NoPairs, Pairing, Policy, distinct, pairs_of, parse_pairing

ASK = (Message("user", "q"),)
SCORE = st.none() | st.integers(0, 3).map(float)
RESPONSES = st.lists(st.builds(Response, st.sampled_from("abcdefg"), st.none(), SCORE), max_size=7)
EVERY = [Pairing(policy, 2 if policy is Policy.RANDOM else None) for policy in Policy]


def met(responses: list[Response], pairing: Pairing, *, ties: bool = True) -> list[frozenset[str]]:
    try:
        return [
            frozenset((p.response_a, p.response_b))
            for p in pairs_of(Candidates(ASK, tuple(responses), ties=ties), pairing)
        ]
    except NoPairs:
        return []


def of(*scores: float | None) -> list[Response]:
    return [Response(f"r{i}", score=score) for i, score in enumerate(scores)]


def plain(count: int) -> list[Response]:
    return of(*[None] * count)


def names(*pairs: str) -> set[frozenset[str]]:
    """{"01"} is {{"r0", "r1"}}."""
    return {frozenset((f"r{pair[0]}", f"r{pair[1]}")) for pair in pairs}


@pytest.mark.parametrize("pairing", EVERY)
@pytest.mark.parametrize("ties", [True, False])
@given(responses=RESPONSES)
def test_what_holds_of_every_policy(pairing: Pairing, ties: bool, responses: list[Response]) -> None:
    texts = {one.text: one for _, one in distinct(responses)}
    allowed = {
        frozenset(pair)
        for pair in combinations(texts, 2)
        if ties or texts[pair[0]].score is None or texts[pair[0]].score != texts[pair[1]].score
    }
    found = met(responses, pairing, ties=ties)
    assert len(set(found)) == len(found)
    assert set(found) <= allowed
    if pairing.policy is Policy.ALL:
        assert set(found) == allowed
    if pairing.policy is Policy.RANDOM:
        assert len(found) == min(2, len(allowed))
    if pairing.policy is not Policy.ADJACENT:  # which without scores goes by the order of the file
        assert set(found) == set(met(responses[::-1], pairing, ties=ties))


def test_adjacent() -> None:
    assert set(met(of(3, 1, 2, 0), Pairing(Policy.ADJACENT))) == names("02", "21", "13")
    assert set(met(plain(4), Pairing(Policy.ADJACENT))) == names("01", "12", "23")
    with pytest.raises(NoPairs, match="some of its responses only"):
        list(pairs_of(Candidates(ASK, tuple(of(3, None, 2))), Pairing(Policy.ADJACENT)))


def test_best_worst() -> None:
    assert met(of(2, 5, None, 1, 3), Pairing(Policy.BEST_WORST)) == list(names("13"))
    refused = ((plain(3), "needs"), (of(1, None), "needs"), (of(1, 1, 1), "different scores"), (of(1), "two different"))
    for responses, reason in refused:
        with pytest.raises(NoPairs, match=reason):
            list(pairs_of(Candidates(ASK, tuple(responses)), Pairing(Policy.BEST_WORST)))


def test_random_pairs_are_as_likely_as_each_other() -> None:
    draws = 3000
    counts = Counter(pair for seed in range(draws) for pair in met(plain(5), Pairing(Policy.RANDOM, 3, str(seed))))
    assert len(counts) == 10
    # Three of ten pairs each time: five standard deviations are 126.
    assert all(abs(count - 0.3 * draws) < 126 for count in counts.values())


def test_chance_is_of_the_seed_and_the_content() -> None:
    for pairing in (Pairing(Policy.RANDOM, 4, "s"), Pairing(Policy.TOURNAMENT, seed="s")):
        first = set(met(plain(6), pairing))
        assert all(set(met(list(order), pairing)) == first for order in permutations(plain(6)))
        other = [set(met(plain(6), Pairing(pairing.policy, pairing.most, str(seed)))) for seed in range(20)]
        assert any(found != first for found in other)


@pytest.mark.parametrize("count", range(2, 40))
def test_a_tournament_connects_all(count: int) -> None:
    pairs = met(plain(count), Pairing(Policy.TOURNAMENT))
    rounds = math.ceil(math.log2(count))
    assert len(pairs) == rounds * count // 2 if count % 2 == 0 else rounds * (count - 1) // 2
    played = Counter(name for pair in pairs for name in pair)
    assert max(played.values()) <= rounds
    reached = {"r0"}
    for _ in range(count):
        reached |= {name for pair in pairs if pair & reached for name in pair}
    assert len(reached) == count


def test_pairs_say_who_is_better_by_how_much_and_where_they_stood() -> None:
    responses = (Response("x", "m1", 4.0, {"note": 1}), Response("y", None, 1.5), Response("x", "m3", 2.0))
    (pair,) = pairs_of(Candidates(ASK, responses, "q7", "ann", metadata={"topic": "t"}, file="f", line=3), Pairing())
    x, y = ("a", "b") if pair.response_a == "x" else ("b", "a")
    (vote,) = pair.votes
    assert (vote.verdict, vote.annotator, vote.strength) == (Verdict(x), "ann", 1.5), "x has 3, the mean of 4 and 2"
    assert pair.source_id == ("q7#1-2" if x == "a" else "q7#2-1")
    assert pair.metadata == {"topic": "t", f"note_{x}": 1, f"model_{x}": "m1"}
    assert (pair.file, pair.line, y) == ("f", 3, "b" if x == "a" else "a")


@given(RESPONSES)
def test_ids_are_of_one_pair_each_and_sides_do_not_show_scores(responses: list[Response]) -> None:
    turned = [Response(one.text, score=None if one.score is None else -one.score) for one in responses]
    try:
        found, other = ([*pairs_of(Candidates(ASK, tuple(some), "i"), Pairing())] for some in (responses, turned))
    except NoPairs:
        return
    assert len({pair.source_id for pair in found}) == len(found)
    assert [_content(pair) for pair in found] == [_content(pair) for pair in other]
    swap = {Verdict.A: Verdict.B, Verdict.B: Verdict.A, Verdict.TIE: Verdict.TIE, None: None}
    assert [swap[pair.label] for pair in found] == [pair.label for pair in other]


def _content(pair: Pair) -> tuple[str, str | None]:
    return pair.pair_id, pair.source_id


def test_how_policies_are_written() -> None:
    assert parse_pairing("random:12", "s") == Pairing(Policy.RANDOM, 12, "s")
    assert parse_pairing("best-worst") == Pairing(Policy.BEST_WORST)
    for text in ("random:0", "random:-1", "all:3", "random", "random:", "best", "", "random:٣"):
        with pytest.raises(ValueError, match="there are: all, adjacent, best-worst, random:K, tournament"):
            parse_pairing(text)
    with pytest.raises(ValueError, match="random needs a number of pairs"):
        Pairing(Policy.RANDOM)
