"""`curator plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import judge_options, options
from curator.cli.configuring import Configured, recipe
from curator.cli.options import option


class Amount(click.ParamType[int]):
    """A large whole number, such as 14B, 7e9 or 15000000."""

    name = "number"

    def __init__(self, least: int = 1, why: str = "") -> None:
        self._least, self._why = least, why

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from curator.planning import amount

        try:
            number = value if isinstance(value, int) else amount(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if number < self._least:
            self.fail(f"{value}: {self._why}", param, ctx)
        return number


class Several(click.Option):
    """An option to repeat; a recipe gives one value, or several with commas."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        return super().type_cast_value(ctx, value.split(",") if isinstance(value, str) else value)


@click.command("plan", cls=Configured)
@click.argument("raw", metavar="[RAW]", required=False)
@click.option(
    "--db", type=click.Path(path_type=Path, dir_okay=False), help="Plan for the pairs of a store instead of RAW."
)
@click.option("--cost", is_flag=True, help="GPU-hours, wall time, price and disk of judging every pair in both orders.")
@click.option("--labels", is_flag=True, help="How many labels buy how much coverage, from the scores in a store.")
@recipe
@option(
    "--parameters", type=Amount(10**6, "no judge has so few parameters; 14 billion are 14B"), metavar="NUMBER",
    help="Parameters of the judge (14B, 7e9); of a mixture of experts, the active ones. Needed for --cost.",
)  # fmt: skip
@option("--tokenizer", metavar="NAME|DIR", help="The judge's tokenizer.  [default: estimate, 4 bytes a token]")
@option("--template", metavar="NAME|FILE", default="chat", show_default=True, help="Judge template.")
@judge_options.rubric
@option("--count", type=Amount(), metavar="NUMBER", help="Pairs to reckon for.  [default: as many as there are]")
@option("--sample", type=click.IntRange(1), default=2_000, show_default=True, help="Pairs to render and count.")
@option("--gpus", type=click.IntRange(1), default=1, show_default=True, help="GPUs that judge side by side.")
@option(
    "--gpu-tflops", type=options.Number(0, min_open=True), default=400.0, show_default=True,
    help="What a GPU really reaches in bf16 matrix products; 400 is about 40% of an H100's peak.",
)  # fmt: skip
@option("--price", type=options.Number(0), help="Price of a GPU-hour, in any currency.")
@options.reading
@option(
    "--guarantee", cls=Several, type=click.Choice(["fdr", "pac", "scope"]), multiple=True, default=["fdr"],
    show_default=True, help="For --labels: which promise; repeat for several.",
)  # fmt: skip
@option(
    "--alphas", type=options.Levels(), default="0.05,0.1,0.2", show_default=True, metavar="LIST",
    help="For --labels: how much error is allowed.",
)  # fmt: skip
@option("--delta", type=options.Level(), default="0.1", show_default=True, help="For --labels: how often pac may fail.")
@option(
    "--ties", type=click.Choice(["error", "exclude"]), default="error", show_default=True,
    help="For --labels: a person's tie on a labelled pair is an error of any label, or left out.",
)  # fmt: skip
@option(
    "--accuracy", type=options.Number(0.5, 1, max_open=True), metavar="SHARE",
    help="For --labels: how often the judge is taken to be right.  [default: what the labels in the store say]",
)  # fmt: skip
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw the plan of --labels as SVG.")
@options.as_json
def command(
    as_json: bool, cost: bool, labels: bool, raw: str | None, db: Path | None, picture: Path | None, **values: Any
) -> None:
    """Reckon what judging will cost and what labels will buy, before anything is rented.

    --cost renders a sample of the pairs as judge prompts, counts their tokens and multiplies: pairs x orders x tokens x
    parameters. No judge is asked and nothing is written. It gives two figures: with a prefix cache that computes every
    shared beginning once, and without one. A server comes out in between. All of the input is read to count it; the
    sample is of whole prompts, drawn at random, since pairs of one prompt share their beginning.

    --labels takes the judge's scores from a store, and how its error rate falls with its sureness from the labels there
    (or from an --accuracy that you assume), and simulates calibration: with so many labels, this share of the other
    pairs is auto-labelled. It is an estimate that no promise rests on; decide by it before you look at results.

    \b
    Examples:
      curator plan --labels --db raw.curated/curator.duckdb --guarantee fdr --guarantee pac
      curator plan --labels --db raw.curated/curator.duckdb --accuracy 0.85 --picture plan.svg
      curator plan raw.jsonl --cost --parameters 14B --tokenizer Qwen/Qwen2.5-14B-Instruct --gpus 8
      curator plan raw.jsonl --cost --parameters 14B --count 15000000 --price 2.50
      curator plan --cost --db raw.curated/curator.duckdb --parameters 7e9
    """
    if not cost and not labels:
        raise click.UsageError(
            "say what to plan: --cost reckons GPU-hours from pairs, tokens and parameters; --labels, how much coverage "
            "so many labels buy"
        )
    if labels and db is None:
        raise click.UsageError("--labels needs --db: the scores of a store tell how sure the judge is")
    if picture is not None and not labels:
        raise click.UsageError("--picture is of --labels")
    if (raw is None) == (db is None):
        raise click.UsageError("give RAW, or --db for the pairs of a store" + (", not both" if raw else ""))
    if cost and values["parameters"] is None:
        raise click.UsageError("--cost needs --parameters, such as 14B: how large is the judge?")
    from curator import __version__
    from curator.cli.summary import print_json
    from curator.cli.tables import plan_lines
    from curator.progress import clean

    result: dict[str, Any] = {"version": __version__}
    lines: list[str] = []
    if cost:
        result |= _cost(raw, db, values)
        lines += cost_lines(result["cost"])
    if labels and db is not None:
        result["labels"] = _labels(db, picture, values)
        lines += [""] * bool(lines) + plan_lines(result["labels"])
    if as_json:
        print_json(result)
    else:
        click.echo(clean("\n".join(lines)))


def _cost(raw: str | None, db: Path | None, values: dict[str, Any]) -> dict[str, Any]:
    from curator.planning import Machine
    from curator.progress import Terminal
    from curator.steps.costing import plan_cost

    rubric = values["rubric"]
    if rubric is not None and rubric.apart:
        raise click.UsageError(
            f"--cost is of one judge, and {rubric} makes {len(rubric.criteria)}: plan with one criterion, and multiply"
        )
    machine = Machine(values["parameters"], values["gpu_tflops"], values["gpus"], values["price"])
    chosen = {name: values[name] for name in ("template", "tokenizer", "sample", "rubric")}
    return plan_cost(
        raw, db, machine, **chosen, pairs=values["count"], reading=options.reading_choice(values), progress=Terminal()
    )


def _labels(db: Path, picture: Path | None, values: dict[str, Any]) -> dict[str, Any]:
    from curator.conformal import Guarantee
    from curator.label_plan import Question
    from curator.options import Ties
    from curator.steps.buying import plan_labelling

    guarantees = [Guarantee(name) for name in dict.fromkeys(values["guarantee"])]
    asked = Question(guarantees, sorted(set(values["alphas"])), values["delta"])
    plan = plan_labelling(db, asked, Ties(values["ties"]), values["accuracy"])
    if picture is not None:
        from curator.steps.plan_picture import draw_plan

        draw_plan(plan, picture)
    return plan


def cost_lines(cost: dict[str, Any]) -> list[str]:
    """The cost as a table for people, each line with its arithmetic."""
    read, sample, best, none = cost["input"], cost["sample"], cost["perfect_cache"], cost["no_cache"]
    about, how = ("", "all there are") if sample["whole"] else ("about ", "whole prompts, drawn at random")
    error = cost["tokens_a_prompt_error"]
    spread = f" +- {_short(error)}" if error else ""
    counted = f"counted with {cost['tokenizer']}" if cost["tokenizer"] else "estimated: bytes / 4"
    pairs, stored = f"{cost['pairs']:,} pairs", cost["store_bytes"]
    lines = [
        f"input        {read['rows']:,} rows = {about}{read['pairs']:,} pairs + {read['duplicates']:,} duplicates + "
        f"{read['rejected']:,} rejects",
        f"sample       {sample['pairs']:,} pairs of {sample['prompts']:,} prompts: {how}",
        f"prompt       {_short(cost['tokens_a_prompt'])}{spread} tokens, {counted}",
        f"sent         {pairs} x 2 orders x {_short(cost['tokens_a_prompt'])} tokens = {_large(none['tokens'])} tokens",
        f"computed     {pairs} x 2 orders x {_short(best['tokens'] / cost['pairs'] / 2)} tokens = "
        f"{_large(best['tokens'])} tokens with a perfect prefix cache ({best['tokens'] / none['tokens']:.0%} of sent)",
        f"orders       both orders compute {cost['two_orders_over_one']:.3g} times the tokens of one",
        *_work_lines("with cache", best, cost),
        *_work_lines("without", none, cost),
        f"store        {pairs} x {_large(stored / cost['pairs'])}B = {_large(stored)}B on disk",
        f"assumed      a GPU reaches {_short(cost['gpu_tflops'])} TFLOP/s in bf16 (an H100's peak: 989) and never "
        "waits; attention, loading and retries are left out",
    ]
    if cost["estimate_range"]:
        low, high = cost["estimate_range"]
        lines.append(
            f"estimated    a token may have 3 to 5 bytes: tokens, hours and price {low:.2f} to {high:.2f} times these; "
            "--tokenizer counts them"
        )
    return lines


def _work_lines(name: str, work: dict[str, Any], cost: dict[str, Any]) -> list[str]:
    gpus = f"{cost['gpus']:,} GPU{'s' if cost['gpus'] > 1 else ''}"
    flop, hours = f"{_large(work['flops'])}FLOP", f"{_short(work['gpu_hours'])} GPU-hours"
    price = "" if work["price"] is None else f", x {cost['gpu_hour_price']:,.2f} = {work['price']:,.2f}"
    return [
        f"{name:13}2 x {_large(cost['parameters'])} parameters x {_large(work['tokens'])} tokens = {flop}",
        f"{'':13}{flop} / {_short(cost['gpu_tflops'])} TFLOP/s / 3,600 s = {hours}{price}",
        f"{'':13}{hours} / {gpus} = {_short(work['wall_hours'])} hours",
    ]


def _short(number: float) -> str:
    """Three digits or more of a number: 1,234, 56.7, 0.0123."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _large(number: float) -> str:
    """A number with a decimal prefix: 24.4 G."""
    prefixes = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    return next((f"{number / one:,.3g} {prefix}" for one, prefix in prefixes if number >= one), f"{number:.3g}")
