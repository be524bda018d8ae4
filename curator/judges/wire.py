"""What goes over the wire to SGLang's native `/generate`, and what must come back to be believed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import orjson

from curator.judges.base import judgment
from curator.judges.http import Transient, message, request
from curator.judges.prompting import Prompt, Prompter
from curator.pair import Judgment, Rationale

# The labels once for all prompts: a list of them for each prompt is what sglang-router refuses.
_BODY = (
    b'{"%b":[%b],"sampling_params":{"max_new_tokens":0,"temperature":0},"return_logprob":true,"token_ids_logprob":%b}'
)


RATIONALE_TOKENS = 160
"""Tokens of the longest rationale: two or three sentences; what is cut off there is marked."""


async def generate(
    session: aiohttp.ClientSession, url: str, prompter: Prompter, prompts: Sequence[Prompt]
) -> list[Judgment]:
    """Ask one server for the label log-probabilities of some prompts, in one request.

    Raises:
        Transient, Refused, JudgeError: see `curator.judges.http.request`; a reply that cannot be right is Transient.
    """
    labels = list(prompter.labels)
    contents = b",".join(prompt.content for prompt in prompts)
    body = _BODY % (prompter.field.encode(), contents, orjson.dumps(labels))
    start = time.monotonic()
    replies = await request(session, "POST", url + "/generate", body)
    seconds = time.monotonic() - start
    answers = zip(prompts, _as_many(replies, prompts), strict=True)
    return [_judgment(prompt, reply, labels, seconds) for prompt, reply in answers]


def _as_many(replies: Any, prompts: Sequence[Prompt]) -> list[Any]:
    if not isinstance(replies, list) or len(replies) != len(prompts):
        count = len(replies) if isinstance(replies, list) else "no list of"
        raise Transient(f"asked {len(prompts)} prompts and got {count} replies")
    return replies


_WRITE = b'{"%b":[%b],"sampling_params":{"max_new_tokens":%d,"temperature":0}}'


async def write(
    session: aiohttp.ClientSession, url: str, prompter: Prompter, prompts: Sequence[Prompt]
) -> list[Rationale]:
    """Have one server go on from some prompts, in one request; a server that writes nothing has failed.

    Raises:
        Transient, Refused, JudgeError: as `generate`.
    """
    contents = b",".join(prompt.content for prompt in prompts)
    replies = await request(
        session, "POST", url + "/generate", _WRITE % (prompter.field.encode(), contents, RATIONALE_TOKENS)
    )
    return [_rationale(prompt, reply) for prompt, reply in zip(prompts, _as_many(replies, prompts), strict=True)]


def _rationale(prompt: Prompt, reply: Any) -> Rationale:
    try:
        text = reply["text"].strip()
        finish = (reply["meta_info"].get("finish_reason") or {}).get("type")
    except (KeyError, TypeError, AttributeError) as error:
        raise Transient(f"a reply holds no text ({type(error).__name__}: {error})") from None
    if finish == "abort":
        raise Transient("the server aborted the request")
    if not text:
        return no_rationale(prompt, "the judge wrote nothing")
    return Rationale(prompt.pair_id, text if finish != "length" else text + " [...]")


def no_rationale(prompt: Prompt, reason: str) -> Rationale:
    """What stands for a rationale that was not written."""
    return Rationale(prompt.pair_id, failed=reason)


def failed(prompt: Prompt, reason: str) -> Judgment:
    """The judgment of a prompt that got no verdict."""
    return Judgment(prompt.pair_id, prompt.order, failed=reason)


def _judgment(prompt: Prompt, reply: Any, labels: list[int], seconds: float) -> Judgment:
    """The judgment a reply holds; a reply that cannot be right is not stored but asked for again."""
    try:
        meta = reply["meta_info"]
        finish = (meta.get("finish_reason") or {}).get("type")
        if finish == "abort":
            raise Transient(f"the server aborted the request: {message(str(meta['finish_reason']).encode())}")
        values = {int(entry[1]): entry[0] for entry in meta["output_token_ids_logprobs"][0]}
        logprobs = [float(values[label]) for label in labels]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Transient(f"a reply lacks the labels' log-probabilities ({type(error).__name__}: {error})") from None
    possible = all(math.isfinite(value) and value < 0.001 for value in logprobs)
    if not possible or sum(map(math.exp, logprobs)) > 1.001:
        raise Transient(f"a reply's log-probabilities cannot be: {', '.join(map(repr, logprobs))}")
    counted = meta.get("prompt_tokens")
    if prompt.tokens is not None and counted is not None and counted != prompt.tokens:
        raise Transient(f"a reply is about {counted} prompt tokens, but {prompt.tokens} were sent")
    return judgment(
        prompt.pair_id, prompt.order, *logprobs,
        note=prompt.note, prompt_tokens=_count(counted), cached_tokens=_count(meta.get("cached_tokens")),
        seconds=seconds,
    )  # fmt: skip


def _count(value: Any) -> int | None:
    """A number of tokens; None where a server says something else."""
    return value if type(value) is int and 0 <= value < 2**31 else None
