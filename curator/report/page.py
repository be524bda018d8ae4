"""The page: a run's result, its figures and a few pairs in, HTML out. Every text is hostile until it is escaped.

Two things see to that, and no template line can forget them: Jinja's autoescape, and `shown`, which every value goes
through and which makes characters visible that would turn text round or hide it.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from curator.prompts import cut_middle
from curator.report.drawing import Picture
from curator.report.figures import share
from curator.report.words import headline, next_steps

Result = Mapping[str, Any]

CHARACTERS, LINES = 500, 10
"""Of a text of a pair, so much is shown."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a page is made of.

    Attributes:
        result: the object of `run.json`, or the part of it that is about a decision.
        alpha, entropy, reliability: figures; None where there is nothing to draw.
        alpha_missing: why the first of them is not there although something was accepted.
        orders: names of judges, each with its figure.
        examples: decided pairs, as `curator.store.report_rows.decided_pairs` gives them.
        seconds, asked: time that the judge was asked for, over all runs, and its judgments; None: not known.
    """

    result: Result
    alpha: Picture | None = None
    alpha_missing: str | None = None
    entropy: Picture | None = None
    reliability: Picture | None = None
    orders: Sequence[tuple[str, Picture]] = ()
    examples: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    asked: int = 0
    limits: tuple[int, int] = field(default=(CHARACTERS, LINES))


def page(content: Content) -> str:
    """The report as one HTML page. Equal contents give equal bytes."""
    result = content.result
    return _ENVIRONMENT.get_template("report.html").render(
        result=result,
        headline=headline(result),
        next=next_steps(result),
        judges=result.get("judges") or [],
        judge_columns=_JUDGE_COLUMNS,
        judge_rows=_judge_rows(result),
        group_columns=_GROUP_COLUMNS,
        group_rows=_group_rows(result),
        content=content,
        pairs={
            kind: [_pair(row, *content.limits) for row in content.examples if row["decision"] == kind]
            for kind in ("accept", "abstain")
        },
    )


_JUDGE_COLUMNS = ("judge", "accuracy", "AUROC", "coverage", "first shown wins", "tokens", "cached", "failed")

_GROUP_COLUMNS = ("group", "labelled", "wrong", "accepted", "of pairs", "coverage")


def _judge_rows(result: Result) -> list[tuple[str, ...]]:
    """Each of several judges, and all together, as a row of text."""
    judges = list(result.get("judges") or [])
    if together := result.get("combination"):
        whole = {key: result.get(key) for key in ("coverage", "tokens", "cached_tokens", "failed")}
        judges.append(
            {"name": "together", **whole, **{key: value for key, value in together.items() if value is not None}}
        )
    return [
        (
            _name(judge["name"]), share(judge.get("accuracy")), _number(judge.get("auroc"), ".3f"),
            share(judge.get("coverage")), share(judge.get("first_shown_preferred")), _number(judge.get("tokens")),
            share((judge.get("cached_tokens") or 0) / judge["tokens"] if judge.get("tokens") else None),
            _number(judge.get("failed")),
        )
        for judge in judges
    ]  # fmt: skip


def _group_rows(result: Result) -> list[tuple[str, ...]]:
    """Each group as a row of text."""
    numbers = ("n", "errors", "accepted", "pool")
    return [
        (_name(group["group"]), *(_number(group.get(name)) for name in numbers), share(group.get("coverage")))
        for group in result.get("groups") or []
    ]


def _pair(row: Mapping[str, Any], characters: int, lines: int) -> dict[str, Any]:
    """A pair as it is shown: the response that the judge prefers first."""
    a_first = row["p_a"] >= 0.5
    responses = [row["response_a"], row["response_b"]]
    *before, last = row["prompt"]
    return {
        "earlier_turns": len(before),
        "prompt": excerpt(last["content"], characters, lines),
        "better": excerpt(responses[0 if a_first else 1], characters, lines),
        "other": excerpt(responses[1 if a_first else 0], characters, lines),
        "p": row["p_a"] if a_first else 1 - row["p_a"],
        "bpe": row["bpe"],
        "reason": row["reason"],
        "undecided": row["p_a"] == 0.5,
        "people": {None: None, "tie": "call it a tie", "skip": "cannot say"}.get(
            row["verdict"], "prefer this one too" if (row["verdict"] == "a") == a_first else "prefer the other"
        ),
    }


def excerpt(text: str, characters: int = CHARACTERS, lines: int = LINES) -> str:
    """The beginning and the end of a long text, with a mark between them that says what is left out.

    >>> excerpt("a\\n" * 50, lines=4)
    'a\\na\\n[... 47 lines left out ...]\\na\\n'
    """
    kept = text.split("\n")
    if len(kept) > lines:
        head = lines // 2
        tail = lines - head
        kept = [*kept[:head], f"[... {len(kept) - lines:,} lines left out ...]", *kept[-tail:]]
    return cut_middle("\n".join(kept), characters)


_HIDING = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(value: Any) -> Any:
    """A value for a page: control characters and those that turn text round become their code, line breaks stay.

    >>> shown("a\\x1b[31m\\u202eb")
    'a\\u27e8U+001B\\u27e9[31m\\u27e8U+202E\\u27e9b'
    """
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(
        f"\u27e8U+{ord(c):04X}\u27e9" if c in _BIDI or (c not in "\n\t" and unicodedata.category(c) in _HIDING) else c
        for c in value.replace("\r\n", "\n")
    )


def _duration(seconds: float) -> str:
    """A time for people.

    >>> _duration(7384), _duration(65.2), _duration(3.21)
    ('2 h 3 min', '1 min 5 s', '3.2 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def _number(value: Any, form: str = ",") -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def _name(value: Any) -> str:
    """A name that a file or a server gave, at a length that a page bears."""
    return excerpt(str(value), 120, 1)


def _winner(log_odds: Any) -> str:
    """The probability of the better response at some log-odds ("inf": certain)."""
    return f"{1 / (1 + math.exp(-float(log_odds))):.4g}"


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    finalize=shown,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters.update(name=_name, share=share, number=_number, duration=_duration, winner=_winner)
