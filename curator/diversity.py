"""Finds what texts are about, roughly, so that people can be shown some of everything. Pure NumPy and SciPy.

Words are hashed and weighed (TF-IDF), and projected at random onto a few dimensions, in which k-means finds topics on a
sample. Everything is decided by texts and seed.
"""

from __future__ import annotations

import math
import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq
from scipy.sparse import csr_matrix

SAMPLE = 5_000
"""Texts that topics are found on: a random sample of more."""

MOST_TOPICS = 64
_BUCKETS, _DIMENSIONS, _ROUNDS = 1 << 14, 32, 20

# Where words are not spaced apart (Chinese, Japanese), every sign is one.
_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_SIGNS}]|[^\\W{_SIGNS}]+")

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
    seen = np.bincount(counted.indices, minlength=_BUCKETS)
    rare = np.log((1 + len(sample)) / (1 + seen))
    weights = rare[:, None] * random.standard_normal((_BUCKETS, _DIMENSIONS)) / math.sqrt(_DIMENSIONS)
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
    """How often each hashed word is in each text, as 1 + log; shape (n_texts, n_buckets)."""
    words = [_WORD.findall(text.lower()) for text in texts]
    bucket = {word: zlib.crc32(word.encode()) % _BUCKETS for word in set(chain.from_iterable(words))}
    ends = np.cumsum([0, *map(len, words)])
    indices = np.fromiter(map(bucket.__getitem__, chain.from_iterable(words)), np.int32, ends[-1])
    counted = csr_matrix((np.ones(len(indices)), indices, ends), shape=(len(texts), _BUCKETS))
    counted.sum_duplicates()
    counted.data = 1 + np.log(counted.data)
    return counted


def _placed(counted: csr_matrix, weights: Floats) -> Floats:
    """Texts as directions, shape (n_texts, n_dimensions); one without words stands in the middle."""
    places: Floats = counted @ weights
    length = np.linalg.norm(places, axis=1, keepdims=True)
    return places / np.where(length > 0, length, 1)
