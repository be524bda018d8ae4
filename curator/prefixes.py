"""How much of many prompts a server must compute when it forgets nothing: the measure of a prefix cache. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """What a prefix cache of unlimited size leaves to compute of some prompts, in tokens.

    Attributes:
        sent: tokens of all prompts.
        computed: the fewest that must be computed.
        common: tokens that all prompts begin with (part of `computed`, once).
    """

    prompts: int
    sent: int
    computed: int
    common: int

    def scaled(self, prompts: float) -> float:
        """`computed` for more, or fewer, prompts of the same kind; what all begin with does not grow with them."""
        return self.common + (self.computed - self.common) * prompts / self.prompts


def best_prefix_cache(prompts: Sequence[ArrayLike]) -> PrefixCache:
    """The least that any server can compute of some prompts: each distinct prefix once.

    In lexicographic order a prompt shares most with the one before it, so the tokens that follow this longest common
    prefix are all that it adds. The last token of a prompt is computed even where the same prompt came before: the
    answer is read there.

    Args:
        prompts: token ids, each of shape (n_tokens,), at least one token each; in any order.

    Raises:
        ValueError: a prompt is empty, or an id is no unsigned 32-bit integer.

    >>> best_prefix_cache([[1, 2, 3], [1, 2, 4, 5], [1, 2, 3]])
    PrefixCache(prompts=3, sent=10, computed=6, common=2)
    """
    # Big-endian, so that bytes sort as the numbers do.
    ordered = sorted(_ids(prompt).tobytes() for prompt in prompts)
    if not ordered:
        return PrefixCache(0, 0, 0, 0)
    before = ordered[0]
    sent = computed = len(before) // 4
    for prompt in ordered[1:]:
        length = len(prompt) // 4
        sent += length
        computed += max(1, length - _common_prefix(before, prompt))
        before = prompt
    return PrefixCache(len(ordered), sent, computed, _common_prefix(ordered[0], ordered[-1]))


def _ids(prompt: ArrayLike) -> NDArray[Any]:
    ids = np.asarray(prompt)
    if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= 2**32:
        raise ValueError("a prompt is one or more token ids, none of them negative or above 32 bits")
    return ids.astype(">u4")


def _common_prefix(one: bytes, other: bytes) -> int:
    """How many ids two prompts begin with alike."""
    count = min(len(one), len(other)) // 4
    differ = np.frombuffer(one, np.uint32, count) != np.frombuffer(other, np.uint32, count)
    first = int(differ.argmax()) if count else 0
    return first if count and differ[first] else count
