"""How a judge prompt reaches a server: as token ids where the tokenizer is at hand, else as text.

As text, a server reads control tokens inside responses as control tokens; they are broken up first (`defang`), and the
judge's settings say so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import orjson

from curator.errors import JudgeError
from curator.judges.http import Refused
from curator.judges.tokenizer import JudgeTokenizer, require_different
from curator.pair import Message, Order
from curator.prompts import Kind, Question, Template, defang


class OnOverlong(StrEnum):
    """What to do with a pair that does not fit the judge's context."""

    TRUNCATE = "truncate"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question ready to be sent.

    Attributes:
        content: token ids or text, as JSON.
        tokens: how many ids it is; None for text.
        note: what was done to the texts ("truncated").
        failed: why it cannot be sent.
    """

    pair_id: str
    order: Order
    content: bytes = b""
    tokens: int | None = None
    note: str | None = None
    failed: str | None = None


class Prompter(Protocol):
    """Makes prompts of questions. One can be pickled: prompts are made in other processes too.

    Attributes:
        field: name of the request field the prompts go in.
        labels: token ids of the labels, in the template's order.
        settings: what makes prompts differ from those of another prompter.
    """

    field: str
    labels: tuple[int, ...]
    settings: dict[str, Any]

    def prompt(self, question: Question) -> Prompt: ...


class TokenPrompter:
    """Prompts as token ids, cut to the judge's context if need be."""

    field = "input_ids"

    def __init__(
        self, template: Template, tokenizer: JudgeTokenizer, context: int, on_overlong: OnOverlong, sample: Question
    ) -> None:
        self._template, self._tokenizer, self._context, self._on_overlong = template, tokenizer, context, on_overlong
        self.labels = tokenizer.labels(template, sample)
        self.settings: dict[str, Any] = {
            "prompts": "token ids",
            "chat_template": tokenizer.digest,
            "label_tokens": list(self.labels),
            "context": context,
            "on_overlong": on_overlong.value,
        }

    def prompt(self, question: Question) -> Prompt:
        pair_id, order = question.pair_id, question.order
        fitted = self._tokenizer.fit(self._template, question, self._context - 1)
        if fitted is None:
            return Prompt(pair_id, order, failed=f"does not fit the judge's context of {self._context} tokens")
        ids, cut = fitted
        if cut and self._on_overlong is OnOverlong.ABSTAIN:
            return Prompt(pair_id, order, failed=f"longer than the judge's context of {self._context} tokens")
        return Prompt(pair_id, order, orjson.dumps(ids), len(ids), "truncated" if cut else None)


_SLOT = "CURATOR-SLOT-{}-END"

Post = Callable[[str, dict[str, Any]], Awaitable[Any]]


class TextPrompter:
    """Prompts as text, for a server whose tokenizer is not at hand; the server's own endpoints give the chat frame."""

    field = "text"

    def __init__(self, template: Template, before: str, between: str, after: str, labels: tuple[int, ...]) -> None:
        self._template, self._before, self._between, self._after = template, before, between, after
        self.labels = labels
        self.settings: dict[str, Any] = {
            "prompts": "text, control tokens in responses broken up",
            "frame": before + between + after,
            "label_tokens": list(labels),
        }

    @classmethod
    async def ask(cls, template: Template, post: Post, sample: Question) -> TextPrompter:
        """Learn from a server how its chat template frames messages, and which tokens the labels are.

        Raises:
            JudgeError: the server cannot say, a label is not one token, or two are the same.
        """
        before = between = after = ""
        if template.kind is Kind.CHAT:
            try:
                before, between, after = await _frame(post, ["system", "user"] if template.system else ["user"])
            except (JudgeError, Refused):
                if not template.system:
                    raise
                # Some templates know no system role: what it says then opens the user's message.
                before, _, after = await _frame(post, ["user"])
                between = "\n\n"
        prompter = cls(template, before, between, after, ())
        text = prompter.text(sample)
        start = (await post("/v1/tokenize", {"prompt": text}))["tokens"]
        found = []
        for label in template.labels:
            ids = (await post("/v1/tokenize", {"prompt": text + label}))["tokens"]
            if ids[:-1] != start:
                raise JudgeError(f"label {label!r} is not one token of this model after template {template.name!r}")
            found.append(int(ids[-1]))
        require_different(template, found)
        return cls(template, before, between, after, tuple(found))

    def text(self, question: Question) -> str:
        texts = [message.content for message in self._template.render(question, defang)]
        middle = texts[0] if len(texts) == 1 else texts[0] + self._between + texts[1]
        return self._before + middle + self._after

    def prompt(self, question: Question) -> Prompt:
        return Prompt(question.pair_id, question.order, orjson.dumps(self.text(question)))


async def _frame(post: Post, roles: list[str]) -> tuple[str, str, str]:
    """What a server's chat template writes before, between and after messages of these roles."""
    messages = [{"role": role, "content": _SLOT.format(i)} for i, role in enumerate(roles)]
    kwargs = {"add_generation_prompt": True, "chat_template_kwargs": {"enable_thinking": False}}
    ids = (await post("/v1/tokenize", {"messages": messages, **kwargs}))["tokens"]
    text = (await post("/v1/detokenize", {"tokens": ids, "skip_special_tokens": False}))["text"]
    again = (await post("/v1/tokenize", {"prompt": text}))["tokens"]
    if len(again) == len(ids) + 1 and again[1:] == ids:  # the tokenizer adds a first token of its own
        text = (await post("/v1/detokenize", {"tokens": ids[1:], "skip_special_tokens": False}))["text"]
    pieces = [text]
    for i in range(len(roles)):
        pieces = pieces[:-1] + pieces[-1].split(_SLOT.format(i))
    if len(pieces) != len(roles) + 1:
        raise JudgeError("the server's chat template does not show messages as they are; give --tokenizer")
    return pieces[0], pieces[1] if len(roles) == 2 else "", pieces[-1]


SAMPLE = Question("", Order.AB, (Message("user", "Name a colour."),), "Blue.", "Red.")
"""A harmless question by which prompts and labels are tried out."""
