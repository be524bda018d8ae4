"""Options that say who judges, and the judges they come to."""

from __future__ import annotations

from typing import Any

import click

from curator.cli.configuring import RECIPE, was_given
from curator.cli.options import Number, option, together


class RubricFile(click.ParamType[Any]):
    """A rubric by name or path; a recipe may hold the rubric itself."""

    name = "rubric"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from curator.recipes import load_rubric

        return load_rubric(value) if isinstance(value, (str, dict)) else value


rubric = option(
    "--rubric", type=RubricFile(), metavar="NAME|FILE",
    help="Criteria to judge by, in place of the template's own; `curator recipes --rubrics` lists some.",
)  # fmt: skip

judge = together(
    option(
        "--judge-url", metavar="URL", multiple=True,
        help="A running SGLang server; repeat it for more servers of one model, or of several: each model is a judge.",
    ),
    option(
        "--judge-model", metavar="NAME", multiple=True,
        help="A model to serve with SGLang on this machine for this run; repeat it for several, one after another.",
    ),
    option(
        "--template", metavar="NAME|FILE", multiple=True,
        help="Judge template; each of several makes another judge.  [default: chat; embedded: completion]",
    ),
    rubric,
    option("--tokenizer", metavar="NAME|DIR", help="The judge's tokenizer, if the server's own cannot be read here."),
    option(
        "--on-overlong", type=click.Choice(["truncate", "abstain"]), default="truncate", show_default=True,
        help="A pair longer than the judge's context: cut its texts in the middle, visibly, or leave it to people.",
    ),
    option("--batch", type=click.IntRange(1, 4096), help="Prompts a request.  [default: 16; embedded: 8]"),
    option("--in-flight", type=click.IntRange(1, 1024), help="Requests in flight a server.  [default: what it bears]"),
    option("--retry-seconds", type=Number(0), default=120.0, show_default=True, help="How long to retry."),
    option("--sglang-python", metavar="FILE", help="Python that has SGLang, for --judge-model.  [default: this one]"),
    option("--sglang-args", default="", metavar="FLAGS", help="More flags for the server of --judge-model."),
)  # fmt: skip


def judge_choices(values: dict[str, Any]) -> Any:
    """The `JudgeChoice`s of parsed options, or of the recipe where the options name no judge."""
    from curator.options import judge_choices

    common = {
        "tokenizer": values["tokenizer"],
        "on_overlong": values["on_overlong"],
        "probe": values.get("probe", True),
        "ray": values.get("ray"),
        "batch": values["batch"],
        "in_flight": values["in_flight"],
        "retry_seconds": values["retry_seconds"],
        "sglang_python": values["sglang_python"],
        "sglang_arguments": values["sglang_args"],
        "rubric": values["rubric"],
    }
    urls, models, logs = values["judge_url"], values["judge_model"], values.get("judgments", ())
    ctx = click.get_current_context()
    listed = ctx.meta[RECIPE].judges() if RECIPE in ctx.meta else []
    if listed and not (urls or models or logs):
        if values.get("judge"):
            raise click.UsageError("--judge says whose judgments of --judgments; the recipe lists its own judges")
        return _listed_judges(ctx, listed, values["template"], common)
    if logs and not (urls or models) and was_given(ctx, "rubric"):
        raise click.UsageError("--rubric is for a judge that is asked: those of --judgments have judged already")
    try:
        return judge_choices(urls, models, logs, values.get("judge", ()), values["template"], **common)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _listed_judges(ctx: click.Context, listed: list[dict[str, Any]], templates: Any, common: dict[str, Any]) -> Any:
    """The judges of a recipe; what each says of itself goes before what the recipe says for all."""
    from curator.options import JudgeChoice, by_criterion

    found = []
    for judge in listed:
        own = {name: value for name, value in judge.items() if not was_given(ctx, name)}
        if "log" in own:
            found.append(JudgeChoice(**{**common, "rubric": None, **own}))
        else:
            each = [own.pop("template")] if "template" in own else templates or [None]
            found += [JudgeChoice(**{**common, **own, "template": template}) for template in each]
    return by_criterion(found)
