"""Where the values of options come from: flag, environment, recipe or default, in this order; and saying so."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import click
from click.core import ParameterSource

from curator.hiding import masked

RECIPE = "curator.recipe"
"""Where a command keeps its recipe, for what is no option: judges, exports, and which file says what."""

_SHOW = "curator.show_config"


class Configured(click.Command):
    """A command that takes a recipe and can say what it would do, and do nothing."""

    def invoke(self, ctx: click.Context) -> Any:
        if not ctx.meta.get(_SHOW):
            return super().invoke(ctx)
        from curator.cli.summary import print_json
        from curator.progress import clean

        found = configuration(ctx)
        if ctx.params.get("as_json"):
            print_json(found)
        else:
            click.echo(clean("\n".join(_lines(found))))
        return 0


def _use_recipe(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from curator.recipes import load_recipe

        found = ctx.meta[RECIPE] = load_recipe(value)
        ctx.default_map = {
            parameter.name: _as_given(parameter, found.values[key_of(parameter)])
            for parameter in ctx.command.params
            if parameter.name is not None and key_of(parameter) in found.values
        }
    return value


def _as_given(parameter: click.Parameter, value: Any) -> Any:
    """A setting of a recipe as its option takes it."""
    if isinstance(value, dict) and parameter.multiple:
        return [f"{name}={text}" for name, text in value.items()]
    return [value] if parameter.multiple else value


def _show_config(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_SHOW] = value


def recipe(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --recipe and --show-config, for a command whose class is `Configured`."""
    show = click.option(
        "--show-config", is_flag=True, expose_value=False, callback=_show_config,
        help="Do nothing but say every value and where it comes from: flag, environment, recipe or default.",
    )  # fmt: skip
    take = click.option(
        "--recipe", metavar="NAME|FILE", envvar="CURATOR_RECIPE", is_eager=True, expose_value=False,
        callback=_use_recipe, help="Take defaults from a recipe; `curator recipes` lists them.",
    )  # fmt: skip
    return take(show(command))


def recipe_exports() -> Any:
    """What the recipe of the running command has exported: a tuple of `curator.options.Wanted`."""
    found = click.get_current_context().meta.get(RECIPE)
    return found.exports() if found else ()


def was_given(ctx: click.Context, name: str) -> bool:
    """Whether a parameter was given by flag or environment, and so goes before what a recipe says."""
    return ctx.get_parameter_source(name) in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}


def key_of(parameter: click.Parameter) -> str:
    """The name of a parameter in a recipe: that of its option, with underscores."""
    return max(parameter.opts, key=len).lstrip("-").replace("-", "_")


def configuration(ctx: click.Context) -> dict[str, Any]:
    """Every value of a command and where it comes from, credentials masked.

    Returns:
        `command`, `recipes` (files, each extending the next) and `values`: for each name its `value`, `from` ("flag",
        "environment", "recipe" or "default") and `where` (the flag, the variable, or the files; None for a default).
    """
    taken = ctx.meta.get(RECIPE)
    values: dict[str, Any] = {}
    for parameter in ctx.command.params:
        key = key_of(parameter)
        if parameter.name in ctx.params and key != "json":
            said, where = _origin(ctx, parameter, taken)
            values[key] = {"value": _plain(ctx.params[parameter.name]), "from": said, "where": where}
    if taken:
        # What is no option of its own, unless flags have taken its place.
        instead = {"judges": ("judge_url", "judge_model", "judgments"), "exports": ("export",)}
        for key, names in instead.items():
            if key in taken.values and names[0] in ctx.params and not any(ctx.params.get(name) for name in names):
                where = _files(taken.origins[key])
                values[key] = {"value": _plain(taken.values[key]), "from": "recipe", "where": where}
    if "judge_url" in ctx.params and "SGLANG_API_KEY" in os.environ:
        values["api_key"] = {"value": "***", "from": "environment", "where": "SGLANG_API_KEY"}
    return {
        "command": ctx.command.name,
        "recipes": [str(path) for path in taken.files] if taken else [],
        "values": values,
    }


def _origin(ctx: click.Context, parameter: click.Parameter, taken: Any) -> tuple[str, str | None]:
    source = ctx.get_parameter_source(str(parameter.name))
    if source is ParameterSource.COMMANDLINE:
        is_option = isinstance(parameter, click.Option)
        return "flag", max(parameter.opts, key=len) if is_option else (parameter.human_readable_name)
    if source is ParameterSource.ENVIRONMENT:
        return "environment", str(parameter.envvar)
    if source is ParameterSource.DEFAULT_MAP:
        return "recipe", _files(taken.origins[key_of(parameter)])
    return "default", None


def _files(paths: tuple[PurePath, ...]) -> str:
    return " + ".join(map(str, paths))


def _lines(found: dict[str, Any]) -> list[str]:
    """The configuration as a table, a value a line; of recipes, each extends the one behind it."""
    values = found["values"]
    name, width = (max(map(len, column)) for column in (values, [_shown(one["value"]) for one in values.values()]))
    recipes = [f"{'recipe':{name}}  {' > '.join(found['recipes'])}"] if found["recipes"] else []
    return recipes + [
        f"{key:{name}}  {_shown(one['value']):{min(width, 40)}}  "
        + {"recipe": "recipe "}.get(one["from"], "")
        + (one["where"] or "default")
        for key, one in values.items()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "-"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) + "}"
    return "-" if value in {None, ""} else str(value)


def _plain(value: Any) -> Any:
    """A value as JSON has it, secrets masked."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Fraction):
        return f"{float(value):.12g}"
    return value if value is None or isinstance(value, (bool, int, float)) else masked(str(value))
