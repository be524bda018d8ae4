"""What goes over the wire to SGLang's native `/generate`, and what must come back to be believed."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from curator.errors import JudgeError
from curator.judges.base import judgment
from curator.judges.http import Refused, Transient, message, request, shown
from curator.judges.prompting import Prompt, Prompter
from curator.pair import Judgment, Rationale

# The labels once for all prompts: a list of them for each prompt is what sglang-router refuses.
_BODY = (
    b'{%b"%b":[%b],"sampling_params":{"max_new_tokens":0,"temperature":0},"return_logprob":true,"token_ids_logprob":%b}'
)


RATIONALE_TOKENS = 160
"""Tokens of the longest rationale: two or three sentences; what is cut off there is marked."""

MOST_CHARACTERS = 64 * RATIONALE_TOKENS
"""Longer than any text of so many tokens that says something."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a server has said of itself, by which its replies are known to be its own and in their order.

    Attributes:
        named: replies carry the name that a request gave itself, and their place in it.
        weights: the version of the weights; None: unknown.
    """

    named: bool = False
    weights: Any = None

    @classmethod
    def of(cls, version: str | None, weights: Any) -> Known:
        """Of a server of this version of SGLang; a router tells none, and passes no names on."""
        major, _, rest = (version or "").partition(".")
        minor = rest.partition(".")[0]
        return cls(major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (0, 5), weights)


async def generate(
    session: aiohttp.ClientSession, url: str, prompter: Prompter, known: Known, prompts: Sequence[Prompt]
) -> list[Judgment]:
    """Ask one server for the label log-probabilities of some prompts, in one request.

    Raises:
        Transient, Refused, JudgeError: see `curator.judges.http.request`; a reply that cannot be right is Transient,
            and other weights than those that are known are a JudgeError.
    """
    labels = list(prompter.labels)
    start = time.monotonic()
    replies = await _replies(session, url, prompter, known, prompts, _BODY, orjson.dumps(labels))
    seconds = time.monotonic() - start
    return [_judgment(prompt, *reply, labels, seconds) for prompt, reply in zip(prompts, replies, strict=True)]


_WRITE = b'{%b"%b":[%b],"sampling_params":{"max_new_tokens":%d,"temperature":0}}'


async def write(
    session: aiohttp.ClientSession, url: str, prompter: Prompter, known: Known, prompts: Sequence[Prompt]
) -> list[Rationale]:
    """Have one server go on from some prompts, in one request; a server that writes nothing has failed.

    Raises:
        Transient, Refused, JudgeError: as `generate`.
    """
    replies = await _replies(session, url, prompter, known, prompts, _WRITE, RATIONALE_TOKENS)
    return [_rationale(prompt, *reply) for prompt, reply in zip(prompts, replies, strict=True)]


async def _replies(
    session: aiohttp.ClientSession,
    url: str,
    prompter: Prompter,
    known: Known,
    prompts: Sequence[Prompt],
    body: bytes,
    last: Any,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """One reply a prompt, in their order, each with its `meta_info`, as far as a server can be held to that."""
    name = uuid.uuid4().hex if known.named else ""
    contents = b",".join(prompt.content for prompt in prompts)
    first = b'"rid":"%b",' % name.encode() if name else b""
    try:
        replies = await request(
            session, "POST", url + "/generate", body % (first, prompter.field.encode(), contents, last)
        )
    except Refused as error:
        if error.status in {404, 405}:  # said of the address, not of the prompts: who stands there now is no judge
            raise Transient(str(error), busy=True) from None
        raise
    if not isinstance(replies, list) or len(replies) != len(prompts):
        count = len(replies) if isinstance(replies, list) else "no list of"
        raise Transient(f"asked {len(prompts)} prompts and got {count} replies")
    return [
        (reply, _meta(prompt, place, reply, name, url, known))
        for place, (prompt, reply) in enumerate(zip(prompts, replies, strict=True))
    ]


def _meta(prompt: Prompt, place: int, reply: Any, name: str, url: str, known: Known) -> dict[str, Any]:
    """The `meta_info` of what should be the reply to the prompt at a place of a request, which has a name or none."""
    try:
        meta = reply["meta_info"]
        finish, told, counted = meta.get("finish_reason"), meta.get("id"), meta.get("prompt_tokens")
        aborted = bool(finish) and finish.get("type") == "abort"
    except (LookupError, TypeError, AttributeError) as error:
        raise Transient(f"a reply is none ({type(error).__name__}: {error})") from None
    if aborted:
        raise Transient(f"the server aborted the request: {message(str(finish).encode())}")
    if name and isinstance(told, str) and told.startswith(name) and told != f"{name}_{place}":
        raise Transient("replies are not in the order of their prompts")
    if prompt.tokens is not None and counted is not None and counted != prompt.tokens:
        raise Transient(f"a reply is about {message(str(counted).encode())} prompt tokens, not {prompt.tokens}")
    weights = meta.get("weight_version")
    if known.weights is not None and weights is not None and weights != known.weights:
        raise JudgeError(
            f"{shown(url)} has other weights than before ({message(str(weights).encode())}): that is another "
            "judge. What was judged is kept"
        )
    return dict(meta)


def _rationale(prompt: Prompt, reply: dict[str, Any], meta: dict[str, Any]) -> Rationale:
    text, finish = reply.get("text"), (meta.get("finish_reason") or {}).get("type")
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        raise Transient("a reply holds no text, or more than was asked for")
    text = text.strip()
    if not text:
        return no_rationale(prompt, "the judge wrote nothing")
    return Rationale(prompt.pair_id, text if finish != "length" else text + " [...]")


def no_rationale(prompt: Prompt, reason: str) -> Rationale:
    """What stands for a rationale that was not written."""
    return Rationale(prompt.pair_id, failed=reason)


def failed(prompt: Prompt, reason: str) -> Judgment:
    """The judgment of a prompt that got no verdict."""
    return Judgment(prompt.pair_id, prompt.order, failed=reason)


def _judgment(
    prompt: Prompt, reply: dict[str, Any], meta: dict[str, Any], labels: list[int], seconds: float
) -> Judgment:
    """The judgment a reply holds; a reply that cannot be right is not stored but asked for again."""
    try:
        entries = meta["output_token_ids_logprobs"][0]
        values = {entry[1]: entry[0] for entry in entries}
        logprobs = [values[label] for label in labels]
    except (LookupError, TypeError) as error:
        raise Transient(f"a reply lacks the labels' log-probabilities ({type(error).__name__}: {error})") from None
    # `true` and "-0.5" are no numbers, a label with two values has none, and labels that hold nothing say nothing.
    possible = len(values) == len(entries) and all(type(value) in {int, float} for value in logprobs)
    possible = possible and all(math.isfinite(value) and value < 0.001 for value in logprobs)
    if not possible or not 0 < sum(map(math.exp, logprobs)) <= 1.001:
        raise Transient(message(f"a reply's log-probabilities cannot be: {logprobs!r}".encode()))
    return judgment(
        prompt.pair_id, prompt.order, *logprobs,
        note=prompt.note, seconds=seconds,
        prompt_tokens=_count(meta.get("prompt_tokens")), cached_tokens=_count(meta.get("cached_tokens")),
    )  # fmt: skip


def _count(value: Any) -> int | None:
    """A number of tokens; None where a server says something else."""
    return value if type(value) is int and 0 <= value < 2**31 else None
