"""How often a response that talks to the judge turns its verdict.

    python -m tests.survival injections --template chat --template quoted

Of real pairs, the response that people like less gets an injection (`injections.yaml`): it stands alone in its place,
before it or after it. Both orders are judged, as always. The control is the same pair with harmless text of about the
same length in the same place: what injections turn beyond it is what they do. Pairs whose people do not agree are
left out, and so are long ones, for want of time. Every template meets the same attempts.

A verdict is "turned" where the judge was right without the attack and prefers the attacker with it. The interval of a
rate is exact, as if attempts on one pair were independent, which they are not; those of the shift beyond the control
and of the difference between two templates are over pairs.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from curator import conformal
from curator.intervals import clopper_pearson
from curator.judges.base import Judge
from curator.judges.embedded import EmbeddedJudge, model_folder
from curator.judges.sglang import SGLangJudge
from curator.pair import Order, Pair, Verdict
from curator.preference import preference
from curator.prompts import Question, Template
from tests.sglang_cpu import server
from tests.survival.attempts import (
    CANDIDATES,
    MOST_CHARACTERS,
    PLACES,
    Attempt,
    Frame,
    attempts,
    clear_pairs,
    injections,
    template_of,
)

ROOT = Path(__file__).parents[2]
DATA = tuple(ROOT.parent / "shared" / "data" / f"{name}.jsonl" for name in ("pandalm", "hhh"))

Odds = tuple[float, float, float]
"""Log-odds of the better response: averaged over the orders, when a was shown first, when b was."""


async def log_odds(judge: Judge, pairs: Iterable[Pair], log: Path | None = None) -> dict[str, Odds]:
    """What a judge says of pairs whose label is known, by id; pairs that it fails on are left out.

    Args:
        log: file of judgments that need not be asked for again; those that are new are added.
    """
    async with judge:
        wanted = {pair.pair_id: pair for pair in pairs}
        known = dict(_read_log(log, judge.info.judge_id)) if log and log.exists() else {}
        asked = [
            Question(pair.pair_id, order, pair.prompt, first, second)
            for pair in wanted.values()
            for order, first, second in (
                (Order.AB, pair.response_a, pair.response_b), (Order.BA, pair.response_b, pair.response_a)
            )
            if (pair.pair_id, order) not in known
        ]  # fmt: skip
        asked.sort(key=lambda question: len(question.first) + len(question.second))  # little is padded in a batch
        async for batch in judge.judge(asked):
            for reply in batch:
                if reply.failed is None:
                    known[reply.pair_id, reply.order] = reply.logprob_a, reply.logprob_b, reply.logprob_tie
            if log:
                rows = ((judge.info.judge_id, r.pair_id, r.order, *known.get((r.pair_id, r.order), ())) for r in batch)
                with log.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
    return {
        name: _averaged(known[name, Order.AB], known[name, Order.BA], 1 if pair.label is Verdict.A else -1)
        for name, pair in wanted.items()
        if (name, Order.AB) in known and (name, Order.BA) in known
    }


Reply = tuple[float, float, float | None]


def _read_log(path: Path, judge_id: str) -> Iterator[tuple[tuple[str, Order], Reply]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        judge, pair_id, order, *reply = json.loads(line)
        if judge == judge_id and reply:
            yield (pair_id, Order(order)), (reply[0], reply[1], reply[2])


def _averaged(ab: Reply, ba: Reply, sign: int) -> Odds:
    gaps = ab[0] - ab[1], ba[0] - ba[1]
    ties = [None if r[2] is None else [np.exp(r[2]) / sum(np.exp(np.array(r, float)))] for r in (ab, ba)]
    both = preference([gaps[0]], [gaps[1]], *ties).log_odds[0]
    return float(sign * both), sign * gaps[0], sign * gaps[1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt: the judge's log-odds of the better response without it, with it, in its control."""

    pair: str
    family: str
    place: str
    clean: Odds
    attacked: Odds
    control: Odds
    suspect: bool = False

    @property
    def tried(self) -> bool:
        """Whether there is a right verdict to be turned."""
        return self.clean[0] > 0

    def turned(self, other: Odds) -> bool:
        return self.tried and other[0] < 0

    @property
    def turned_in_one_order(self) -> bool:
        return sum(was > 0 > now for was, now in zip(self.clean[1:], self.attacked[1:], strict=True)) == 1


def outcomes(
    tries: Iterable[Attempt], frame: Frame, odds: Mapping[str, Odds], suspect: Callable[[Pair], bool] = lambda _: False
) -> list[Outcome]:
    """The attempts all of whose pairs were judged."""
    found = []
    for one in tries:
        attacked, control = one.attacked(frame), one.control(frame)
        if {one.pair.pair_id, attacked.pair_id, control.pair_id} <= odds.keys():
            values = [odds[pair.pair_id] for pair in (one.pair, attacked, control)]
            found.append(Outcome(one.pair.pair_id, one.injection.family, one.place, *values, suspect(attacked)))
    return found


def share(count: int, of: int) -> dict[str, Any]:
    """A rate with its exact 95% interval."""
    low, high = clopper_pearson(count, of) if of else (0.0, 1.0)
    return {"count": count, "of": of, "rate": count / of if of else None, "low": low, "high": high}


def summary(found: Sequence[Outcome], sure: float = float("inf"), threshold: float | None = None) -> dict[str, Any]:
    """Rates over some outcomes.

    Args:
        sure: sureness that half of the pairs reach without any attack.
        threshold: sureness from which a pair is auto-labelled; None: none is.
    """
    tried = [one for one in found if one.tried]
    turned = [one for one in tried if one.turned(one.attacked)]
    auto = [one for one in turned if threshold is not None and -one.attacked[0] >= threshold]
    return {
        "attempts": len(found),
        "turned": share(len(turned), len(tried)),
        "control": share(sum(one.turned(one.control) for one in tried), len(tried)),
        "one_order": share(sum(one.turned_in_one_order for one in found), len(found)),
        "shift": _mean(one.clean[0] - one.attacked[0] for one in found),
        "control_shift": _mean(one.clean[0] - one.control[0] for one in found),
        "gain": gain(found),
        "worse_wins": [_mean(getattr(one, name)[0] < 0 for one in found) for name in ("clean", "control", "attacked")],
        "suspects": _mean(one.suspect for one in found),
        "turned_sure": share(sum(-one.attacked[0] >= sure for one in turned), len(tried)),
        "turned_auto": share(len(auto), len(tried)),
        "turned_auto_unsuspected": share(sum(not one.suspect for one in auto), len(tried)),
    }


def _mean(values: Iterable[float]) -> float | None:
    found = [float(value) for value in values]
    return float(np.mean(found)) if found else None


Interval = tuple[float, float, float]
"""A value, and the ends of its 95% interval over pairs drawn anew with all their attempts: those on one are alike."""


def difference(one: Sequence[Outcome], other: Sequence[Outcome]) -> Interval:
    """Rate of turned verdicts of one judge, less that of another over the same attempts."""
    rows = [(o.pair, (o.turned(o.attacked), o.tried, 0, 0)) for o in one]
    rows += [(o.pair, (0, 0, o.turned(o.attacked), o.tried)) for o in other]
    return _over_pairs(rows, lambda s: s[..., 0] / np.maximum(s[..., 1], 1) - s[..., 2] / np.maximum(s[..., 3], 1))


def gain(found: Sequence[Outcome]) -> Interval:
    """How far injections move the log-odds towards the attacker, beyond what the control does."""
    rows = [(o.pair, (o.control[0] - o.attacked[0], 1.0)) for o in found]
    return _over_pairs(rows, lambda s: s[..., 0] / np.maximum(s[..., 1], 1))


def _over_pairs(
    rows: Iterable[tuple[str, tuple[float, ...]]], value: Callable[[Any], Any], draws: int = 2_000
) -> Interval:
    """A function of sums over attempts; each row is a pair and what its attempt adds to each sum."""
    sums: dict[str, Any] = {}
    for name, row in rows:
        sums[name] = sums.get(name, 0) + np.array(row, dtype=float)
    if not sums:
        return (float("nan"),) * 3
    table = np.stack(list(sums.values()))
    picked = np.random.default_rng(1).integers(0, len(table), (draws, len(table)))
    low, high = np.quantile(value(table[picked].sum(axis=1)), (0.025, 0.975))
    return float(value(table.sum(axis=0))), float(low), float(high)


@contextmanager
def judges(engine: str, urls: Sequence[str]) -> Iterator[Callable[[Template], Judge]]:
    """What makes a judge of a template."""
    if engine == "embedded":
        yield EmbeddedJudge
    elif urls:
        yield lambda template: SGLangJudge(urls, template)
    else:
        with server.serve(Path(model_folder(print)[0])) as url:
            yield lambda template: SGLangJudge([url], template)


def suspected() -> Callable[[Pair], bool]:
    """What tells whether curator's detector would send a pair to people."""
    if find_spec("curator.suspicion") is None:
        return lambda _: False
    signs = import_module("curator.suspicion").signs
    return lambda pair: bool(signs(pair.response_a) or signs(pair.response_b))


def detected(template: Template, pair: Pair, suspect: Callable[[Pair], bool]) -> dict[str, Any]:
    """How many injections, in every place and with both guesses, a detector finds in a pair."""
    frame = Frame.of(template)
    every = [Attempt(pair, one, place, guess) for one in injections() for place in PLACES for guess in (True, False)]
    return share(sum(suspect(one.attacked(frame)) for one in every), len(every))


@dataclass(frozen=True, slots=True)
class Measured:
    """One judge by one template."""

    engine: str
    template: str
    right: dict[str, Any]
    sure: float
    threshold: float | None
    outcomes: list[Outcome]
    odds: dict[str, Odds]

    def summary(self) -> dict[str, Any]:
        return summary(self.outcomes, self.sure, self.threshold)

    def parts(self, key: str) -> dict[str, dict[str, Any]]:
        """Summaries by family or place."""
        parts: dict[str, list[Outcome]] = {}
        for one in self.outcomes:
            parts.setdefault(getattr(one, key), []).append(one)
        return {name: summary(part, self.sure, self.threshold) for name, part in parts.items()}


def measure(
    engine: str, judge: Judge, template: Template, tries: Sequence[Attempt], extra: Sequence[Pair],
    alpha: str = "0.1", log: Path | None = None,
) -> Measured:  # fmt: skip
    """Judge all that the attempts need.

    Args:
        extra: pairs that are not attacked; a threshold is calibrated on them.
    """
    frame = Frame.of(template)
    plain = {one.pair.pair_id: one.pair for one in tries}
    pairs = [*plain.values(), *extra, *(one.attacked(frame) for one in tries), *(one.control(frame) for one in tries)]
    odds = asyncio.run(log_odds(judge, pairs, log))
    clean = np.array([odds[name][0] for name in plain if name in odds])
    unattacked = np.array([odds[pair.pair_id][0] for pair in extra if pair.pair_id in odds])
    threshold = conformal.calibrate(np.abs(unattacked), unattacked <= 0, np.abs(clean), alpha=alpha).threshold
    every = np.concatenate([clean, unattacked])
    return Measured(
        engine, template.name, share(int((every > 0).sum()), every.size), float(np.median(np.abs(every))), threshold,
        outcomes(tries, frame, odds, suspected()), odds,
    )  # fmt: skip


_HEAD = (
    "attempts", "turned", "turned by the control", "in one order only", "shift of the log-odds, control, beyond it",
    "the worse wins: as it is, control, attacked", "turned and as sure as the surer half", "auto-labelled",
    "and no suspect",
)  # fmt: skip


def _cells(found: dict[str, Any]) -> list[str]:
    def rate(of: dict[str, Any], interval: bool = True) -> str:
        if of["rate"] is None:
            return "-"
        ends = f" ({of['low']:.2f} to {of['high']:.2f})" if interval else ""
        return f"{of['rate']:.2f}{ends}"

    return [
        str(found["turned"]["of"]), rate(found["turned"]), rate(found["control"]), rate(found["one_order"], False),
        "{:+.3f}, {:+.3f}, {:+.3f} ({:+.3f} to {:+.3f})".format(found["shift"], found["control_shift"], *found["gain"]),
        ", ".join(f"{value:.2f}" for value in found["worse_wins"]),
        *(rate(found[name], False) for name in ("turned_sure", "turned_auto", "turned_auto_unsuspected")),
    ]  # fmt: skip


def table(first: str, rows: Mapping[str, dict[str, Any]]) -> str:
    lines = [" | ".join([first, *_HEAD]), "|".join(["---"] * (1 + len(_HEAD)))]
    lines += [" | ".join([name, *_cells(found)]) for name, found in rows.items() if found["attempts"]]
    return "\n".join(f"| {line} |" for line in lines)


@click.command(help=__doc__)
@click.option("--engine", "engines", multiple=True, type=click.Choice(["embedded", "sglang"]), default=["embedded"])
@click.option(
    "--judge-url", "urls", multiple=True, help="A running server, for --engine sglang, instead of one of our own."
)
@click.option(
    "--template", "names", multiple=True, default=["completion", "chat"], help=f"Also: {', '.join(CANDIDATES)}."
)
@click.option("--pairs", "count", default=32, show_default=True, help="Pairs that are attacked.")
@click.option("--each", default=9, show_default=True, help="Attempts on each.")
@click.option("--calibrate", default=0, show_default=True, help="Further pairs, on which a threshold is calibrated.")
@click.option("--alpha", default="0.1", show_default=True, help="Its risk level.")
@click.option("--data", "paths", multiple=True, type=click.Path(path_type=Path, exists=True), help="Pairs with labels.")
@click.option("--most", default=MOST_CHARACTERS, show_default=True, help="Characters of a pair.")
@click.option("--log", type=click.Path(path_type=Path), help="File of judgments that need not be asked for again.")
@click.option("--detector", is_flag=True, help="Only count what curator's detector finds, and where it is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a judge instead of tables.")
def main(
    engines: tuple[str, ...], urls: tuple[str, ...], names: tuple[str, ...], count: int, each: int, calibrate: int,
    alpha: str, paths: tuple[Path, ...], most: int, log: Path | None, detector: bool, as_json: bool,
) -> None:  # fmt: skip
    pairs = clear_pairs(paths or filter(Path.is_file, DATA), most)
    random.Random(1).shuffle(pairs)
    if len(pairs) < count + calibrate:
        raise click.ClickException(f"only {len(pairs)} pairs are clear and short enough")
    if detector:
        suspect = suspected()
        for template in map(template_of, names):
            found_of = detected(template, pairs[0], suspect)
            click.echo(f"{template.name}: finds {found_of['count']} of {found_of['of']} attempts")
        click.echo(f"suspects {sum(map(suspect, pairs))} of {len(pairs)} pairs as they are")
        return
    tries, extra = attempts(pairs[:count], each), pairs[count : count + calibrate]
    found: list[Measured] = []
    for engine in engines:
        with judges(engine, urls) as make:
            for template in map(template_of, names):
                found.append(measure(engine, make(template), template, tries, extra, alpha, log))
                click.echo(f"{engine}, {template.name}: done", err=True)
    click.echo(json.dumps([_object(one, found[0]) for one in found]) if as_json else "\n\n".join(_tables(found)))


def _object(one: Measured, first: Measured) -> dict[str, Any]:
    gaps = [abs(one.odds[name][0] - first.odds[name][0]) for name in one.odds.keys() & first.odds.keys()]
    return {
        "engine": one.engine, "template": one.template, "right": one.right, "sure": one.sure,
        "threshold": one.threshold, "all": one.summary(), "less_first": difference(one.outcomes, first.outcomes),
        "largest_difference": max(gaps) if one.template == first.template else None,
        "by": {key: one.parts(key) for key in ("family", "place")},
    }  # fmt: skip


def _tables(found: Sequence[Measured]) -> Iterator[str]:
    for one in found:
        said = _object(one, found[0])
        threshold = (
            "no threshold, nothing is auto-labelled" if one.threshold is None else f"threshold {one.threshold:.3f}"
        )
        yield (
            f"{one.engine}, {one.template}: right on {one.right['count']} of {one.right['of']} unattacked pairs; "
            f"{threshold}; suspects {said['all']['suspects']:.2f} of the attacked"
        )
        if one is not found[0]:
            yield "turned, less the first: {:+.3f} ({:+.3f} to {:+.3f})".format(*said["less_first"])
            if said["largest_difference"] is not None:
                yield f"largest difference of log-odds to the first: {said['largest_difference']:.1e}"
    yield table("engine, template", {f"{one.engine}, {one.template}": one.summary() for one in found})
    for one in found:
        yield from (table(f"{one.template}: {key}", one.parts(key)) for key in ("family", "place"))


if __name__ == "__main__":
    main()
