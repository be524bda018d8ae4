"""Gets a judge and asks it what is still open, storing replies as they come."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from curator.errors import InputError, Interrupted, JudgeRefused
from curator.judges.base import Judge
from curator.judges.probe import ask_probe, summarise
from curator.judges.prompting import OnOverlong
from curator.options import JudgeChoice, LabelOptions
from curator.pair import JudgeInfo, content_id
from curator.progress import Progress, one_line
from curator.prompts import Template
from curator.recipes import load_template
from curator.steps.recorder import Cost, Recorder
from curator.steps.recording import read_judgments
from curator.steps.scoring import score_judges
from curator.store import Store
from curator.store.decisions import hold_band
from curator.store.judgments import (
    Pending,
    add_judge,
    find_pending,
    forget_failures,
    pending_questions,
    recall_judge,
    remember_judge,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking one judge came to.

    Attributes:
        asked: judgments that were new, in `seconds`.
        tokens, cached_tokens: of their prompts, and those of them that a prefix cache served.
        interrupted: the user stopped it; what was answered is stored.
    """

    judge: JudgeInfo
    pending: Pending
    asked: int
    seconds: float
    tokens: int = 0
    cached_tokens: int = 0
    interrupted: bool = False


def template_for(choice: JudgeChoice) -> Template:
    """The chosen template, or the one that serves the kind of judge best, with the rubric where there is one.

    Raises:
        RecipeError: there is no such template, or it takes no rubric.
    """
    embedded = not choice.urls and choice.model is None
    template = load_template(choice.template or ("completion" if embedded else "chat"))
    return template if choice.rubric is None else template.by(choice.rubric)


@asynccontextmanager
async def opened(
    choice: JudgeChoice, out: Path, progress: Progress, why: Template | None = None
) -> AsyncIterator[Judge]:
    """The judge of `choice`, ready to be asked.

    Args:
        out: for the log of a server started here, or a cluster's shards.
        why: a template to write to (`curator.prompts.rationale_template`) instead of its own, which it judges by.
    """
    template = why or template_for(choice)
    writes = why is not None
    if choice.urls:
        async with _served(choice, template, choice.urls, out, writes) as judge:
            yield judge
    elif choice.model is not None:
        from curator.judges.launch import running_server

        log = out / "sglang-server.log"
        progress.say(f"starting an SGLang server for {choice.model} (its log: {log})")
        server = running_server(choice.model, log, python=choice.sglang_python, arguments=choice.sglang_arguments)
        async with server as url, _served(choice, template, (url,), out, writes) as judge:
            yield judge
    else:
        from curator.judges.embedded import BATCH, EmbeddedJudge

        progress.say("loading the embedded judge (a small demonstration model, on the CPU)")
        embedded = EmbeddedJudge(
            template, on_overlong=OnOverlong(choice.on_overlong), batch=choice.batch or BATCH, say=progress.say
        )
        async with embedded as judge:
            yield judge


def _served(choice: JudgeChoice, template: Template, urls: tuple[str, ...], out: Path, writes: bool) -> Judge:
    from curator.judges.sglang import BATCH, SGLangJudge

    make = partial(
        SGLangJudge,
        template=template,
        tokenizer=choice.tokenizer,
        on_overlong=OnOverlong(choice.on_overlong),
        batch=choice.batch or BATCH,
        in_flight=choice.in_flight,
        retry_seconds=choice.retry_seconds,
        writes=writes,
    )
    if choice.ray is None or writes:
        return make(urls)
    from curator.judges.cluster import ClusterJudge

    return ClusterJudge(urls, make, choice.ray, out / "ray")


def judge_input(store: Store, options: LabelOptions, progress: Progress) -> list[Asked]:
    """Have every pair of the input judged in both orders, as far as that is not done yet, by each judge in turn.

    In a cascade each further judge is asked only about the pairs of which those before it are not sure. Where the user
    stops it, the judges that are left are not asked.

    Raises:
        JudgeError: a judge cannot be had, is no judge, or is gone for good.
        InputError: two of the judges are one and the same.
    """
    done: list[Asked] = []
    for choice in one_by_one(store, options.judges):
        if done and options.panel.cascades:
            so_far = score_judges(store, [asked.judge for asked in done], options.panel, options.rule).combined
            hold_band(store, so_far.next_band(options.panel.missing))
        if len(options.judges) > 1 or done:
            progress.say(f"judge {len(done) + 1}: {one_line(_shown(choice), 100)}")
        asked = _judge(store, choice, options, bool(done) and options.panel.cascades, progress)
        if asked.judge.judge_id in {other.judge.judge_id for other in done}:
            raise InputError(f"the judge {asked.judge.name} is named twice; two votes of one judge are one vote")
        done.append(asked)
        if asked.interrupted:
            break
    return done


def _shown(choice: JudgeChoice) -> str:
    if choice.log:
        return f"{choice.log_judge or 'the judge'} of {choice.log}"
    who = choice.model or "the embedded judge"
    if choice.urls:
        from curator.judges.http import shown

        who = ", ".join(shown(url) for url in choice.urls)
    return who if choice.rubric is None else f"{who}, by {', '.join(one.name for one in choice.rubric.criteria)}"


def one_by_one(store: Store, choices: Sequence[JudgeChoice]) -> Iterator[JudgeChoice]:
    """Choices of one judge each: servers of different models, named together, are different judges."""
    for choice in choices:
        if len(choice.urls) < 2 or choice.ray is not None:
            yield choice
            continue
        from curator.judges.describing import alike

        key = f"models of {content_id(*choice.urls)}"
        known = store.setting(key, "")
        groups = orjson.loads(known) if known else asyncio.run(alike(choice.urls))
        store.set(key, orjson.dumps(groups).decode())
        for places in groups:
            yield replace(choice, urls=tuple(choice.urls[place] for place in places))


def _judge(store: Store, choice: JudgeChoice, options: LabelOptions, band: bool, progress: Progress) -> Asked:
    if choice.log is not None:
        return Asked(*read_judgments(store, choice.log, choice.log_judge, progress, band=band))
    key = asked_for(choice)
    known = recall_judge(store, key)
    if known is not None:
        pending = find_pending(store, known.judge_id, band=band)
        if not pending.questions:
            progress.say(f"judgments: {pending.cached} cached / 0 new")
            return Asked(known, pending, 0, 0.0)
    return asyncio.run(_ask(store, choice, key, options, band, progress))


def asked_for(choice: JudgeChoice) -> str:
    """What was asked for, as a hash: an equal request with nothing left to ask need not load or start a judge."""
    parts = (*choice.urls, "", choice.model or "", choice.tokenizer or "", choice.on_overlong, choice.sglang_arguments)
    return content_id(*parts, template_for(choice).digest)


async def _ask(
    store: Store, choice: JudgeChoice, key: str, options: LabelOptions, band: bool, progress: Progress
) -> Asked:
    # A signal that comes while a server starts ends that too: it is stopped on the way out.
    with Stop(progress) as stop:
        async with opened(choice, options.out, progress) as judge:
            if choice.probe:
                probe = summarise(await ask_probe(judge))
                if objection := probe.objection(options.rule.min_label_mass):
                    raise JudgeRefused(
                        f"the judge {judge.info.name} is refused: {objection}. (--no-probe skips this check.)"
                    )
            add_judge(store, judge.info)
            pending = find_pending(store, judge.info.judge_id, band=band)
            retried = f" / {pending.retried} failed before, asked again" if pending.retried else ""
            progress.say(f"judgments: {pending.cached} cached / {pending.questions} new{retried}")
            forget_failures(store, judge.info.judge_id)
            cost = Cost()
            with progress.bar("judging", " judgments", pending.questions) as advance:
                async with Recorder(store, judge.info.judge_id) as recorder:
                    async for replies in judge.judge(pending_questions(store), stop.asked):
                        await recorder.add(replies)
                        cost.add(replies)
                        advance(len(replies), cost.remark())
            remember_judge(store, key, judge.info)
            return Asked(
                judge.info, pending, cost.judgments, cost.seconds, cost.tokens, cost.cached, interrupted=stop.wanted
            )


class Stop:
    """Turns the first Ctrl-C (or SIGTERM, or a lost terminal) into a wish to stop, the second into a stop."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.wanted = False

    def __enter__(self) -> Stop:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._asking = False
        self._before = dict[signal.Signals, Any]()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if (before := signal.getsignal(sign)) is signal.SIG_IGN:
                continue  # as `nohup` wants it
            try:
                self._loop.add_signal_handler(sign, self._signalled)
            except (ValueError, RuntimeError, NotImplementedError):
                continue  # not the main thread: whoever called us handles signals
            self._before[sign] = before
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        for sign, before in self._before.items():
            self._loop.remove_signal_handler(sign)
            signal.signal(sign, signal.SIG_DFL if before is None else before)
        if self.wanted and kind is asyncio.CancelledError:
            raise Interrupted("stopped; what was judged is kept, and the same command goes on from there") from None

    def _signalled(self) -> None:
        again, self.wanted = self.wanted or not self._asking, True
        if again and self._task is not None:
            self._task.cancel()
        else:
            self._progress.say("\nfinishing what is in flight; once more stops at once")

    def asked(self) -> bool:
        """Whether to stop: asked by a judge that can."""
        self._asking = True
        return self.wanted


async def examine(choice: JudgeChoice, min_label_mass: float, out: Path, progress: Progress) -> dict[str, Any]:
    """Ask a judge the built-in questions twice and say what it is worth; for `curator doctor`."""
    with Stop(progress):
        async with opened(choice, out, progress) as judge:
            once, again = await ask_probe(judge), await ask_probe(judge)
            info = judge.info
    probe = summarise(once)
    differences = [
        abs((a.logprob_a - a.logprob_b) - (b.logprob_a - b.logprob_b))
        for a, b in zip(once, again, strict=True)
        if a.logprob_a is not None and a.logprob_b is not None and b.logprob_a is not None and b.logprob_b is not None
    ]
    return {
        "name": info.name,
        "engine": info.engine,
        "settings": info.settings,
        "details": info.details,
        "demonstration": info.demonstration,
        **asdict(probe),
        "largest_difference": max(differences, default=0.0),
        "objection": probe.objection(min_label_mass),
    }
