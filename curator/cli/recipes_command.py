"""`curator recipes`."""

from __future__ import annotations

from typing import Any

import click

from curator.cli import options


@click.command("recipes")
@click.argument("name", metavar="[NAME|FILE]", required=False)
@click.option("--rubrics", is_flag=True, help="Rubrics instead of recipes.")
@click.option("--resolved", is_flag=True, help="Show the recipe as one with those that it extends.")
@options.as_json
def command(name: str | None, rubrics: bool, resolved: bool, as_json: bool) -> None:
    """List the recipes and rubrics that are shipped, or show one.

    A recipe sets options of the same names: a flag and an environment variable go before it. With extends it takes all
    that it does not say itself from another one. A rubric is the criteria that judges go by.

    \b
    Examples:
      curator recipes
      curator recipes robust-dpo --resolved
      curator recipes --rubrics
      curator recipes robust-dpo > mine.yaml && curator label raw.jsonl --recipe mine.yaml --show-config
    """
    from curator.cli.summary import print_json
    from curator.progress import clean
    from curator.recipes import shipped

    if resolved and (name is None or rubrics):
        raise click.UsageError("--resolved shows one recipe: name it")
    if name is None:
        kind = "rubrics" if rubrics else ""
        found = [_listed(one, kind) for one in shipped(kind)]
        if as_json:
            print_json({kind or "recipes": found})
            return
        width = max(len(one["name"]) for one in found)
        for one in found:
            click.echo(clean(f"{one['name']:{width}}  {one['description'].partition('. ')[0].rstrip('.')}."))
    elif as_json:
        print_json(_rubric(name) if rubrics else _recipe(name))
    else:
        click.echo(clean(_resolved(name) if resolved else _text(name, "rubrics" if rubrics else "")), nl=False)


def _listed(name: str, kind: str) -> dict[str, Any]:
    from curator.resources import find, read_yaml

    path = find(name, kind)
    values = read_yaml(path, kind.removesuffix("s") or "recipe")
    return {"name": name, "description": values.get("description", ""), "file": str(path)}


def _text(name: str, kind: str) -> str:
    """A file as it is, checked."""
    from curator.recipes import load_recipe, load_rubric
    from curator.resources import find

    load_rubric(name) if kind else load_recipe(name)
    return find(name, kind).read_text(encoding="utf-8")


def _recipe(name: str) -> dict[str, Any]:
    from curator.recipes import load_recipe

    found = load_recipe(name)
    origins = {key: [str(path) for path in files] for key, files in found.origins.items()}
    return {
        "name": found.name, "description": found.description, "files": [str(path) for path in found.files],
        "values": dict(found.values), "origins": {key: origins[key] for key in found.values},
    }  # fmt: skip


def _rubric(name: str) -> dict[str, Any]:
    from curator.resources import find, read_yaml

    return read_yaml(find(name, "rubrics"), "rubric")


def _resolved(name: str) -> str:
    import yaml

    found = _recipe(name)
    whole = {"name": found["name"], "description": found["description"], **found["values"]}
    text: str = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
    return text
