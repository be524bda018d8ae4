"""Left and right are what people see, a and b what a pair is made of: how each becomes the other."""

from __future__ import annotations

from collections.abc import Callable

from curator.pair import Verdict, first_by_hash
from curator.store import Store
from curator.store.audits import asked_again


def sides(store: Store) -> Callable[[str], str]:
    """Which response of a pair the queue shows left, a or b: the store's seed says, whatever a file says.

    A pair that people are asked about again shows its sides the other way round.
    """
    seed, again = store.seed, asked_again(store)
    return lambda pair_id: "a" if first_by_hash(seed, pair_id) != (pair_id in again) else "b"


def other_side(side: str) -> str:
    """b of a, and a of b."""
    return "b" if side == "a" else "a"


def verdict_of(label: str, left_side: str) -> Verdict:
    """What a person said about sides, about the responses.

    >>> verdict_of("left", "b"), verdict_of("both_bad", "b")
    (<Verdict.B: 'b'>, <Verdict.BOTH_BAD: 'both_bad'>)
    """
    if label == "left":
        return Verdict(left_side)
    if label == "right":
        return Verdict(other_side(left_side))
    return Verdict(label)


def label_of(verdict: str, left_side: str) -> str:
    """What a person said about the responses, about sides.

    >>> {label_of(verdict_of(said, left), left) == said for said in ("left", "right", "tie") for left in ("a", "b")}
    {True}
    """
    if verdict in {"a", "b"}:
        return "left" if verdict == left_side else "right"
    return verdict
