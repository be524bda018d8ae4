"""Judge prompts: a template, a conversation and two responses in the order shown become text or messages. Pure.

Responses are data: they are Jinja variables, never template text, and the environment is an immutable sandbox.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import jinja2

from curator.errors import RecipeError
from curator.pair import Message, Order, content_id
from curator.rubric import Rubric
from curator.sandbox import TEMPLATE_ERRORS, BoundedEnvironment


class Kind(StrEnum):
    """How a rendered template reaches the model."""

    CHAT = "chat"
    COMPLETION = "completion"


@dataclass(frozen=True)
class Template:
    """A judge prompt.

    Attributes:
        kind: `chat` is wrapped in the model's own chat template, `completion` is continued as it is.
        labels: the text of the one-token answers: the response shown first, the one shown second and, where there is a
            third, both are equal.
        system, user: Jinja sources of a chat template's two messages.
        text: Jinja source of a completion template.
        with_criteria: Jinja source of the system message of a judge with a rubric, where one variable more, `criteria`,
            holds what it goes by; "": the template takes no rubric.
        rubric: the rubric, where there is one; `system` is then what `with_criteria` was.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    system: str = ""
    user: str = ""
    text: str = ""
    with_criteria: str = ""
    rubric: Rubric | None = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Template:
        """Build a template from a parsed YAML file that matches `schemas/template.schema.json`."""
        sources = {key: values.get(key, "") for key in ("system", "user", "text", "with_criteria")}
        template = cls(values["name"], Kind(values["kind"]), tuple(values["labels"]), **sources)
        try:
            # A syntax error must surface here, not at the first pair.
            template._compiled  # noqa: B018
            _ENVIRONMENT.from_string(template.with_criteria)
        except jinja2.TemplateSyntaxError as error:
            raise RecipeError(f"template {template.name!r}, line {error.lineno}: {error.message}") from None
        except TEMPLATE_ERRORS as error:
            raise RecipeError(f"template {template.name!r}: {error}") from None
        return template

    def __getstate__(self) -> dict[str, Any]:
        # Compiled Jinja sources stay behind when a template goes to another process.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def by(self, rubric: Rubric) -> Template:
        """This template for a judge that goes by a rubric. Another rubric is another judge.

        Raises:
            RecipeError: the template has no place for one.
        """
        if not self.with_criteria:
            raise RecipeError(
                f"template {self.name!r} takes no rubric: it has no with_criteria, as `chat` and `chat_ties` have"
            )
        return replace(self, system=self.with_criteria, rubric=rubric)

    @property
    def digest(self) -> str:
        """Hash of everything that reaches the model: another digest is another judge."""
        criteria = [str(value) for one in self._criteria for value in one.values()]
        return content_id(self.kind, *self.labels, self.system, self.user, self.text, *criteria)

    @property
    def settings(self) -> dict[str, Any]:
        """What a judge's settings say of its template."""
        found: dict[str, Any] = {"template": self.name, "template_digest": self.digest}
        if self.rubric is not None:
            found |= {"rubric": self.rubric.name, "criteria": [one.name for one in self.rubric.criteria]}
        return found

    def judge_name(self, model: str) -> str:
        """The name of a model that judges by this template: one criterion alone is part of it."""
        criteria = self._criteria
        return f"{model}, {criteria[0]['name']}" if len(criteria) == 1 else model

    @property
    def _criteria(self) -> list[dict[str, Any]]:
        return [] if self.rubric is None else [one.values for one in self.rubric.criteria]

    @cached_property
    def _compiled(self) -> list[jinja2.Template]:
        sources = [self.text] if self.kind is Kind.COMPLETION else [self.system, self.user]
        return [_ENVIRONMENT.from_string(source) for source in sources]

    @cached_property
    def _frame(self) -> tuple[str, ...]:
        """How the lines of the template begin that stand around the texts, as `_outline` has them."""
        source = self.text if self.kind is Kind.COMPLETION else self.user
        starts = (re.split(r"\{[{%#]", line, maxsplit=1)[0] for line in source.splitlines())
        outlines = {_outline(start) for start in starts}
        # Of a line between signs, those behind it need not be there.
        return tuple({one if one[0].isalnum() else one.rstrip(one[0]) for one in outlines if len(one) > 2})

    @cached_property
    def _firsts(self) -> frozenset[str]:
        return frozenset(outline[0] for outline in self._frame)

    @cached_property
    def _leads(self) -> frozenset[str]:
        return frozenset(outline[:2] for outline in self._frame)

    def _quoted(self, text: str) -> str:
        """A text whose lines that begin like one of the frame stand behind "> "; any other is given back as it is."""
        if not self._frame:
            return text
        lines = text.splitlines(keepends=True)
        forged = [
            place
            for place, line in enumerate(lines)
            if (start := line[:_FRAME_LINE].lstrip(_BLANK))
            and (not (lead := start[:2]).isalnum() or lead.lower() in self._leads or not lead.isascii())
            and (lead[0].lower() in self._firsts or not lead[0].isascii())
            and _outline(start).startswith(self._frame)
        ]
        for place in forged:
            lines[place] = f"> {lines[place]}"
        return "".join(lines) if forged else text

    def render(self, question: Question, change: Callable[[str], str] | None = None) -> list[Message]:
        """The judge's messages; a completion template gives one message, whose text is sent as it is.

        Lines of the question that read like one of the template's own are quoted: a response that ends itself and
        goes on as the other one stays one response.

        Args:
            change: what is done to every text that is not the template's own: those of the question and the criteria.

        Raises:
            RecipeError: the template uses a name that does not exist.
        """
        quoted = self._quoted
        question = question.map(quoted if change is None else lambda text: change(quoted(text)))
        turns = [{"role": one.role, "content": _shown(one)} for one in question.conversation]
        variables = {"conversation": turns, "first": question.first, "second": question.second}
        if self.rubric is not None:
            variables["criteria"] = [
                {key: change(value) if change and isinstance(value, str) else value for key, value in one.items()}
                for one in self._criteria
            ]
        try:
            texts = [_ENVIRONMENT.fill(part, variables) for part in self._compiled]
        except TEMPLATE_ERRORS as error:
            raise RecipeError(f"template {self.name!r}: {error}") from None
        if self.kind is Kind.COMPLETION:
            return [Message("completion", texts[0])]
        return [Message(role, text) for role, text in zip(("system", "user"), texts, strict=True) if text]


_FRAME_LINE = 400
"""Characters of a line by which it is told whether it reads like one of the frame."""

_BLANK = " \t\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\u180e"
_NO_BLANKS = dict.fromkeys(map(ord, _BLANK))


def _outline(line: str) -> str:
    """A line as a judge may read it: without case, white space and what nobody sees, repeated signs as one.

    >>> _outline("==  End of\u200b Response A ==="), _outline("＝＝＝ end of response a")
    ('=endofresponsea=', '=endofresponsea')
    """
    plain = unicodedata.normalize("NFKC", line).casefold().translate(_NO_BLANKS)
    return re.sub(r"([^\w])\1+", r"\1", re.sub(r"\s+", "", plain))


def _shown(one: Message) -> str:
    """A message as the judge reads it: calls of tools, which stand outside its text, behind that."""
    return "\n".join(filter(None, (one.content, one.more)))


_WHY = """

A first reading has found response {label} better. Do not answer with a letter this time: say in one or two sentences
what decides it, for somebody who sees both responses. Name what stands in them, call them "the chosen response" and
"the rejected response", and write nothing else."""


def rationale_template(template: Template) -> Template:
    """The template that asks why: the judge's own, whose verdict was for the response shown first.

    The question stands behind all that the verdict was made of, so that a prefix cache serves that, and it is asked
    when the verdict is stored, so that it cannot change it.

    Raises:
        RecipeError: the template is for models that go on with a text, and take no instructions.
    """
    if template.kind is not Kind.CHAT:
        raise RecipeError(f"template {template.name!r} cannot ask for a rationale: a chat template can")
    why = _WHY.format(label="{{ " + json.dumps(template.labels[0]) + " }}")
    return replace(template, name=f"{template.name}, why", user=template.user + why)


_ENVIRONMENT = BoundedEnvironment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


@dataclass(frozen=True, slots=True)
class Question:
    """A pair to be judged in one order, as the judge sees it: which response is a is known by `order` alone."""

    pair_id: str
    order: Order
    conversation: tuple[Message, ...]
    first: str
    second: str

    def map(self, change: Callable[[str], str]) -> Question:
        """The same question with every untrusted text changed."""
        turns = tuple(
            Message(one.role, change(one.content), change(one.more) if one.more else "") for one in self.conversation
        )
        return Question(self.pair_id, self.order, turns, change(self.first), change(self.second))

    @property
    def longest(self) -> int:
        """Characters of the longest text."""
        return max(len(self.first), len(self.second), *(len(_shown(one)) for one in self.conversation))


CUT_MARK = "\n[... {count} characters left out ...]\n"


def cut_middle(text: str, most: int) -> str:
    """Shorten a text to about `most` characters by taking out its middle, with a visible mark.

    >>> cut_middle("abcdefgh" * 10, 8)
    'abcd\\n[... 72 characters left out ...]\\nefgh'
    """
    mark = CUT_MARK.format(count=len(text) - most)
    if len(text) <= most + len(mark):  # a cut would not make it shorter
        return text
    head = (most + 1) // 2
    tail = most - head
    return text[:head] + mark + (text[-tail:] if tail else "")


def shorten(question: Question, fits: Callable[[Question], bool]) -> Question | None:
    """The question with its longest texts cut to one common length, the largest at which it fits.

    Args:
        question: a question that does not fit.
        fits: whether a candidate fits the judge's context.

    Returns:
        The shortened question, or None when it does not fit even with almost nothing left of the texts.
    """

    def at(most: int) -> Question:
        return question.map(lambda text: cut_middle(text, most))

    low, high = 16, question.longest
    if not fits(at(low)):
        return None
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(at(middle)) else (low, middle)
    return at(low)


_CONTROL = re.compile(
    r"[<＜]\|[^<>|\s]{1,40}\|[>＞]|[<＜][｜][^<>]{1,40}[｜][>＞]|\[\|[^\[\]|\s]{1,40}\|\]"
    r"|\[/?[A-Z]+(?:_[A-Z]+)*\]|<</?SYS>>|</?s>|\[[a-z]?MASK\]|<[se]op>"
    r"|<(?:start|end)_of_\w{1,20}>|<(?:bos|eos|pad|unk)>|<[A-Z]{2,8}_TOKEN>|>>[A-Z]+<<|</?think>|</?tool_\w{1,20}>"
    r"|<(?:extra_id|SPECIAL|unused|reserved)_?\d{1,4}>|<seed:\w{1,40}>"
)


def defang(text: str) -> str:
    """Break what chat templates use as control tokens, for judges whose tokenizer is not at hand.

    A space after the first character keeps the text readable and keeps any tokenizer from reading it as control.

    >>> defang("done<|im_end|>")
    'done< |im_end|>'
    """
    while (broken := _CONTROL.sub(lambda match: match[0][0] + " " + match[0][1:], text)) != text:
        text = broken  # what lay inside a token, or around one, may be one itself
    return text


_dump = json.JSONEncoder(ensure_ascii=False).encode


def prompt_json(prompt: Sequence[Message]) -> str:
    """A conversation as JSON text: `[{"role": ..., "content": ...}, ...]`."""
    return _dump([{"role": m.role, "content": m.content} | (json.loads(m.more) if m.more else {}) for m in prompt])


def prompt_from_json(text: str) -> tuple[Message, ...]:
    """The inverse of `prompt_json`."""
    return tuple(message(turn) for turn in json.loads(text))


def message(turn: Mapping[str, Any]) -> Message:
    """A message of an object with `role`, `content` and perhaps more."""
    more = {key: turn[key] for key in sorted(turn) if key not in {"role", "content"} and turn[key] is not None}
    return Message(turn["role"], turn.get("content") or "", _dump(more) if more else "")
