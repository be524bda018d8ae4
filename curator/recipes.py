"""Recipes and judge templates, by name or by path."""

from __future__ import annotations

from typing import Any

from curator.prompts import Template
from curator.resources import find, read_yaml


def load_recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe; a template that it names by path is found beside it.

    Raises:
        RecipeError: there is no such recipe, or it does not match `schemas/recipe.schema.json`.
    """
    path = find(name, "")
    values = read_yaml(path, "recipe")
    if "template" in values:
        values["template"] = str(find(values["template"], "templates", path.parent))
    return values


def load_template(name: str) -> Template:
    """A judge template.

    Raises:
        RecipeError: there is no such template, or it is not valid.
    """
    return Template.from_mapping(read_yaml(find(name, "templates"), "template"))
