"""What judging will cost, before anything is rented: from pairs x tokens x parameters to GPU-hours. Pure NumPy.

A prefill computes about 2 floating-point operations a parameter and token (one multiplication, one addition); a judge
that is asked for one token does little else. Attention adds 4 x layers x width x context / 2 a token, some 2% for a 14B
model and 1,000 tokens, and is left out.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curator.pair import Pair
from curator.prefixes import PrefixCache, best_prefix_cache

GPU_TFLOPS = 400
"""What a GPU is taken to reach: about 40% of an H100 SXM's dense bf16 peak of 989."""

BYTES_A_TOKEN = (5.0, 4.0, 3.0)
"""UTF-8 bytes of a token where no tokenizer is at hand: few tokens, the estimate, many tokens.

Judge prompts of seven sets of English pairs hold 3.9 to 4.7 bytes a token of SmolLM2's tokenizer (49,152 tokens).
Larger vocabularies take more bytes; code and numbers, and scripts that a tokenizer knows badly, fewer.
"""


@dataclass(slots=True)
class PromptSample:
    """A random sample of whole prompts with all of their pairs, taken from a stream in bounded memory.

    The prompts whose content hash is smallest are kept: a new one drives out the largest as long as `wanted` pairs are
    left. What is kept of a prompt is complete, since one that was driven out, or that came too late, never comes back.
    Only of a prompt with more pairs than `wanted` the first ones are kept.

    Attributes:
        wanted: distinct pairs to keep, at least.
        rows: pairs seen, duplicates included.
        whole: whether everything seen is kept.
    """

    wanted: int
    rows: int = 0
    whole: bool = True
    _kept: dict[str, dict[str, Pair]] = field(default_factory=dict)
    _largest: list[tuple[int, str]] = field(default_factory=list)
    _bound: str = "g"  # after every hex digit
    _pairs: int = 0
    _rows_of: dict[str, int] = field(default_factory=dict)

    def add(self, pair: Pair) -> None:
        """See one more pair of the stream."""
        self.rows += 1
        prompt_id = pair.prompt_id
        if prompt_id >= self._bound:
            self.whole = False
            return
        if prompt_id not in self._kept:
            self._kept[prompt_id] = {}
            heapq.heappush(self._largest, (-int(prompt_id, 16), prompt_id))
        pairs, before = self._kept[prompt_id], len(self._kept[prompt_id])
        pair_id = pair.pair_id
        if before >= self.wanted and pair_id not in pairs:
            self.whole = False
            return
        pairs.setdefault(pair_id, pair)
        self._pairs += len(pairs) - before
        self._rows_of[prompt_id] = self._rows_of.get(prompt_id, 0) + 1
        while self._pairs - len(self._kept[self._largest[0][1]]) >= self.wanted:
            self._drop(heapq.heappop(self._largest)[1])

    def _drop(self, prompt_id: str) -> None:
        self._pairs -= len(self._kept.pop(prompt_id))
        del self._rows_of[prompt_id]
        self._bound, self.whole = prompt_id, False

    @property
    def prompts(self) -> list[list[Pair]]:
        """The distinct pairs of each prompt that was kept."""
        return [list(pairs.values()) for pairs in self._kept.values()]

    @property
    def pairs(self) -> int:
        """Distinct pairs among all that were seen: exact where everything is kept, else as in the sample."""
        return round(self.rows * self._pairs / sum(self._rows_of.values())) if self.rows else 0

    @property
    def text_bytes(self) -> float:
        """Mean UTF-8 bytes of a kept pair: its prompt, responses and other fields."""
        kept = [pair for pairs in self._kept.values() for pair in pairs.values()]
        return sum(_text_bytes(pair) for pair in kept) / len(kept) if kept else 0.0


def _text_bytes(pair: Pair) -> int:
    texts = [message.content for message in pair.prompt]
    texts += [pair.response_a, pair.response_b, json.dumps(pair.metadata, ensure_ascii=False)]
    return sum(len(text.encode()) for text in texts)


STORE_BYTES = (270.0, 0.57)
"""Bytes of the store a judged pair takes: for ids, judgments and scores, and for each byte of its text.

Measured on stores of 20,000 pairs of .5, 1.9 and 5.4 KB of English, judged in both orders; one of 60,000 pairs was 11%
smaller than this says.
"""


def store_bytes(text_bytes: float) -> float:
    """Size of the store a judged pair, from the UTF-8 bytes of its prompt, responses and other fields."""
    return STORE_BYTES[0] + STORE_BYTES[1] * text_bytes


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of the judge prompts of a sample.

    Attributes:
        both, one: prompts of both orders, and of the order ab alone.
        divisor: how many of the counted units make a token: 1 with a tokenizer; bytes a token without.
        error: standard error of `mean`, over prompt groups; 0 where the sample is `whole`, None where there is but
            one group.
    """

    both: PrefixCache
    one: PrefixCache
    divisor: float
    error: float | None

    @property
    def mean(self) -> float:
        """Tokens of one judge prompt."""
        return self.both.sent / self.both.prompts / self.divisor

    def sent(self, pairs: float) -> float:
        """Tokens of all judge prompts of so many pairs, both orders."""
        return 2 * pairs * self.mean

    def computed(self, pairs: float) -> float:
        """Of these, the tokens that must be computed with a perfect prefix cache."""
        return self.both.scaled(2 * pairs) / self.divisor

    @property
    def orders(self) -> float:
        """What both orders cost over one, with a perfect prefix cache."""
        return self.both.computed / self.one.computed


Ids = NDArray[np.uint32] | NDArray[np.uint8]
"""A judge prompt: token ids, or bytes; shape (n_tokens,)."""

Questions = tuple[Ids, Ids]
"""The judge prompts of one pair: order ab, order ba."""


def count_tokens(groups: Sequence[Sequence[Questions]], *, divisor: float = 1.0, whole: bool = True) -> Tokens:
    """Count the judge prompts of a sample.

    Args:
        groups: the pairs of each prompt.
        divisor: how many ids make a token, where they are bytes.
        whole: whether the sample is everything that is reckoned for.

    Raises:
        ValueError: there is no pair.
    """
    pairs = [pair for group in groups for pair in group]
    if not pairs:
        raise ValueError("no pairs")
    both = best_prefix_cache([prompt for pair in pairs for prompt in pair])
    one = best_prefix_cache([ab for ab, _ in pairs])
    tokens = [sum(ab.size + ba.size for ab, ba in group) / divisor for group in groups]
    error = 0.0 if whole else _cluster_error(tokens, [2 * len(group) for group in groups])
    return Tokens(both, one, divisor, error)


def _cluster_error(total: Sequence[float], count: Sequence[int]) -> float | None:
    """Standard error of sum(total) / sum(count) over clusters (a ratio estimate, linearised)."""
    if len(total) < 2:
        return None
    totals, counts = np.asarray(total), np.asarray(count)
    residual = totals - totals.sum() / counts.sum() * counts
    return float(np.sqrt(totals.size / (totals.size - 1) * np.square(residual).sum()) / counts.sum())


@dataclass(frozen=True, slots=True)
class Machine:
    """What judges: a model and the GPUs it runs on.

    Attributes:
        parameters: those that one token passes through (the active ones of a mixture of experts).
        tflops: bf16 matrix products that a GPU really reaches, in 10^12 operations a second.
        price: of one GPU-hour, in any currency; None: not asked.
    """

    parameters: int
    tflops: float = GPU_TFLOPS
    gpus: int = 1
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens to compute and what follows from them."""

    tokens: float
    machine: Machine

    @property
    def flops(self) -> float:
        return 2 * self.machine.parameters * self.tokens

    @property
    def gpu_hours(self) -> float:
        return self.flops / (self.machine.tflops * 1e12) / 3600

    @property
    def wall_hours(self) -> float:
        return self.gpu_hours / self.machine.gpus

    @property
    def price(self) -> float | None:
        return None if self.machine.price is None else self.gpu_hours * self.machine.price


_AMOUNT = re.compile(r"(\d+(?:\.\d*)?(?:e\+?\d{1,2})?)([kmbgt]?)", re.IGNORECASE | re.ASCII)
_FACTOR = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}


def amount(text: str) -> int:
    """A large whole number as people write it.

    Raises:
        ValueError: it is none; or has separators, which are a decimal point to some; or is not between 1 and 10^15.

    >>> amount("14B"), amount("7e9"), amount("0.5b")
    (14000000000, 7000000000, 500000000)
    """
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no number: write 14B, 500M, 7e9 or 15000000, without spaces or commas")
    value = Fraction(found[1]) * _FACTOR[found[2].lower()]
    if value.denominator != 1 or not 1 <= value <= 10**15:
        raise ValueError(f"{text!r} is no whole number from 1 to 1000T")
    return int(value)
