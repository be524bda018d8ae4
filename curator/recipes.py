"""Recipes and judge templates, by name or by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curator.errors import RecipeError
from curator.prompts import Template
from curator.resources import find, read_yaml


def load_recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe; what it names by path is found beside it.

    `judges`, where it lists any, holds the fields of `curator.options.JudgeChoice`.

    Raises:
        RecipeError: there is no such recipe, or it does not match `schemas/recipe.schema.json`.
    """
    path = find(name, "")
    values = read_yaml(path, "recipe")
    for holder in (values, *values.get("judges", ())):
        if "template" in holder:
            holder["template"] = str(find(holder["template"], "templates", path.parent))
    values["judges"] = [_judge(judge, path.parent) for judge in values.get("judges", ())]
    return values


def _judge(values: dict[str, Any], beside: Path) -> dict[str, Any]:
    names = {"judgments": "log", "judge": "log_judge"}
    judge = {names.get(name, name): value for name, value in values.items()}
    if "urls" in judge:
        judge["urls"] = tuple(judge["urls"])
    if "log" in judge and (beside / judge["log"]).is_file():
        judge["log"] = str(beside / judge["log"])
    return judge


def load_template(name: str) -> Template:
    """A judge template.

    Raises:
        RecipeError: there is no such template, or it is not valid.
    """
    path = find(name, "templates")
    values = read_yaml(path, "template")
    if "extends" in values:
        base = read_yaml(find(values.pop("extends"), "templates", path.parent), "template")
        if base.get("kind") != "chat":
            raise RecipeError(f"{path}: extends: must be a chat template that extends no other")
        values = {**base, **values}
    return Template.from_mapping(values)
