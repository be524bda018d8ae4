"""Recipes, judge templates and rubrics, by name or by path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator.errors import RecipeError
from curator.options import Wanted
from curator.prompts import Template
from curator.resources import find, first_error, folder, read_yaml
from curator.rubric import Rubric

MERGED = ("map", "label_value")
"""Settings that are mappings: what a recipe adds to those of the one it extends stands beside them, key by key."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe and the recipes it extends, as one.

    Attributes:
        values: settings by the name of their option, with underscores, and `judges` and `exports`; what they name by
            path is a path from here.
        origins: for each setting the files that say so: one, but for a mapping that several add to.
        files: the recipe, then the one it extends, and so on.
    """

    name: str
    description: str
    values: Mapping[str, Any]
    origins: Mapping[str, tuple[Path, ...]]
    files: tuple[Path, ...]

    def judges(self) -> list[dict[str, Any]]:
        """The fields of a `curator.options.JudgeChoice` for each of the judges listed."""
        return [_judge(one) for one in self.values.get("judges", ())]

    def exports(self) -> tuple[Wanted, ...]:
        """What is written for trainers beside the data set."""
        return tuple(_wanted(one) for one in self.values.get("exports", ()))


def load_recipe(name: str) -> Recipe:
    """A recipe, joined with those that it extends: mappings are merged key by key, all else is replaced as a whole.

    Raises:
        RecipeError: there is no such recipe, it does not match `schemas/recipe.schema.json`, or it extends itself.
    """
    layers: list[tuple[Path, dict[str, Any]]] = []
    wanted, beside = name, None
    while wanted:
        path = find(wanted, "", beside)
        if path.resolve() in (known.resolve() for known, _ in layers):
            way = " > ".join(str(known) for known, _ in [*layers, (path, None)])
            raise RecipeError(f"{layers[0][0]}: a recipe cannot extend itself: {way}")
        beside = path.parent
        layers.append((path, _placed(read_yaml(path, "recipe"), beside)))
        wanted = layers[-1][1].pop("extends", "")
    values: dict[str, Any] = {}
    origins: dict[str, tuple[Path, ...]] = {}
    for path, layer in reversed(layers):
        for key, value in layer.items():
            merges = key in MERGED and key in values
            values[key] = {**values[key], **value} if merges else value
            origins[key] = (*origins[key], path) if merges else (path,)
    own = {key: values.pop(key) for key in ("name", "description")}
    return Recipe(**own, values=values, origins=origins, files=tuple(path for path, _ in layers))


def _placed(values: dict[str, Any], beside: Path) -> dict[str, Any]:
    """The settings of one file, with what it names by path as paths from here, and everything named there."""
    for holder in (values, *values.get("judges", ())):
        for key, kind in (("template", "templates"), ("rubric", "rubrics")):
            if isinstance(holder.get(key), str):
                path = find(holder[key], kind, beside)
                holder[key] = path.stem if path.parent == folder("recipes") / kind else str(path)
            elif key in holder:
                load_rubric(holder[key])
        log = holder.get("judgments")
        if log is not None and (beside / log).is_file():
            holder["judgments"] = str(beside / log)
    return values


def _judge(values: Mapping[str, Any]) -> dict[str, Any]:
    names = {"judgments": "log", "judge": "log_judge"}
    judge = {names.get(name, name): value for name, value in values.items()}
    if "urls" in judge:
        judge["urls"] = tuple(judge["urls"])
    if "rubric" in judge:
        judge["rubric"] = load_rubric(judge["rubric"])
    return judge


def _wanted(values: Mapping[str, Any]) -> Wanted:
    names = {"split": "test"}
    found = {names.get(name, name): value for name, value in values.items() if name != "columns"}
    return Wanted(**found, minimal=values.get("columns") == "minimal")


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
        base.pop("with_criteria", None)  # it would speak in the voice of the base
        values = {**base, **values}
    return Template.from_mapping(values)


def load_rubric(rubric: str | Mapping[str, Any]) -> Rubric:
    """A rubric by name, by path, or as it stands in a recipe.

    Raises:
        RecipeError: there is no such rubric, or it is not valid.
    """
    if isinstance(rubric, str):
        return Rubric.from_mapping(read_yaml(find(rubric, "rubrics"), "rubric"))
    if problem := first_error("rubric", rubric):
        raise RecipeError(f"rubric: {problem[0]}: {problem[1]}")
    return Rubric.from_mapping(rubric)


def shipped(kind: str = "") -> list[str]:
    """Names of the shipped recipes (`kind` ""), `rubrics` or `templates`."""
    return sorted(path.stem for path in (folder("recipes") / kind).glob("*.yaml"))
