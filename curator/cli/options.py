"""Options that commands share. Each may also come from the environment (CURATOR_...) or a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


class Level(click.ParamType[Fraction]):
    """A risk level, kept exact: "0.07" is 7/100."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        from curator.conformal import exact

        try:
            return value if isinstance(value, Fraction) else exact(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Levels(click.ParamType[tuple[Fraction, ...]]):
    """Risk levels with commas between them: 0.01,0.05,0.1."""

    name = "levels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Fraction, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(Level().convert(text.strip(), param, ctx) for text in str(value).split(","))


class Number(click.FloatRange):
    """A number in a range; unlike every other number, NaN is in all of them for Click."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number to work with", param, ctx)
        return number


class Edge(click.ParamType["float | str"]):
    """A probability over one half, or the word "fit"."""

    name = "edge"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "fit":
            return "fit"
        try:
            return Number(0.5, 1, min_open=True).convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither a probability over 0.5, up to 1, nor fit", param, ctx)


def option(name: str, *also: str, **settings: Any) -> Callable[[Command], Command]:
    """A Click option that the environment variable CURATOR_<NAME> sets too."""
    return click.option(
        name, *also, envvar="CURATOR_" + name.strip("-").replace("-", "_").split("/")[0].upper(), **settings
    )


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in the order given."""

    def decorate(command: Command) -> Command:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


where = click.option(
    "--where", metavar="SQL",
    help="Only pairs for which this condition holds, over the columns of the view example: prompt, response_a, "
    "metadata->>'field', words_a, language_prompt, near_duplicate_of, ...",
)  # fmt: skip

db = option("--db", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The DuckDB store.")

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")

rule = together(
    option("--alpha", type=Level(), default="0.1", show_default=True, help="How much error is allowed, exactly."),
    option(
        "--guarantee", type=click.Choice(["fdr", "pac", "scope"]), default="fdr", show_default=True,
        help="Which promise: fdr, expected share of wrong among accepted in this batch; pac, error rate among accepted "
        "with confidence 1 - delta; scope, probability of accepted and wrong.",
    ),
    option("--delta", type=Level(), default="0.1", show_default=True, help="How often pac may fail."),
    option(
        "--ties", type=click.Choice(["error", "exclude"]), default="error", show_default=True,
        help='A person\'s "tie" on a calibration pair: an error of any label, or left out of calibration.',
    ),
    option(
        "--min-label-mass", type=Number(0, 1), default=0.25, show_default=True,
        help="A reply in which the labels hold less of the probability is no verdict.",
    ),
    option(
        "--score", type=click.Choice(["bpe", "one-order", "agreement", "votes", "verbalised"]), default="bpe",
        show_default=True,
        help="What ranks the pairs: the order-averaged preference (bpe), that of order ab alone, whether both orders "
        "agree, the share of votes of all judges, or how sure the judge says it is.",
    ),
    option(
        "--votes", type=click.Choice(["majority", "strict", "weighted"]), default="majority", show_default=True,
        help="Several labels of one pair as one: what most say, a side only where nobody disagrees, or what weighs "
        "most, each annotator by how far he or she agrees with the others.",
    ),
    option(
        "--suspects", type=click.Choice(["queue", "judge"]), default="queue", show_default=True,
        help="Pairs of which a response talks to the judge (orders, claims about the other one, control tokens, ...): "
        "people decide, or the judge as about all others.",
    ),
    option("--group-by", metavar="FIELD", help="Keep the promise within each group of rows with one value of a field."),
    option(
        "--group-min", type=click.IntRange(1), default=50, show_default=True,
        help="Groups with fewer labelled pairs are decided together.",
    ),
)  # fmt: skip

panel = together(
    option(
        "--combine", type=click.Choice(["log-odds", "probability", "fitted"]), default="log-odds", show_default=True,
        help="Several judges as one: the mean of their log-odds or probabilities, or log-odds with weights fitted on "
        "the rows of --fit-fraction.",
    ),
    option(
        "--missing", type=click.Choice(["abstain", "mean"]), default="abstain", show_default=True,
        help="A pair on which one of several judges failed: abstain, or take those that answered.",
    ),
    option(
        "--cascade", type=Edge(), metavar="P|fit",
        help="Ask each next judge only about pairs on which those before it give the better response less than P; fit: "
        "choose P on the rows of --fit-fraction.",
    ),
    option(
        "--fit-fraction", type=Number(0, 1), default=0.0, show_default=True,
        help="Share of the labelled pairs to fit weights or cascade on; they do not calibrate.",
    ),
)  # fmt: skip

audit = option(
    "--audit", type=Number(0, 1), default=0.0, metavar="SHARE", show_default=True,
    help="Have people check a random sample of the accepted pairs, hidden among the others, to see the error that was "
    "really bought. What was drawn once stays drawn.",
)  # fmt: skip

queue_order = option(
    "--order", type=click.Choice(["uncertain", "disagreement", "random", "diverse"]), default="uncertain",
    show_default=True,
    help="Of the tasks behind the calibration draw: least sure first; those on which orders and judges are furthest "
    "apart; by chance; some of every topic, least sure first.",
)  # fmt: skip

annotators = together(
    option(
        "--annotators-per-pair", type=click.IntRange(1, 99), metavar="N",
        help="So many people answer each of a share of the pairs, to measure how far they agree. Kept.  [default: 1]",
    ),
    option(
        "--overlap", type=Number(0, 1), metavar="SHARE",
        help="Share of the pairs that they all answer, drawn by chance alone. Kept.  [default: 0.1]",
    ),
)  # fmt: skip


def keep_annotators(store: Any, annotators: int | None, share: float | None) -> None:
    """Keep in the store what was said of how many people answer a pair."""
    from curator.errors import InputError
    from curator.steps.queueing import keep_readers

    try:
        keep_readers(store, annotators, share)
    except InputError as error:
        raise click.UsageError(str(error)) from None


about = together(
    option("--license", metavar="NAME", help="License of the data, as the hub spells it: cc-by-4.0, other, ..."),
    option("--language", "languages", metavar="CODE", multiple=True, help="A language of the data: en, de, ..."),
    option("--pretty-name", metavar="TEXT", help="A title for the data set."),
)


def about_choice(values: dict[str, Any]) -> Any:
    """The `About` of parsed options."""
    from curator.exports.header import About

    try:
        return About(values["license"], values["languages"], values["pretty_name"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None


reading = together(
    option("--input-format", metavar="NAME", help="Format of RAW, where its fields do not tell."),
    click.option(
        "--map", "fields", metavar="NAME=FIELD", multiple=True,
        help="Read a table of your own: which field is prompt, a, b and perhaps label, or chosen and rejected; perhaps "
        "id, system, annotator, strength. FIELD may be a path: question.text, answers.0.",
    ),
    click.option(
        "--label-value", "label_values", metavar="VALUE=VERDICT", multiple=True,
        help="What a value of the mapped label means: a, b, tie, both_bad or skip.",
    ),
    option(
        "--criterion", metavar="NAME",
        help="Which verdict is meant, where rows have several (PKU-SafeRLHF: better, safer).",
    ),
    option(
        "--pairs", "pairing", metavar="POLICY", default="all", show_default=True,
        help="Which responses are compared where a prompt has more than two: all; adjacent (neighbours by score, or in "
        "the file); best-worst (by score); random:K (K pairs a prompt); tournament (some rounds, drawn beforehand).",
    ),
    option("--pairs-seed", default="0", show_default=True, help="Seed of what --pairs leaves to chance."),
    option("--ignore-labels", is_flag=True, help="Take no labels from the rows: judge them as if they had none."),
)  # fmt: skip


EXPORTS = (
    "trl", "trl-implicit", "trl-reward", "trl-kto", "openrlhf", "axolotl", "llamafactory", "parquet", "jsonl",
    "ranking",
)  # fmt: skip
"""The names of `curator.exports.registry`, which loads more than a list of options may."""

export = option(
    "--export", "export", type=click.Choice(EXPORTS), multiple=True,
    help="Write the data set in this form too, to OUT/exports; may be repeated.",
)  # fmt: skip

wanted = together(
    click.option("--to", type=click.Choice(EXPORTS), default="trl", show_default=True, help="For which trainer."),
    option(
        "--columns", type=click.Choice(["all", "minimal"]), default="all", show_default=True,
        help="minimal: only the columns that the trainer reads; which labels are the judge's and on which side each "
        "response stood is lost.",
    ),
    option(
        "--split", type=Number(0, 1, max_open=True), default=0.0, show_default=True, metavar="SHARE",
        help="Share of the prompts that make a test split, which shares no prompt with the other.",
    ),
    option(
        "--min-strength", type=Number(0), default=0.0, show_default=True, metavar="STRENGTH",
        help="Leave out weaker preferences: by the strength that the raw file states, in its unit, else by the "
        "log-odds of p_target (1.1: 3 to 1).",
    ),
    option("--only", type=click.Choice(["auto", "human"]), help="Only labels of the judge, or only those of people."),
    option(
        "--margin", type=click.Choice(["target", "strength"]), default="target", show_default=True,
        help="The margin column for reward models: log-odds of p_target, or the strength that the raw file states.",
    ),
)  # fmt: skip


def wanted_choice(values: dict[str, Any]) -> Any:
    """The `Wanted` of parsed options."""
    from curator.options import Wanted

    return Wanted(
        values["to"], values["columns"] == "minimal", values["split"], values["only"], values["min_strength"],
        where=values["where"], margin=values["margin"],
    )  # fmt: skip


def reading_choice(values: dict[str, Any]) -> Any:
    """The `Reading` of parsed options."""
    from curator.options import Reading
    from curator.pairing import parse_pairing

    try:
        return Reading(
            values["input_format"],
            tuple(_assignment(text) for text in values["fields"]),
            tuple(_assignment(text) for text in values["label_values"]),
            values["criterion"],
            parse_pairing(values["pairing"], values["pairs_seed"]),
            values["ignore_labels"],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise ValueError(f"{text!r}: write it as NAME=VALUE")
    return name, value


def panel_choice(values: dict[str, Any]) -> Any:
    """The `Panel` of parsed options."""
    from curator.combining import Combine, Missing, Panel

    edge = values["cascade"]
    try:
        return Panel(
            Combine(values["combine"]),
            Missing(values["missing"]),
            None if edge == "fit" else edge,
            edge == "fit",
            values["fit_fraction"],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def rule_choice(values: dict[str, Any]) -> Any:
    """The `Rule` of parsed options."""
    from curator.conformal import Guarantee
    from curator.options import Rule, Suspects, Ties, Votes
    from curator.signals import Signal

    return Rule(
        Guarantee(values["guarantee"]), values["alpha"], values["delta"], Ties(values["ties"]),
        values["min_label_mass"], values["group_by"], values["group_min"], Signal(values["score"]),
        Votes(values["votes"]), Suspects(values["suspects"]),
    )  # fmt: skip
