"""Tells whether texts say nearly the same: sets of three-word runs, MinHash bands to find them, Jaccard to make sure.

Pure. Everything is decided by the texts: the permutations are fixed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUN, LONG_RUN = 3, 13
"""Words in a run: of those that similarity is measured by, and of those that show a text to stand in another."""

PERMUTATIONS, _SEED, _RECALL = 128, 1, 0.99

_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W_\u2e80-\u9fff\uf900-\ufaff]+")

Runs = frozenset[str]


def words_of(text: str) -> list[str]:
    """The words of a text without case and punctuation; a Chinese or Japanese sign is a word by itself.

    >>> words_of("Grüße,  WORLD of 世界!")
    ['grüsse', 'world', 'of', '世', '界']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def runs_of(text: str) -> Runs:
    """Every three words in a row; all of a shorter text; of one without words, the text itself.

    >>> sorted(runs_of("one Two three, four"))
    ['one two three', 'two three four']
    """
    words = words_of(text)
    if not words:
        return frozenset((text.strip(),))
    return frozenset(" ".join(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1)))


def jaccard(one: Runs, other: Runs) -> float:
    """Share of the runs of both that are in both, 0 to 1.

    >>> jaccard(frozenset("abc"), frozenset("bcd"))
    0.5
    """
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def near(one: Sequence[Runs], other: Sequence[Runs], similarity: float) -> bool:
    """Whether all parts of a text are at least so similar to those of another."""
    return all(
        min(len(a), len(b)) >= similarity * max(len(a), len(b)) and jaccard(a, b) >= similarity
        for a, b in zip(one, other, strict=True)
    )


@cache
def banding(similarity: float) -> tuple[int, int]:
    """How many bands of how many rows find two texts of that similarity in at least 99 of 100 cases.

    The most rows that do: the more there are, the fewer texts are compared in vain.

    >>> banding(0.8)
    (21, 6)

    Raises:
        ValueError: it is not over 0 and at most 1.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"a similarity is over 0 and at most 1, not {similarity}")
    for rows in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - similarity**rows) ** bands >= _RECALL:
            return bands, rows
    return PERMUTATIONS, 1


def bands_of(runs: Runs, similarity: float) -> list[int]:
    """A 32-bit number for each band; near texts share at least one in its place, and so do few others."""
    from datasketch import MinHash

    bands, rows = banding(similarity)
    made = MinHash(PERMUTATIONS, _SEED, hashfunc=zlib.crc32, permutations=_permutations(), scheme="affine32")
    made.update_batch([run.encode("utf-8", "surrogatepass") for run in runs])
    values = made.hashvalues
    return [zlib.crc32(values[i * rows : (i + 1) * rows].tobytes()) for i in range(bands)]


@cache
def _permutations() -> Any:
    from datasketch import MinHash

    return MinHash(PERMUTATIONS, _SEED, scheme="affine32").permutations


def long_runs(text: str) -> list[int]:
    """A 64-bit hash of every thirteen words in a row; of a shorter text, one of all its words; none without words."""
    words = words_of(text)
    if not words:
        return []
    return [
        int.from_bytes(
            hashlib.blake2b(" ".join(words[i : i + LONG_RUN]).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        )
        for i in range(max(1, len(words) - LONG_RUN + 1))
    ]


class Clusters:
    """Texts by number, from 0, joined where they are near; the least number of a cluster stands for it."""

    def __init__(self, first: NDArray[np.int64]) -> None:
        """
        Args:
            first: which number stands for each text so far, shape (n_texts,).
        """
        self._parent = first.copy()

    def __getitem__(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self[one], self[other]))
        self._parent[high] = low

    def several(self, numbers: Sequence[int]) -> bool:
        """Whether not all of these are in one cluster."""
        return any(self[one] != self[other] for one, other in pairwise(numbers))

    @property
    def roots(self) -> NDArray[np.int64]:
        """What stands for each text, shape (n_texts,)."""
        found = self._parent
        while not np.array_equal(found, above := found[found]):
            found = above
        return found
