"""The records that go through the whole line. Frozen; a and b are fixed identities, never positions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Which response is better, in pair identity.

    Only people say BOTH_BAD, a tie of which neither is worth training on, and SKIP, "I cannot say".
    """

    A = "a"
    B = "b"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    SKIP = "skip"


class Order(StrEnum):
    """Which response was shown first."""

    AB = "ab"
    BA = "ba"


class Origin(StrEnum):
    """Why a person labelled a pair. Only CALIBRATION labels, a random draw, may set a threshold.

    REVIEW pairs are the hard ones; AUDIT pairs are a random sample of the accepted ones, which are the easy ones.
    """

    CALIBRATION = "calibration"
    REVIEW = "review"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        more: its other fields (tool_calls, tool_call_id, name) as a JSON object with sorted keys; "" where it has none.
    """

    role: str
    content: str
    more: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """What makes it the message that it is."""
        return (self.role, self.content, self.more) if self.more else (self.role, self.content)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one annotator said of a pair in the file that it came with.

    Attributes:
        annotator: None where the file does not say who.
        strength: how much better, in the file's own unit (a difference of ratings or ranks), 0 or more; None: not said.
    """

    verdict: Verdict
    annotator: str | None = None
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and two responses to it.

    Attributes:
        prompt: the conversation; its last message is the turn that both responses answer.
        votes: the verdicts that came with the row, one an annotator.
        source_id: the row's own id; recorded judgments may refer to it.
        metadata: every field of the row that curator does not use.
        file, line: where the row stood, for messages.
    """

    prompt: tuple[Message, ...]
    response_a: str
    response_b: str
    votes: tuple[Vote, ...] = ()
    source_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0

    @property
    def prompt_id(self) -> str:
        return conversation_id(self.prompt)

    @property
    def pair_id(self) -> str:
        return content_id(self.prompt_id, self.response_a, self.response_b)

    @property
    def label(self) -> Verdict | None:
        """The verdict that came with the row, where it is one."""
        return self.votes[0].verdict if len(self.votes) == 1 else None


@dataclass(frozen=True, slots=True)
class Response:
    """One of several responses to a prompt.

    Attributes:
        score: larger is better; ranks come negated. None: nobody said.
        metadata: what the row says of this response alone.
    """

    text: str
    model: str | None = None
    score: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A prompt and any number of responses to it, of which `curator.pairing` makes pairs.

    Attributes:
        annotator: who gave the scores; None where the file does not say.
        ties: equal scores say "equally good"; else they say nothing, and such responses are not paired.
    """

    prompt: tuple[Message, ...]
    responses: tuple[Response, ...]
    source_id: str | None = None
    annotator: str | None = None
    ties: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0

    @property
    def prompt_id(self) -> str:
        return conversation_id(self.prompt)


@dataclass(frozen=True, slots=True)
class Judgment:
    """One reply of a judge to one pair in one order; log-probabilities are of a and b, whichever was shown first.

    Attributes:
        label_mass: probability the labels held of the whole vocabulary; None where the judge cannot tell.
        failed: why there is no verdict; None for a good reply.
        note: what was done to the texts before the judge saw them ("truncated").
        seconds: from asking to answer.
        logprob_tie: of the label for "equal"; None where the judge was given none.
    """

    pair_id: str
    order: Order
    logprob_a: float | None = None
    logprob_b: float | None = None
    label_mass: float | None = None
    failed: str | None = None
    note: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    seconds: float | None = None
    logprob_tie: float | None = None


@dataclass(frozen=True, slots=True)
class Rationale:
    """Why a judge's verdict on a pair is what it is, in the judge's own words, written after the verdict.

    Attributes:
        failed: why there is no text; None where there is.
    """

    pair_id: str
    text: str = ""
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class JudgeInfo:
    """Who judges. Change anything here and it is another judge, whose judgments are stored apart.

    Attributes:
        name: for people.
        engine: sglang, embedded or recorded.
        settings: everything that can change a reply (model, revision, template hash, labels, dtype, ...).
        details: what is worth knowing but does not make another judge (the server's version).
        demonstration: whether the judge is too small to be trusted with real data.
    """

    name: str
    engine: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    demonstration: bool = False

    @property
    def settings_json(self) -> str:
        return json.dumps(self.settings, sort_keys=True, ensure_ascii=False)

    @property
    def judge_id(self) -> str:
        return content_id(self.name, self.engine, self.settings_json)


def content_id(*parts: str) -> str:
    """128-bit content hash of some texts, as 32 hex digits; ("ab", "c") and ("a", "bc") differ.

    >>> content_id("ab", "c") == content_id("a", "bc")
    False
    """
    data = [part.encode() for part in parts]
    framed = b"".join([piece for part in data for piece in (len(part).to_bytes(8, "little"), part)])
    return hashlib.blake2b(framed, digest_size=16).hexdigest()


def conversation_id(prompt: Sequence[Message]) -> str:
    """Content hash of a conversation: the `prompt_id` of all that answers it."""
    return content_id(*(part for message in prompt for part in message.parts))


def first_by_hash(seed: str, pair_id: str) -> bool:
    """A fair coin for a pair that falls the same way whenever it is thrown with this seed.

    The store throws the same coin in SQL. It is not the hash of seed and id in the other order, which the calibration
    draw sorts by: all drawn pairs would fall on one side.
    """
    return hashlib.md5(f"{pair_id}{seed}".encode(), usedforsecurity=False).hexdigest() < "8"
