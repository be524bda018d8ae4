"""Asks a judge that can write why accepted pairs are labelled as they are, once they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator.errors import Interrupted, RecipeError
from curator.judges.sglang import SGLangJudge
from curator.options import JudgeChoice, LabelOptions
from curator.pair import Rationale, content_id
from curator.progress import Progress
from curator.prompts import Template, rationale_template
from curator.steps.judging import Stop, asked_for, one_by_one, opened, template_for
from curator.store import Store
from curator.store.rationales import add_rationales, find_unexplained, unexplained_questions


@dataclass(frozen=True, slots=True)
class Explained:
    """What asking for rationales came to: `written` now, `cached` from before, `failed`; why the first of these did."""

    written: int
    cached: int
    failed: int
    reason: str | None

    def and_more(self, lot: Sequence[Rationale]) -> Explained:
        reasons = [one.failed for one in lot if one.failed is not None]
        first = self.reason or next(iter(reasons), None)
        return Explained(self.written + len(lot) - len(reasons), self.cached, self.failed + len(reasons), first)


def writer_of(options: LabelOptions) -> JudgeChoice:
    """Who writes the rationales: the first judge that is served.

    Raises:
        RecipeError: none is, or the judge's template is for models that take no instructions.
    """
    served = (one for one in options.judges if one.urls or one.model is not None)
    if (choice := next(served, None)) is None:
        raise RecipeError("--rationale needs a judge that can write: servers (--judge-url) or --judge-model")
    rationale_template(template_for(choice))
    return choice


def explain(store: Store, options: LabelOptions, progress: Progress) -> Explained:
    """Have a rationale written for each accepted pair that has none for its label; the verdict is stored already.

    Raises:
        Interrupted: the user stopped it; what was written is kept.
        JudgeError: the judge cannot be had, or is gone for good.
    """
    choice = next(one_by_one(store, (writer_of(options),)))
    why = rationale_template(template_for(choice))
    writer = content_id(asked_for(choice), why.digest)
    wanted, cached = find_unexplained(store, writer)
    progress.say(f"rationales: {cached} cached / {wanted} new")
    if not wanted:
        return Explained(0, cached, 0, None)
    return asyncio.run(_write(store, choice, why, writer, Explained(0, cached, 0, None), wanted, options.out, progress))


async def _write(
    store: Store,
    choice: JudgeChoice,
    why: Template,
    writer: str,
    so_far: Explained,
    wanted: int,
    out: Path,
    progress: Progress,
) -> Explained:
    with Stop(progress) as stop:
        async with opened(choice, out, progress, why) as judge:
            assert isinstance(judge, SGLangJudge), "only served judges are asked to write"
            with progress.bar("writing", " rationales", wanted) as advance:
                async for lot in judge.rationales(unexplained_questions(store), stop.asked):
                    await asyncio.to_thread(add_rationales, store, writer, judge.info.name, lot)
                    so_far = so_far.and_more(lot)
                    advance(len(lot), f"{so_far.failed:,} failed" if so_far.failed else "")
    if stop.wanted:
        raise Interrupted(f"stopped; {so_far.written} rationales are kept, and the same command goes on from there")
    return so_far
