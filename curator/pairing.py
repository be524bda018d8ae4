"""Which of several responses to a prompt are compared. Pure: chance comes from a seed and the content alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations, pairwise
from typing import Any

from curator.pair import Candidates, Pair, Response, Verdict, Vote, content_id

Placed = tuple[int, Response]
"""A response, and its place in the row, from 1."""


class Policy(StrEnum):
    """Which responses meet. None of these asks a judge: who meets whom must not depend on what a judge says.

    A pool that was chosen by the judge would be another one than the labelled pairs speak for, and the promise would be
    about something else. So the tournament is fixed beforehand too; winners do not meet winners.

    ALL: everybody meets everybody.
    ADJACENT: neighbours by score; neighbours in the file where no response has a score.
    BEST_WORST: the response with the largest score and that with the smallest.
    RANDOM: some pairs a prompt, each as likely as any other.
    TOURNAMENT: ceil(log2 n) rounds of a round robin (the circle method) over a random order: all n are connected, so
        that they can be ranked, by about n log2(n) / 2 pairs.
    """

    ALL = "all"
    ADJACENT = "adjacent"
    BEST_WORST = "best-worst"
    RANDOM = "random"
    TOURNAMENT = "tournament"


class NoPairs(ValueError):
    """A prompt whose responses give no pair."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """How pairs are made of the responses to a prompt.

    Attributes:
        most: for RANDOM, how many pairs a prompt gives at most.
        seed: of what is left to chance.
    """

    policy: Policy = Policy.ALL
    most: int | None = None
    seed: str = "0"

    def __post_init__(self) -> None:
        if (self.policy is Policy.RANDOM) != (self.most is not None) or (self.most is not None and self.most < 1):
            raise ValueError(f"random needs a number of pairs, 1 or more, and {self.policy} was given {self.most}")


def parse_pairing(text: str, seed: str = "0") -> Pairing:
    """A pairing as it is written on the command line: a policy, or one and a number ("random:3").

    Raises:
        ValueError: there is no such policy.
    """
    if found := re.fullmatch(r"random:([1-9][0-9]{0,8})", text, re.ASCII):
        return Pairing(Policy.RANDOM, int(found[1]), seed)
    try:
        return Pairing(Policy(text), seed=seed)
    except ValueError:
        names = ", ".join("random:K" if policy is Policy.RANDOM else policy for policy in Policy)
        raise ValueError(f"{text!r} is no way to pair responses; there are: {names}") from None


def pairs_of(candidates: Candidates, pairing: Pairing) -> Iterator[Pair]:
    """The pairs of a prompt, in the order in which their responses stand. Each text takes part once.

    Which of two responses becomes a is decided by a content hash, so that neither the order of the responses nor their
    scores can be told from it. Where the row has an id, that of a pair is `id#i-j`: a is the i-th response of the row
    and b the j-th, from 1. A vote's strength is the difference of the two scores: of ranks, the ranks between them.

    Raises:
        NoPairs: there is none, and why.
    """
    placed = distinct(candidates.responses)
    if len(placed) < 2:
        raise NoPairs("has no two different responses to compare")
    met = [tuple(sorted(pair, key=_place)) for pair in _meetings(candidates, placed, pairing)]
    if not met:
        raise NoPairs("has no two responses with different scores")
    for one, other in sorted(met, key=lambda pair: (pair[0][0], pair[1][0])):
        yield _pair(candidates, one, other)


def distinct(responses: Iterable[Response]) -> list[Placed]:
    """The responses of different texts, each where it stands first, with the mean of the scores that its text got."""
    found: dict[str, Placed] = {}
    scores: dict[str, list[float]] = {}
    for place, response in enumerate(responses, 1):
        found.setdefault(response.text, (place, response))
        if response.score is not None:
            scores.setdefault(response.text, []).append(response.score)
    return [
        (place, replace(response, score=math.fsum(given) / len(given) if (given := scores.get(text)) else None))
        for text, (place, response) in found.items()
    ]


def has_scores(responses: Iterable[Response]) -> bool | None:
    """Whether all of some responses have scores, or none of them; None: some have."""
    having = {response.score is not None for response in responses}
    return having.pop() if len(having) == 1 else None


def _meetings(candidates: Candidates, placed: list[Placed], pairing: Pairing) -> list[tuple[Placed, Placed]]:
    match pairing.policy:
        case Policy.ALL:
            met = list(combinations(placed, 2))
        case Policy.ADJACENT:
            if (scored := has_scores(one for _, one in placed)) is None:
                raise NoPairs("has scores for some of its responses only, and so no neighbours by them")
            met = list(pairwise(_by_score(placed) if scored else placed))
        case Policy.BEST_WORST:
            best = _by_score([one for one in placed if one[1].score is not None])
            if len(best) < 2:
                raise NoPairs("has no two responses with scores, which --pairs best-worst needs")
            # Equal scores have neither a best nor a worst.
            met = [(best[0], best[-1])] if best[0][1].score != best[-1][1].score else []
        case Policy.RANDOM:
            met = [pair for pair in combinations(placed, 2) if _says_something(candidates, *pair)]
            met = sorted(met, key=lambda pair: _chance(candidates, pairing, *pair))[: pairing.most]
        case Policy.TOURNAMENT:
            met = _circle(sorted(placed, key=lambda one: _chance(candidates, pairing, one)))
    return [pair for pair in met if _says_something(candidates, *pair)]


def _place(one: Placed) -> int:
    return one[0]


def _says_something(candidates: Candidates, one: Placed, other: Placed) -> bool:
    return candidates.ties or one[1].score is None or one[1].score != other[1].score


def _by_score(placed: list[Placed]) -> list[Placed]:
    """Best first; of equal scores a content hash decides."""
    return sorted(placed, key=lambda one: (-(one[1].score or 0.0), content_id(one[1].text)))


def _chance(candidates: Candidates, pairing: Pairing, *responses: Placed) -> str:
    """A random number for some responses, whatever their order."""
    return content_id(pairing.seed, candidates.prompt_id, *sorted(content_id(one.text) for _, one in responses))


def _circle(players: list[Placed]) -> list[tuple[Placed, Placed]]:
    """The first ceil(log2 n) rounds: one player stays, the others move on by one place a round.

    Two rounds that follow each other make one ring of all players, so that two are enough to connect them.

    >>> [(one, other) for one, other in _circle([1, 2, 3, 4])]
    [(1, 4), (2, 3), (1, 3), (4, 2)]
    """
    seats: list[Placed | None] = [*players, *([None] if len(players) % 2 else [])]
    met = []
    for _ in range(max(1, math.ceil(math.log2(len(players))))):
        half = len(seats) // 2
        for one, other in zip(seats[:half], reversed(seats[half:]), strict=True):
            if one is not None and other is not None:
                met.append((one, other))
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return met


def _pair(candidates: Candidates, *both: Placed) -> Pair:
    (i, a), (j, b) = sorted(both, key=lambda one: content_id(one[1].text))
    votes: tuple[Vote, ...] = ()
    if a.score is not None and b.score is not None:
        verdict = Verdict.TIE if a.score == b.score else Verdict.A if a.score > b.score else Verdict.B
        votes = (Vote(verdict, candidates.annotator, abs(a.score - b.score)),)
    own: dict[str, Any] = {}
    for side, response in (("a", a), ("b", b)):
        own |= {f"{name}_{side}": value for name, value in response.metadata.items()}
        own |= {} if response.model is None else {f"model_{side}": response.model}
    return Pair(
        prompt=candidates.prompt,
        response_a=a.text,
        response_b=b.text,
        votes=votes,
        source_id=None if candidates.source_id is None else f"{candidates.source_id}#{i}-{j}",
        metadata={**candidates.metadata, **own},
        file=candidates.file,
        line=candidates.line,
    )
