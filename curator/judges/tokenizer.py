"""Turns a judge prompt into token ids in which only the template's control tokens are control tokens.

A response may hold `<|im_end|>` or any other token that a chat template gives a meaning. Here the tokenizer is loaded
with its control tokens renamed to private strings; the template's own are renamed in the prompt, those inside
responses are not, and so they are read as ordinary text. All else is tokenised as the model's own tokenizer does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import orjson
from tokenizers import Tokenizer

from curator.errors import JudgeError
from curator.pair import Message, content_id
from curator.prompts import Kind, Question, Template, shorten
from curator.sandbox import TEMPLATE_ERRORS, BoundedEnvironment

# Unicode noncharacters: no text means anything by them, and no tokenizer has them in its vocabulary.
_OPEN, _CLOSE, _CONTROL, _END, _EDGE = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3", "\ufdd4"
_PRIVATE = re.compile("[\ufdd0-\ufdd4]")

# Between a letter and a single space or line break with a letter behind it: no tokenizer for chat models has a token
# that reaches over such a place, nor splits either side otherwise for what stands on the other.
_CUT = re.compile(r"(?<=[^\W\d_])(?=[ \n][^\W\d_])")
_LAST_CUT = re.compile(r"(?s).*(?<=[^\W\d_])(?=[ \n][^\W\d_])")
_CUT_SAMPLES = (
    "The answer is right, isn't it? See part 2 of RFC 791 (page 4)\nor ask again.",
    "def f(x):\n    return x + 1  # adds one\n\nWarum nicht?\nÇa va bien, merci",
)

CACHED_PIECES = 512
"""Texts whose tokens are kept: they come again in the other order, and in other pairs of their prompt."""


class JudgeTokenizer:
    """A model's tokenizer and chat template, safe for untrusted text.

    Args:
        tokenizer: the parsed `tokenizer.json`.
        chat_template: Jinja source of the model's chat template; None for a base model.
        special: special tokens by name (`bos_token`, ...), for the chat template.
    """

    def __init__(self, tokenizer: dict[str, Any], chat_template: str | None, special: Mapping[str, str]) -> None:
        self._made_of = tokenizer, chat_template, special
        self._chat_template = chat_template
        self._digest = content_id(
            orjson.dumps(tokenizer).decode(), chat_template or "", *sorted(map(str, special.items()))
        )
        self._special = dict(special)
        original = Tokenizer.from_str(orjson.dumps(tokenizer).decode())
        added = tokenizer.get("added_tokens") or []
        self._control = [str(token["content"]) for token in added]
        longest_first = sorted(self._control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if added else None
        self._number = {text: i for i, text in enumerate(self._control)}
        renamed = [{**token, "content": f"{_CONTROL}{i}{_END}", "normalized": False} for i, token in enumerate(added)]
        model = _without(tokenizer["model"], self._number)
        changed = {**tokenizer, "model": model, "added_tokens": renamed, "post_processor": None}
        self._tokenizer = Tokenizer.from_str(orjson.dumps(changed).decode())
        # A renamed token may get a new id where the old name also stands in the model's vocabulary.
        renumbered = (
            (self._tokenizer.token_to_id(f"{_CONTROL}{i}{_END}"), int(token["id"])) for i, token in enumerate(added)
        )
        self._ids = {new: old for new, old in renumbered if new != old}
        bare = original.encode("x", add_special_tokens=False).ids
        full = original.encode("x", add_special_tokens=True).ids
        self.prefix: list[int] = full[: len(full) - len(bare)] if full[len(full) - len(bare) :] == bare else []
        """What the tokenizer puts before a text of its own accord (a beginning-of-sequence token)."""
        self._piece = lru_cache(CACHED_PIECES)(self.plain)
        self._protected = lru_cache(CACHED_PIECES)(self._protect)
        self._cuts = all(self._can_be_cut(sample) for sample in _CUT_SAMPLES)

    def __reduce__(self) -> tuple[Any, ...]:
        return JudgeTokenizer, self._made_of

    @classmethod
    def load(cls, source: str) -> JudgeTokenizer:
        """From a folder or a hub name.

        Raises:
            JudgeError: there is no `tokenizer.json` to be had.
        """
        tokenizer = _object(_fetch(source, "tokenizer.json"))
        try:
            file = _fetch(source, "tokenizer_config.json")
        except JudgeError:
            config = {}
        else:
            config = _object(file)
        template = config.get("chat_template")
        if isinstance(template, list):
            named = [entry for entry in template if isinstance(entry, dict) and entry.get("name") == "default"]
            template = named[0].get("template") if named else None
        try:
            template = _fetch(source, "chat_template.jinja").read_text(encoding="utf-8")
        except JudgeError:
            pass
        except UnicodeDecodeError:
            raise JudgeError(f"{source}: chat_template.jinja is not UTF-8") from None
        if not isinstance(template, str | None):
            raise JudgeError(f"{source}: the chat template is no text")
        special = {
            name: text
            for name, value in config.items()
            if name.endswith("_token")
            and isinstance(text := value.get("content") if isinstance(value, dict) else value, str)
        }
        try:
            return cls(tokenizer, template, special)
        except Exception as error:  # tokenizers raises no type of its own
            raise JudgeError(f"{source}: tokenizer.json cannot be used: {error}") from None

    @property
    def digest(self) -> str:
        """Hash of what makes token ids of a prompt."""
        return self._digest

    @cached_property
    def _environment(self) -> BoundedEnvironment:
        def fail(message: str) -> NoReturn:
            raise jinja2.TemplateRuntimeError(message)

        environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.filters["tojson"] = lambda value, **_: orjson.dumps(value).decode()
        # A date in the prompt would make every day another judge: templates that ask for one get a fixed day.
        environment.globals |= {"raise_exception": fail, "strftime_now": lambda _format: "1 January 2026"}
        return environment

    @cached_property
    def _template(self) -> jinja2.Template:
        if self._chat_template is None:
            raise JudgeError("the model has no chat template: choose a completion template (--template completion)")
        return self._environment.from_string(self._chat_template)

    def _chat(self, messages: list[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        variables = {**self._special, "add_generation_prompt": True, "enable_thinking": False}
        try:
            return self._environment.fill(self._template, {**variables, "messages": turns})
        except TEMPLATE_ERRORS as error:
            if len(turns) != 2:
                raise JudgeError(f"the model's chat template fails: {error}") from None
        # Some templates know no system role: what it says then opens the user's message.
        return self._chat([Message("user", f"{messages[0].content}\n\n{messages[1].content}")])

    def _protect(self, text: str) -> str:
        text = _PRIVATE.sub("\ufffd", text)
        if self._pattern is None:
            return text
        text = self._pattern.sub(lambda match: f"{_OPEN}{self._number[match[0]]}{_CLOSE}", text)
        # Beside other text, half a control token must not become a whole one. White space stays outside for `trim`.
        core = text.strip()
        return text.replace(core, f"{_EDGE}{core}{_EDGE}", 1) if core else f"{text}{_EDGE}"

    def text(self, template: Template, question: Question) -> str:
        """The prompt with the template's control tokens under private names and everyone else's as plain text."""
        return self._marked_text(template, question).replace(_EDGE, "")

    def _marked_text(self, template: Template, question: Question) -> str:
        """The same with a mark where a text of the question begins or ends."""
        messages = template.render(question, self._protected)
        text = messages[0].content if template.kind is Kind.COMPLETION else self._chat(messages)
        if self._pattern is None:
            return text
        text = self._pattern.sub(lambda match: f"{_CONTROL}{self._number[match[0]]}{_END}", text)
        return _PLACEHOLDER.sub(lambda match: self._control[int(match[1])], text) if _OPEN in text else text

    def encode(self, template: Template, question: Question) -> list[int]:
        """Token ids of a judge prompt, ending where the answer begins.

        The inner part of each text is tokenised once and kept, since the same text comes again in the other order and
        in other pairs of the prompt; where the parts meet, a short piece across the border is tokenised anew.
        """
        ids = list(self.prefix) if template.kind is Kind.COMPLETION else []
        for piece in self._pieces(self._marked_text(template, question)):
            ids += self._piece(piece)
        return ids

    def _pieces(self, marked: str) -> Iterator[str]:
        """A text as pieces that can be tokenised one by one; those that come again are whole but for their ends."""
        if not self._cuts:
            yield marked.replace(_EDGE, "")
            return
        border = ""
        for part in marked.split(_EDGE):
            first, last = _CUT.search(part), _LAST_CUT.match(part)
            if first is None or last is None or first.start() == last.end():
                border += part
                continue
            yield border + part[: first.start()]
            yield part[first.start() : last.end()]
            border = part[last.end() :]
        yield border

    def _can_be_cut(self, text: str) -> bool:
        """Whether the tokenizer gives the same tokens for a text as for its parts, wherever it is cut."""
        places = [match.start() for match in _CUT.finditer(text)]
        return all(self.plain(text[:at]) + self.plain(text[at:]) == self.plain(text) for at in places)

    def plain(self, text: str) -> list[int]:
        """Token ids of ordinary text."""
        (found,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)  # a fifth faster than `encode`
        ids: list[int] = found.ids
        return [self._ids.get(token, token) for token in ids] if self._ids else ids

    def _encode(self, template: Template, text: str) -> list[int]:
        return (self.prefix if template.kind is Kind.COMPLETION else []) + self.plain(text)

    def fit(self, template: Template, question: Question, most: int) -> tuple[list[int], bool] | None:
        """Token ids of at most `most`, and whether texts were cut for that; None when that cannot be done."""
        ids = self.encode(template, question)
        if len(ids) <= most:
            return ids, False
        shorter = shorten(question, lambda candidate: len(self.encode(template, candidate)) <= most)
        return None if shorter is None else (self.encode(template, shorter), True)

    def labels(self, template: Template, question: Question) -> tuple[int, ...]:
        """Token ids of the labels in the place where the model answers.

        Raises:
            JudgeError: a label is not one token there, or two are the same.
        """
        text = self.text(template, question)
        before = self._encode(template, text)
        found = []
        for label in template.labels:
            after = self._encode(template, text + label)
            if after[:-1] != before:
                raise JudgeError(
                    f"label {label!r} is not one token of this model after the prompt of template {template.name!r}: "
                    "give the template other labels"
                )
            found.append(after[-1])
        require_different(template, found)
        return tuple(found)


def require_different(template: Template, tokens: list[int]) -> None:
    """Raises JudgeError where two labels of a template are one token."""
    if len(set(tokens)) < len(tokens):
        raise JudgeError(f"two of the labels {template.labels} are one and the same token of this model")


_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


def _without(model: dict[str, Any], number: Mapping[str, int]) -> dict[str, Any]:
    """The model without pieces that are control strings: text would be read as control by way of its vocabulary."""

    def name(text: str) -> str:
        return f"{_CONTROL}{number[text]}{_END}" if text in number else text

    vocab = model["vocab"]
    if model.get("type") == "Unigram":
        return {**model, "vocab": [[name(text), score] for text, score in vocab]}
    unknown = model.get("unk_token")
    changed = {**model, "vocab": {name(text): i for text, i in vocab.items()}}
    if unknown is not None:
        changed["unk_token"] = name(unknown)
    if "merges" in model:
        # Letters may be merged into a control string too, and that string into longer ones.
        pairs = [(merge, merge.split(" ", 1) if isinstance(merge, str) else merge) for merge in model["merges"]]
        changed["merges"] = [merge for merge, parts in pairs if not {*parts, "".join(parts)} & number.keys()]
    return changed


def _object(path: Path) -> dict[str, Any]:
    try:
        values = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise JudgeError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise JudgeError(f"{path}: is not a JSON object")
    return values


def _fetch(source: str, name: str) -> Path:
    path = Path(source) / name
    if path.is_file():
        return path
    if Path(source).is_dir():
        raise JudgeError(f"{path}: there is no such file")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise JudgeError(f"{source}: no {name} in a folder, the cache or on the hub ({type(error).__name__})") from None
