"""Verdicts that cannot all be right: among the pairs of one prompt, and between people and judges. Pure NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_LOG_ODDS = 53 * float(np.log(2))
"""A judge counts as no surer than this, one rounding step from certain: a bare verdict is infinitely sure, and means of
infinities are none."""

MOST_RESPONSES = 64
"""Responses of one prompt among which triples are sought. They have 41,664 triples; ten times as many would have a
thousand times as many."""

CHUNK = 1 << 20
"""Paths of two pairs that are looked at together."""


class Kind(StrEnum):
    """How three verdicts about three responses contradict each other: no ranking, ties allowed, agrees with them."""

    CYCLE = "cycle"  # 1 > 2 > 3, yet 3 > 1
    EQUAL = "equal"  # 1 = 2 = 3, yet 3 > 1
    CHAIN = "chain"  # 1 > 2 > 3, yet 3 = 1


KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Contradictions:
    """Contradicting triples of verdicts, each once, and among how many.

    Attributes:
        triples: triples of responses that were compared with each other in every pairing.
        limited: prompts with more than `most` responses, of which only so many were looked at.
        most: see there.
        kind: shape (n,); places in `KINDS`.
        responses: shape (n, 3); the responses 1, 2 and 3 of the kind.
        rows: shape (n, 3); the verdicts about 1 and 2, 2 and 3, 3 and 1, as places in the input.
        strength: shape (n,); |strength| of the weakest of the verdicts that are no tie.
    """

    triples: int
    limited: int
    most: int
    kind: Ints
    responses: NDArray[np.uint64]
    rows: Ints
    strength: Floats

    def count(self, kind: Kind) -> int:
        return int(np.count_nonzero(self.kind == KINDS.index(kind)))


def contradictions(
    prompt: ArrayLike, a: ArrayLike, b: ArrayLike, strength: ArrayLike, *, most: int = MOST_RESPONSES
) -> Contradictions:
    """Find the contradicting triples among the verdicts about the pairs of each prompt.

    Several pairs of the same two responses count as one, with their mean strength.

    Args:
        prompt: a number for each verdict's prompt, shape (n_pairs,).
        a, b: a number for each response, shape (n_pairs,): equal texts of one prompt have equal numbers.
        strength: above 0 where a is better, below where b is, 0 for a tie; shape (n_pairs,), may be infinite.
        most: of a prompt with more responses, those with the smallest numbers are looked at.

    Raises:
        ValueError: shapes differ, or a strength is NaN.

    >>> found = contradictions([7] * 3, [1, 2, 3], [2, 3, 1], [0.5, 2.0, 1.0])
    >>> found.triples, found.count(Kind.CYCLE), found.responses.tolist(), found.strength.tolist()
    (1, 1, [[1, 2, 3]], [0.5])
    """
    prompts, first, second = (np.asarray(column, dtype=np.uint64) for column in (prompt, a, b))
    values = np.asarray(strength, dtype=np.float64)
    if not prompts.shape == first.shape == second.shape == values.shape:
        raise ValueError("prompt, a, b and strength must have one shape")
    if np.isnan(values).any():
        raise ValueError("a strength is NaN; leave pairs without a verdict out")
    prompt_of, response, ends = _responses(np.tile(prompts, 2), np.concatenate([first, second]))
    _, start, size = np.unique(prompt_of, return_index=True, return_counts=True)
    kept = np.arange(response.size) - np.repeat(start, size) < most
    left, right = ends.reshape(2, -1)
    rows = np.flatnonzero(kept[left] & kept[right] & (left != right))
    edges = _edges(left[rows], right[rows], np.clip(values[rows], -MOST_LOG_ODDS, MOST_LOG_ODDS), response.size)
    triples, parts = 0, []
    for found in _triangles(edges):
        triples += len(found)
        parts.append(_contradicting(edges, found))
    kind, around, at, least = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else _nothing()
    return Contradictions(
        triples, int(np.count_nonzero(size > most)), most, kind, response[around], rows[edges.row[at]], least
    )


def _responses(
    prompt: NDArray[np.uint64], response: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], Ints]:
    """The distinct responses of each prompt, prompt by prompt, and the place of every given one among them."""
    order = np.lexsort((response, prompt))
    prompt, response = prompt[order], response[order]
    new = np.ones(order.size, dtype=bool)
    new[1:] = (prompt[1:] != prompt[:-1]) | (response[1:] != response[:-1])
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    return prompt[new], response[new], place


def _nothing() -> tuple[Ints, Ints, Ints, Floats]:
    return np.empty(0, np.int64), np.empty((0, 3), np.int64), np.empty((0, 3), np.int64), np.empty(0)


@dataclass(frozen=True, slots=True)
class _Edges:
    """What is said about each two responses, sorted: low < high, and the sign is that of low over high."""

    low: Ints
    high: Ints
    strength: Floats
    row: Ints
    nodes: int


def _edges(left: Ints, right: Ints, strength: Floats, nodes: int) -> _Edges:
    low, high = np.minimum(left, right), np.maximum(left, right)
    key, row, which, votes = np.unique(low * nodes + high, return_index=True, return_inverse=True, return_counts=True)
    total = np.bincount(which, np.where(left < right, strength, -strength), minlength=key.size)
    return _Edges(key // max(nodes, 1), key % max(nodes, 1), total / votes, row, nodes)


def _triangles(edges: _Edges) -> Iterator[Ints]:
    """Places of the three edges x-y, y-z, x-z of each triangle x < y < z, some at a time; shape (n, 3)."""
    start, end = (np.searchsorted(edges.low, edges.high, side) for side in ("left", "right"))
    key = edges.low * edges.nodes + edges.high
    paths = np.concatenate([[0], np.cumsum(end - start)])
    begin = 0
    while begin < edges.low.size:
        stop = max(begin + 1, int(np.searchsorted(paths, paths[begin] + CHUNK, "right")) - 1)
        counts = paths[begin + 1 : stop + 1] - paths[begin:stop]
        one = np.repeat(np.arange(begin, stop), counts)
        two = np.arange(one.size) + paths[begin] - paths[one] + start[one]
        closing = edges.low[one] * edges.nodes + edges.high[two]
        three = np.minimum(np.searchsorted(key, closing), key.size - 1)
        there = key[three] == closing
        yield np.stack([one[there], two[there], three[there]], axis=1)
        begin = stop


def _contradicting(edges: _Edges, triangle: Ints) -> tuple[Ints, Ints, Ints, Floats]:
    """Kind, responses, edges and least strength of those triangles that contradict themselves."""
    # Around the circle x, y, z, x: the third edge is stored the other way.
    value = edges.strength[triangle] * np.array([1, 1, -1])
    sign = np.sign(value).astype(np.int64)
    ties, total = np.count_nonzero(sign == 0, axis=1), sign.sum(axis=1)
    bad = (np.abs(total) + ties == 3) & (ties < 3)
    triangle, value, sign, ties, total = triangle[bad], value[bad], sign[bad], ties[bad], total[bad]
    around = np.stack([edges.low[triangle[:, 0]], edges.high[triangle[:, 0]], edges.high[triangle[:, 1]]], axis=1)
    # Where the circle runs against the verdicts it is walked the other way round: x, z, y, x.
    back = (total < 0)[:, None]
    around = np.where(back, around[:, [0, 2, 1]], around)
    triangle = np.where(back, triangle[:, [2, 1, 0]], triangle)
    tie = np.where(back, sign[:, [2, 1, 0]], sign) == 0
    value = np.abs(np.where(back, value[:, [2, 1, 0]], value))
    # What is unlike the two others comes last.
    odd = np.where(ties == 1, tie.argmax(axis=1), np.where(ties == 2, (~tie).argmax(axis=1), 2))
    turn = (np.arange(3) + odd[:, None] + 1) % 3
    triangle, around = (np.take_along_axis(array, turn, axis=1) for array in (triangle, around))
    kinds = np.array([KINDS.index(Kind.CYCLE), KINDS.index(Kind.CHAIN), KINDS.index(Kind.EQUAL)])
    return kinds[ties], around, triangle, np.where(tie, np.inf, value).min(axis=1, initial=np.inf)


@dataclass(frozen=True, slots=True)
class Strength:
    """What judges make of each human verdict. Every array has shape (n_pairs,).

    Attributes:
        log_odds: of the response that people chose, averaged over judges; below 0, they prefer the other.
        preference: their mean probability that it is better, in [0, 1].
        spread: standard deviation of that probability over judges; 0 where there is one judge.
        judges: how many judged the pair.
    """

    log_odds: Floats
    preference: Floats
    spread: Floats
    judges: Ints

    @property
    def ambiguous(self) -> NDArray[np.bool_]:
        """Where judges have no preference, or disagree by as much as they have."""
        return np.asarray(np.abs(self.preference - 0.5) <= self.spread)

    @property
    def contradicted(self) -> NDArray[np.bool_]:
        return np.asarray((self.preference < 0.5) & ~self.ambiguous)


def strength(pair: ArrayLike, log_odds: ArrayLike, n_pairs: int) -> Strength:
    """Mean and spread over judges of the preference for what people chose.

    The spread is that of probabilities: on the scale of log-odds, one judge who is very sure would make judges who
    agree look divided.

    Args:
        pair: which pair each reply is about, 0 to n_pairs - 1; shape (n_replies,). Each pair has a reply at least.
        log_odds: a judge's log-odds, averaged over both orders, of the response that people chose; shape (n_replies,).
            Counted as `MOST_LOG_ODDS` at most.

    Raises:
        ValueError: shapes differ, a value is NaN, or a pair has no reply.

    Source: Wang et al., Secrets of RLHF in Large Language Models Part II, arXiv:2401.06080: over several reward models,
    a low mean preference marks labels that are likely wrong, one near indifference ambiguous pairs.

    >>> found = strength([0, 0, 1], [0.0, 2.0, -2.0], 2)
    >>> found.log_odds.tolist(), found.preference.round(3).tolist(), found.spread.round(3).tolist()
    ([1.0, -2.0], [0.69, 0.119], [0.19, 0.0])
    """
    place, values = np.asarray(pair, dtype=np.int64), np.asarray(log_odds, dtype=np.float64)
    if place.shape != values.shape or np.isnan(values).any():
        raise ValueError("pair and log_odds must have one shape, and no value may be NaN")
    judges = np.bincount(place, minlength=n_pairs)
    if judges.size != n_pairs or not judges.all():
        raise ValueError(f"each of the {n_pairs} pairs must have a reply, and no other")
    values = np.clip(values, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    chosen = 1 / (1 + np.exp(-values))
    mean = np.bincount(place, chosen, minlength=n_pairs) / judges
    spread = np.sqrt(np.bincount(place, (chosen - mean[place]) ** 2, minlength=n_pairs) / judges)
    return Strength(np.bincount(place, values, minlength=n_pairs) / judges, mean, spread, judges)
