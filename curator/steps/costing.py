"""Answers `curator plan --cost`: reads pairs, renders and tokenises a sample, reckons what judging all will cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curator import __version__
from curator.errors import InputError, RecipeError
from curator.files import Reject
from curator.formats.read import read
from curator.judges.prompting import SAMPLE
from curator.judges.tokenizer import JudgeTokenizer
from curator.options import Reading
from curator.pair import Order, Pair
from curator.planning import BYTES_A_TOKEN, Ids, Machine, PromptSample, Questions, Work, count_tokens, store_bytes
from curator.progress import Progress
from curator.prompts import Question, Template
from curator.recipes import load_template
from curator.rubric import Rubric
from curator.sources import source_rows
from curator.store import open_store
from curator.store.pairs import stored_pairs

Encode = Callable[[Question], Ids]
"""Makes a judge prompt: token ids, or bytes where no tokenizer is at hand."""


def plan_cost(
    raw: str | None,
    db: Path | None,
    machine: Machine,
    *,
    template: str = "chat",
    tokenizer: str | None = None,
    sample: int = 2_000,
    pairs: int | None = None,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    rubric: Rubric | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What judging the pairs of a raw file, or of a store, will cost.

    Args:
        raw, db: the one or the other.
        sample: how many pairs are rendered and counted, at least.
        pairs: how many to reckon for; None: as many as there are.
        rubric: what the one judge goes by.

    Returns:
        An object of `schemas/plan.schema.json`.

    Raises:
        InputError: the input cannot be read, or holds no pair.
        RecipeError: there is no such template, it makes an empty prompt, or it takes no rubric.
        JudgeError: the tokenizer cannot be had, or has no chat template for a chat judge.
        StoreError: the store cannot be opened.
    """
    # First what can be wrong, before millions of rows are read for nothing.
    judged = load_template(template)
    encode = _encoder(judged if rubric is None else judged.by(rubric), tokenizer)
    taken, rejected = _sampled(raw, db, reading, sample, progress or Progress())
    groups = [[_prompts(pair, encode) for pair in prompt] for prompt in taken.prompts]
    divisor = 1.0 if tokenizer else BYTES_A_TOKEN[1]
    tokens = count_tokens(groups, divisor=divisor, whole=taken.whole and pairs is None)
    planned = taken.pairs if pairs is None else pairs
    return {
        "version": __version__,
        "cost": {
            "input": {
                "rows": taken.rows + rejected,
                "pairs": taken.pairs,
                "duplicates": taken.rows - taken.pairs,
                "rejected": rejected,
            },
            "sample": {"pairs": tokens.one.prompts, "prompts": len(groups), "whole": taken.whole},
            "pairs": planned,
            "template": template,
            "tokenizer": tokenizer,
            "tokens_a_prompt": tokens.mean,
            "tokens_a_prompt_error": tokens.error,
            "estimate_range": None if tokenizer else [BYTES_A_TOKEN[1] / bytes_ for bytes_ in BYTES_A_TOKEN[::2]],
            "two_orders_over_one": tokens.orders,
            "parameters": machine.parameters,
            "gpu_tflops": machine.tflops,
            "gpus": machine.gpus,
            "gpu_hour_price": machine.price,
            "no_cache": _work(Work(tokens.sent(planned), machine)),
            "perfect_cache": _work(Work(tokens.computed(planned), machine)),
            "store_bytes": planned * store_bytes(taken.text_bytes),
        },
    }


def _encoder(template: Template, tokenizer: str | None) -> Encode:
    if tokenizer is None:
        return lambda question: np.frombuffer(_text(template, question).encode(), np.uint8)
    judge = JudgeTokenizer.load(tokenizer)
    judge.encode(template, SAMPLE)  # a chat template that is missing or fails shows here
    return lambda question: np.array(judge.encode(template, question), np.uint32)


def _text(template: Template, question: Question) -> str:
    """A judge prompt without the frame of the model's own chat template, some 20 tokens that are not known."""
    return "\n".join(message.content for message in template.render(question))


def _sampled(
    raw: str | None, db: Path | None, reading: Reading, wanted: int, progress: Progress
) -> tuple[PromptSample, int]:
    """A sample of the input, all of which is read, and how many rows of it were no pairs."""
    taken, rejects, first = PromptSample(wanted), 0, ""
    rows: Iterator[Pair | Reject] = _stored(db) if db is not None else read(source_rows(str(raw)), reading)
    with progress.bar("reading", " rows") as advance:
        for row in rows:
            advance(1, "")
            if isinstance(row, Pair):
                taken.add(row)
            else:
                rejects, first = rejects + 1, first or f". {row}"
    if not taken.rows:
        raise InputError(f"{raw if db is None else db}: no usable pair in it{first}")
    return taken, rejects


def _stored(db: Path) -> Iterator[Pair]:
    with open_store(db, create=False, read_only=True) as store:
        yield from stored_pairs(store)


def _prompts(pair: Pair, encode: Encode) -> Questions:
    """Both judge prompts of a pair."""
    a, b = pair.response_a, pair.response_b
    ab, ba = encode(Question("", Order.AB, pair.prompt, a, b)), encode(Question("", Order.BA, pair.prompt, b, a))
    if not ab.size or not ba.size:
        raise RecipeError(f"the template makes an empty judge prompt of {pair.file}, line {pair.line}")
    return ab, ba


def _work(work: Work) -> dict[str, float | None]:
    return {
        "tokens": work.tokens,
        "flops": work.flops,
        "gpu_hours": work.gpu_hours,
        "wall_hours": work.wall_hours,
        "price": work.price,
    }
