"""Finds what texts are about, roughly, so that people can be shown some of everything. Pure NumPy and SciPy.

Words are hashed and weighed (TF-IDF), and projected at random onto a few dimensions, in which k-means finds topics on a
sample. Everything is decided by texts and seed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq
from scipy.sparse import csr_matrix

SAMPLE = 5_000
"""Texts that topics are found on: a random sample of more."""

MOST_TOPICS = 64
_BITS, _DIMENSIONS, _ROUNDS = 14, 32, 20

# Of UTF-8: letters and digits make words, and so does what follows a first byte over ASCII. The signs that begin with
# these bytes are words by themselves: Chinese and Japanese do not space words apart, and punctuation is none of a word.
_IN_WORD = np.array([byte > 127 or chr(byte).isalnum() for byte in range(256)])
_IS_SIGN = np.array([0xE2 <= byte <= 0xE9 or byte == 0xEF for byte in range(256)])
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of a sample of texts.

    Attributes:
        weights: of each hashed word in each dimension, shape (n_buckets, n_dimensions).
        centres: shape (n_topics, n_dimensions).
    """

    weights: Floats
    centres: Floats

    def nearest(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The topic of each text, from 0; shape (n_texts,)."""
        if not texts:
            return np.empty(0, np.int32)
        return vq(_placed(_counted(texts), self.weights), self.centres)[0].astype(np.int32)


def find_topics(sample: Sequence[str], seed: int) -> Topics:
    """Topics of some texts: about the square root of their number, `MOST_TOPICS` at most.

    >>> cooking = ["boil rice with salt", "salt the rice and boil it"]
    >>> sailing = ["sail into the harbour", "the harbour, and a sail"]
    >>> find_topics([*cooking, *sailing], seed=1).nearest([*sailing, *cooking]).tolist()
    [1, 1, 0, 0]
    """
    random = np.random.default_rng(seed)
    counted = _counted(sample)
    seen = np.bincount(counted.indices, minlength=1 << _BITS)
    # A word of one text alone, such as a number, brings no two texts together: it would only blur them.
    rare = np.where(seen > 1, np.log((1 + len(sample)) / (1 + seen)), 0)
    weights = rare[:, None] * random.standard_normal((1 << _BITS, _DIMENSIONS)) / math.sqrt(_DIMENSIONS)
    placed = _placed(counted, weights)
    different = np.unique(placed, axis=0)
    count = min(max(1, round(math.sqrt(len(sample)))), MOST_TOPICS, len(different))
    if count < 2:
        return Topics(weights, np.zeros((1, _DIMENSIONS)))
    with warnings.catch_warnings():  # a topic may lose all its texts: it then stays where it is, and harms nobody
        warnings.simplefilter("ignore", UserWarning)
        centres, _ = kmeans2(placed, count, iter=_ROUNDS, minit="++", seed=random)
    return Topics(weights, centres)


def _counted(texts: Sequence[str]) -> csr_matrix:
    """How often each hashed word is in each text, as 1 + log; shape (n_texts, n_buckets).

    A word's hash is that of its bytes as the digits of a number, and the number a difference of running sums: no word
    is ever a Python object.
    """
    encoded = [text.lower().encode() for text in texts]
    data = np.frombuffer(b" ".join([*encoded, b" "]), np.uint8)
    within, sign = _IN_WORD[data], _IS_SIGN[data]
    # A sign has three bytes. What rolls over the end says nothing: spaces stand there.
    first = within & (sign | ~np.roll(within, 1) | np.roll(sign, 3))
    last = within & ~np.roll(within & ~first, -1)
    starts, ends = np.flatnonzero(first), np.flatnonzero(last) + 1
    bits = data.size.bit_length()
    digits = np.cumsum(data * _powers(_BASE, bits)[: data.size])
    number = digits[ends - 1] - np.where(starts > 0, digits[starts - 1], 0)
    hashed = (number * _powers(_INVERSE, bits)[starts] * np.uint64(_BASE)) >> np.uint64(64 - _BITS)
    bounds = np.searchsorted(starts, np.cumsum([0, *(len(text) + 1 for text in encoded)]))
    counted = csr_matrix((np.ones(starts.size), hashed.astype(np.int32), bounds), shape=(len(texts), 1 << _BITS))
    counted.sum_duplicates()
    counted.data = 1 + np.log(counted.data)
    return counted


@cache
def _powers(base: int, bits: int) -> NDArray[np.uint64]:
    """base, base squared, ... modulo 2 ** 64; shape (2 ** bits,)."""
    powers: NDArray[np.uint64] = np.multiply.accumulate(np.full(1 << bits, base, np.uint64))
    return powers


def _placed(counted: csr_matrix, weights: Floats) -> Floats:
    """Texts as directions, shape (n_texts, n_dimensions); one without words stands in the middle."""
    places: Floats = counted @ weights
    length = np.linalg.norm(places, axis=1, keepdims=True)
    return places / np.where(length > 0, length, 1)
