"""Which of several responses to a prompt are compared. Pure: chance comes from a seed and the content alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from curator.pair import Candidates, Pair, Response, Verdict, Vote, content_id


class Policy(StrEnum):
    """Which responses meet."""

    ALL = "all"


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


def parse_pairing(text: str, seed: str = "0") -> Pairing:
    """A pairing as it is written on the command line: a policy, or one and a number ("random:3").

    Raises:
        ValueError: there is no such policy.
    """
    try:
        return Pairing(Policy(text), seed=seed)
    except ValueError:
        raise ValueError(f"{text!r} is no way to pair responses; there are: {', '.join(Policy)}") from None


def pairs_of(candidates: Candidates, pairing: Pairing) -> Iterator[Pair]:
    """The pairs of a prompt; responses of one text are not paired.

    Which of two responses becomes a is decided by a content hash, so that neither the order of the responses nor their
    scores can be told from it.
    """
    for one, other in combinations(candidates.responses, 2):
        if one.text != other.text and (candidates.ties or one.score is None or one.score != other.score):
            yield _pair(candidates, one, other)


def _pair(candidates: Candidates, one: Response, other: Response) -> Pair:
    a, b = sorted((one, other), key=lambda response: content_id(response.text))
    votes: tuple[Vote, ...] = ()
    if a.score is not None and b.score is not None:
        verdict = Verdict.TIE if a.score == b.score else Verdict.A if a.score > b.score else Verdict.B
        votes = (Vote(verdict, candidates.annotator, abs(a.score - b.score)),)
    models = {f"model_{side}": response.model for side, response in (("a", a), ("b", b)) if response.model is not None}
    return Pair(
        prompt=candidates.prompt,
        response_a=a.text,
        response_b=b.text,
        votes=votes,
        source_id=candidates.source_id,
        metadata={**candidates.metadata, **models},
        file=candidates.file,
        line=candidates.line,
    )
