"""Conditions that users write in SQL over the view `example`: one expression, which can read nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson

from curator.errors import ConditionError, InputError
from curator.store.connection import Store

TRAITS = frozenset(
    ("language_prompt", "language_a", "language_b", "prompt_cluster", "alike", "near_duplicate_of", "against",
     "against_line")
)  # fmt: skip
"""Columns that `curator hygiene` fills in."""

_LABELS = frozenset(("label_source", "verdict", "decision", "p_a", "bpe", "strength"))
"""What judges or people have said: see `Condition.require_no_labels`."""

_PARTS = frozenset(
    ("COMPARISON", "CONJUNCTION", "CONSTANT", "COLUMN_REF", "FUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST",
     "COLLATE", "LAMBDA", "TYPE")
)  # fmt: skip
"""Parts of an expression, in DuckDB's words; not among them are subqueries, parameters, windows and stars."""

_MACROS = ("if", "nullif", "split_part", "array_to_string", "fdiv", "fmod")
"""Functions that DuckDB writes in SQL and of which we know what they do; and those of lists."""

_BEFORE = "SELECT "


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that has been checked.

    Attributes:
        text: as the user wrote it.
        columns: that it names, in lower case.
    """

    text: str
    columns: frozenset[str]

    @property
    def sql(self) -> str:
        """Whether `pair_id` is that of an example for which it holds."""
        return f"pair_id IN (SELECT pair_id FROM example WHERE (\n{self.text}\n))"

    @property
    def traits(self) -> frozenset[str]:
        """What it wants from `curator hygiene`."""
        return self.columns & TRAITS

    def require_no_labels(self) -> None:
        """Raises ConditionError where it asks what judges or people have said.

        Calibration rows and pool are alike because nothing about a pair but chance decides which it is. Were pairs
        taken by their labels or scores, those with labels would no longer be like those without.
        """
        if named := sorted(self.columns & _LABELS):
            raise ConditionError(
                f"the condition names {', '.join(named)}: which pairs are labelled at all must not hang on what people "
                "or judges say of them; `curator export --where` may"
            )


def parse_condition(store: Store, text: str) -> Condition:
    """Check that a text is one expression of columns, values and functions that change nothing.

    Raises:
        ConditionError: it is not, or DuckDB does not understand it.
    """
    if "\0" in text:
        raise ConditionError("the condition holds a zero byte")
    parsed = store.one("SELECT json_serialize_sql(?::VARCHAR)", [f"{_BEFORE}{text}\n"])[0]
    try:
        found = orjson.loads(parsed)
    except orjson.JSONDecodeError:
        raise ConditionError("the condition is nested too deeply") from None
    if found["error"]:
        raise ConditionError(_words(found["error_message"], text, found.get("position")))
    expression = _single(found["statements"])
    columns, functions = set(), set()
    known, callable_ = _columns(store), _functions(store)
    for part in _parts(expression):
        kind, place = part["class"], part.get("query_location")
        if kind not in _PARTS:
            raise ConditionError(_words(f"a condition cannot hold this ({kind.lower()})", text, place))
        if kind == "COLUMN_REF":
            names = [name.lower() for name in part["column_names"]]
            name = names[1] if names[0] == "example" and len(names) > 1 else names[0]
            columns.add(name)
            if name not in known and _is_function(store, name):  # of today's date, or the user
                functions.add((name, place))
        elif kind == "FUNCTION":
            if part.get("schema") or part.get("catalog"):
                raise ConditionError(_words("a condition names functions without a schema", text, place))
            functions.add((part["function_name"].lower(), place))
    for name, place in sorted(functions):
        if name not in callable_ or name in columns:
            raise ConditionError(_words(f"no function {name} may be used in a condition", text, place))
    condition = Condition(text, frozenset(columns))
    try:  # by itself, so that no name of what it is used in is understood
        store.rows(f"SELECT pair_id FROM example WHERE (\n{text}\n) LIMIT 0")
    except duckdb.Error as error:
        raise ConditionError(_first(error)) from None
    return condition


def matching(store: Store, condition: Condition) -> int:
    """For how many pairs of the input a condition holds. Every row is looked at: what follows cannot fail on one.

    Raises:
        ConditionError: it fails on a value.
        InputError: it names traits that some pairs do not have yet.
    """
    require_traits(store, condition)
    try:
        return store.count(f"SELECT count(*) FROM input WHERE {condition.sql}")
    except duckdb.Error as error:
        raise ConditionError(_first(error)) from None


def require_traits(store: Store, condition: Condition) -> None:
    """Raises InputError where a condition names traits that are not there for every pair of the input."""
    named = condition.traits
    if not named:
        return
    said = f"the condition names {', '.join(sorted(named))}"
    if named & {"against", "against_line"} and not store.count("SELECT count(*) FROM evaluation"):
        raise InputError(
            f"{said}, and no evaluation set is known: run `curator hygiene --db {store.quoted} --against FILE`"
        )
    if lacking := store.count(
        """SELECT count(*) FROM input JOIN pair USING (pair_id)
        WHERE pair_id NOT IN (SELECT pair_id FROM pair_trait)
           OR prompt_id NOT IN (SELECT prompt_id FROM prompt_trait)"""
    ):
        raise InputError(
            f"{said}, which {lacking:,} pairs do not have yet: run `curator hygiene --db {store.quoted}` first"
        )


def keep_only(store: Store, condition: Condition) -> dict[str, int]:
    """Take the pairs for which a condition does not hold out of the input; they stay stored.

    Returns:
        How many that are, by role.

    Raises:
        ConditionError, InputError: as `matching`.
    """
    condition.require_no_labels()
    matching(store, condition)
    gone = f"pair_id NOT IN (SELECT pair_id FROM input WHERE {condition.sql})"
    left_out = dict(store.rows(f"SELECT role, count(*) FROM input WHERE {gone} GROUP BY role"))
    store.rows(f"DELETE FROM input_row WHERE {gone}")
    return left_out


def _single(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """The one expression of `SELECT expression`."""
    node = statements[0]["node"] if len(statements) == 1 else {}
    chosen = node.get("select_list", [])
    empty = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "qualify", "sample")
    if (
        node.get("type") != "SELECT_NODE"
        or len(chosen) != 1
        or chosen[0]["alias"]
        or node["from_table"]["type"] != "EMPTY"
        or node["cte_map"]["map"]
        or any(node.get(name) for name in empty)
    ):
        raise ConditionError("a condition is one expression, which is true or false of a pair")
    expression: dict[str, Any] = chosen[0]
    return expression


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every part of a parsed expression."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "class" in one:
                yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _columns(store: Store) -> set[str]:
    return {name for (name,) in store.rows("SELECT column_name FROM (DESCRIBE example)")}


def _is_function(store: Store, name: str) -> bool:
    return store.count("SELECT count(*) FROM duckdb_functions() WHERE function_name = ?", [name]) > 0


def _functions(store: Store) -> set[str]:
    """Functions of a value that give the same whenever they are asked, and do nothing else."""
    rows = store.rows(
        """SELECT function_name FROM duckdb_functions() GROUP BY function_name
        HAVING bool_and(function_type = 'scalar' AND stability = 'CONSISTENT')
            OR (bool_and(function_type = 'macro' OR stability = 'CONSISTENT')
                AND (list_contains($macros, function_name) OR function_name LIKE 'list\\_%' ESCAPE '\\'))""",
        {"macros": list(_MACROS)},
    )
    return {name for (name,) in rows}


def _words(message: str, text: str, position: str | int | None) -> str:
    """A message with the place in the condition that it is about."""
    place = None if position is None else int(position) - len(_BEFORE)
    message = " ".join(message.split())
    if place is None or not 0 <= place <= len(text):
        return f"condition: {message}"
    shown = "".join(" " if c.isspace() else c for c in text)
    return f"condition, character {place + 1}: {message}\n  {shown}\n  {' ' * place}^"


def _first(error: duckdb.Error) -> str:
    """DuckDB's words, with the line of the condition and its mark."""
    return f"condition: {error}"
