"""The pairs and the judge prompts that all tools get: real ones, which lie beside the project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from curator.formats.read import read
from curator.options import Reading
from curator.pair import Message, Order, Pair
from curator.prompts import Question, Template
from curator.recipes import load_template
from curator.sources import source_rows

FILES = ("prd_vicuna80", "pandalm", "rmbench", "llmbar", "prd_lfqa", "hhh")


def usable(data: Path) -> Iterator[tuple[Pair, dict[str, str]]]:
    """Every pair of the files that `curator label` would use, once, and its row.

    A pair that stands in the data the other way round too is left out: in both orders it would be the same two prompts,
    and some tools would ask them once.
    """
    seen = set()
    for name in FILES:
        path = data / f"{name}.jsonl"
        rows = path.read_text(encoding="utf-8").splitlines()
        for pair in read(source_rows(str(path)), Reading()):
            if not isinstance(pair, Pair):
                continue
            texts = pair.prompt_id, frozenset((pair.response_a, pair.response_b))
            if texts not in seen:
                seen.add(texts)
                row = json.loads(rows[pair.line - 1])
                yield pair, {key: row[key] for key in ("id", "prompt", "response_a", "response_b", "label")}


def write(data: Path, folder: Path, count: int) -> tuple[Path, Path]:
    """Write `pairs.jsonl`, for curator, and `prompts.jsonl`, the same pairs in both orders as chat messages.

    For a tool that fills a template of its own, rows of the latter hold the texts too, and `template.json` the messages
    with `{instruction}`, `{output_1}` and `{output_2}` in their place.

    Raises:
        FileNotFoundError: the real pairs are not at hand.
    """
    template = load_template("chat")
    pairs, prompts = folder / "pairs.jsonl", folder / "prompts.jsonl"
    with pairs.open("w", encoding="utf-8") as rows, prompts.open("w", encoding="utf-8") as asked:
        for number, (pair, row) in enumerate(usable(data)):
            if number == count:
                break
            rows.write(json.dumps(row) + "\n")
            for order in Order:
                shown = (pair.response_a, pair.response_b)
                question = Question(
                    pair.pair_id, order, pair.prompt, *(shown if order is Order.AB else reversed(shown))
                )
                texts = {
                    "instruction": pair.prompt[-1].content,
                    "output_1": question.first,
                    "output_2": question.second,
                }
                prompt = {"id": pair.pair_id, "order": order.value, "messages": messages(template, question)}
                asked.write(json.dumps({**prompt, **texts}) + "\n")
    blank = Question("", Order.AB, (Message("user", "{instruction}"),), "{output_1}", "{output_2}")
    (folder / "template.json").write_text(json.dumps(messages(template, blank)), encoding="utf-8")
    return pairs, prompts


def messages(template: Template, question: Question) -> list[dict[str, str]]:
    """The judge prompt in the form that chat completions take."""
    return [{"role": turn.role, "content": turn.content} for turn in template.render(question)]
