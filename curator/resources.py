"""Finds and reads what is shipped as data: `recipes/` and `schemas/`, in a checkout or inside the wheel."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import yaml

from curator.errors import RecipeError

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder `recipes` or `schemas`: beside the package in a checkout, inside it when installed."""
    inside = _PACKAGE / "data" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


@cache
def validator(name: str) -> jsonschema_rs.Validator:
    """The validator for `schemas/<name>.schema.json`."""
    schema: dict[str, Any] = orjson.loads((folder("schemas") / f"{name}.schema.json").read_bytes())
    return jsonschema_rs.validator_for(schema, mask="it")


def first_error(name: str, value: object) -> tuple[str, str] | None:
    """Where `value` first departs from a schema, as (field, reason); None when it does not.

    The reason names what is wrong, never the offending text, which may be long and hostile.
    """
    check = validator(name)
    if check.is_valid(value):
        return None
    error = _deepest(next(check.iter_errors(value)))
    field = ".".join(str(part) for part in error.instance_path)
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f"{field}.{kind.property}".lstrip("."), "is missing"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Pattern) and kind.pattern == r"\S":
        return field, "is empty"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Enum):
        return field, "must be one of " + orjson.dumps(kind.options).decode()
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AnyOf):
        return field or "row", "has none of the shapes allowed there"
    return field or "row", error.message.removeprefix("it ")


def _deepest(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    """Of the alternatives that all failed, the one that got furthest says most ("messages.0.role is missing")."""
    if isinstance(
        error.kind, (jsonschema_rs.ValidationErrorKind.AnyOf, jsonschema_rs.ValidationErrorKind.OneOfNotValid)
    ):
        inner = [_deepest(cause) for branch in error.kind.context for cause in branch]
        apart = [cause for cause in inner if not isinstance(cause.kind, jsonschema_rs.ValidationErrorKind.Type)]
        deepest = max(apart or inner, key=lambda cause: len(cause.instance_path), default=error)
        return error if deepest is inner[0] and not apart else deepest
    return error


class _Loader(yaml.SafeLoader):
    """Safe. A key that stands twice is an error rather than the second one, and aliases (`*name`) are none of ours.

    A few lines of aliases of aliases stand for more values than any memory holds.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias cannot be used: write out what it stands for", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((key for key, count in keys.items() if count > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError, LookupError, TypeError, OverflowError):  # the 99th of a month, !!int x
            raise yaml.constructor.ConstructorError(None, None, "is no such value", node.start_mark) from None


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, parsed safely.

    Raises:
        yaml.YAMLError: it is none.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - it is the safe one
    except RecursionError:
        raise yaml.YAMLError("is nested too deeply") from None


def read_yaml(path: Path, schema: str) -> dict[str, Any]:
    """Parse a YAML file safely and check it.

    Raises:
        RecipeError: not YAML, or not what the schema says.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: {error}") from None
    try:
        problem = first_error(schema, values)
    except ValueError as error:  # YAML has keys and values that JSON has not
        raise RecipeError(f"{path}: names must be text, and values text, numbers or lists ({error})") from None
    if problem:
        raise RecipeError(f"{path}: {problem[0]}: {problem[1]}")
    return dict(values)


def find(name: str, kind: str, base: Path | None = None) -> Path:
    """The file of a recipe (`kind` ""), template or rubric (`kind` "templates", "rubrics") given by name or by path.

    Args:
        base: folder of the file that names it, where a path is tried first.

    Raises:
        RecipeError: there is no such file; the message lists what there is.
    """
    given = Path(name)
    if given.suffix in {".yaml", ".yml"} or len(given.parts) > 1:
        for path in (*([base / given] if base else []), given):
            if path.is_file():
                return path
        raise RecipeError(f"{' '.join(name.split())}: no such file")
    shipped = folder("recipes") / kind
    path = shipped / f"{name}.yaml"
    if path.is_file():
        return path
    known = ", ".join(sorted(entry.stem for entry in shipped.glob("*.yaml")))
    what = kind.removesuffix("s") or "recipe"
    raise RecipeError(f"no {what} is named {name!r}; there are: {known}; or give a path")
