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

from curator.intervals import audit_sentence
from curator.prompts import cut_middle
from curator.report.drawing import Picture
from curator.report.figures import share
from curator.report.words import headline, next_step

Result = Mapping[str, Any]

CHARACTERS, LINES = 500, 10
"""Of a text of a pair, so much is shown."""


MOST_GROUPS = 200
"""Groups that the page has; `run.json` has them all."""


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
        looks: how often something was worked out from these labels before, by what it was.
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
    looks: Mapping[str, int] = field(default_factory=dict)
    limits: tuple[int, int] = field(default=(CHARACTERS, LINES))


def page(content: Content) -> str:
    """The report as one HTML page. Equal contents give equal bytes."""
    result = content.result
    return _ENVIRONMENT.get_template("report.html").render(
        result=result,
        content=content,
        headline=headline(result),
        next=next_step(result),
        judge_columns=_JUDGE_COLUMNS,
        judge_rows=_judge_rows(result),
        group_columns=_GROUP_COLUMNS,
        group_rows=_group_rows(result),
        groups_left_out=max(0, len(result["groups"] or []) - MOST_GROUPS),
        group_promises=_group_promises(result),
        first_shown=_first_shown(result["judge"]),
        audit=None if result["audit"] is None else audit_sentence(result["audit"]),
        pairs={
            kind: [_pair(row, *content.limits) for row in content.examples if row["decision"] == kind]
            for kind in ("accept", "abstain")
        },
    )


_JUDGE_COLUMNS = ("judge", "accuracy", "AUROC", "coverage", "first shown wins", "judged", "tokens", "cached")

_GROUP_COLUMNS = ("group", "labelled", "wrong", "accepted", "of pairs", "coverage", "BPE at most")

_ALL_OTHERS = "(all others)"


def _judge_rows(result: Result) -> list[tuple[str, ...]]:
    """Several judges together, and each of them alone, as rows of text."""
    whole = {**result["judge"], **{name: result[name] for name in ("judged", "tokens", "cached_tokens")}}
    return [
        (
            name, share(judge["accuracy"]), _number(judge["auroc"], ".3f"), share(judge["coverage"]),
            share(_first_shown(judge)), _number(judge["judged"]), _number(judge["tokens"]),
            share(judge["cached_tokens"] / judge["tokens"] if judge["tokens"] else None),
        )
        for name, judge in [("together", whole), *((_name(judge["name"]), judge) for judge in result["judges"])]
    ]  # fmt: skip


def _first_shown(judge: Result) -> float | None:
    """How often the response shown first wins; None: nobody can tell, or several judges are meant."""
    found: float | None = (judge["bias"] or {}).get("first_shown_preferred")
    return found


def _group_rows(result: Result) -> list[tuple[str, ...]]:
    """Each group as a row of text."""
    return [
        (
            _group_name(group), *(_number(group[name]) for name in ("n", "errors", "accepted", "pool")),
            share(group["coverage"]), _number(None if group["threshold"] is None else group["threshold"]["bpe"], ".4g"),
        )
        for group in (result["groups"] or [])[:MOST_GROUPS]
    ]  # fmt: skip


def _group_promises(result: Result) -> dict[str, list[str]]:
    """Each promise with the groups in which it holds."""
    found: dict[str, list[str]] = {}
    for group in (result["groups"] or [])[:MOST_GROUPS]:
        found.setdefault(group["promise"], []).append(_group_name(group))
    return found


def _group_name(group: Result) -> str:
    return _ALL_OTHERS if group["group"] is None else _name(group["group"])


def _pair(row: Mapping[str, Any], characters: int, lines: int) -> dict[str, Any]:
    """A pair as it is shown: the response that the judge prefers first."""
    a_first = row["p_a"] >= row["p_b"]
    responses = [row["response_a"], row["response_b"]]
    *before, last = row["prompt"]
    p = max(row["p_a"], row["p_b"])
    return {
        "earlier_turns": len(before),
        "prompt": excerpt(last["content"], characters, lines),
        "better": excerpt(responses[0 if a_first else 1], characters, lines),
        "other": excerpt(responses[1 if a_first else 0], characters, lines),
        "p": p,
        "bpe": row["bpe"],
        "reason": row["reason"],
        "equal": row["p_tie"] > p,
        "undecided": row["p_a"] == row["p_b"],
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
