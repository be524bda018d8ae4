"""`curator sql`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from curator.cli import options

MOST_ROWS = 10_000
"""Rows of the longest table; as JSON there is no end to them."""


@click.command("sql")
@click.argument("query", metavar="QUERY")
@options.db
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON Lines, all of them.")
def command(query: str, db: Path, as_json: bool) -> None:
    """Ask the store a question in SQL. The store is open for reading only, and no other file can be reached.
    A table has at most 10,000 rows.

    \b
    Examples:
      curator sql "SELECT decision, reason, count(*) FROM decision GROUP BY ALL" --db raw.curated/curator.duckdb
      curator sql "SHOW TABLES" --db raw.curated/curator.duckdb
    """
    from curator.errors import StoreError
    from curator.progress import clean, escaped
    from curator.store import views

    with views.query(db, query) as (names, rows):
        if not as_json:
            click.echo(clean(_aligned(names, rows)))
            return
        if len(set(names)) < len(names):
            raise StoreError("two columns have one name: tell them apart with AS")
        for row in rows:
            click.echo(escaped(_json(dict(zip(names, row, strict=True))).decode()))


def _json(row: dict[str, Any]) -> bytes:
    import orjson

    options = orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(row, default=str, option=options)
    except orjson.JSONEncodeError:  # numbers of more than 64 bits, keys that are lists
        if len(row) == 1:
            return orjson.dumps({name: str(value) for name, value in row.items()})
        parts = (_json({name: value}) for name, value in row.items())
        return b"{" + b",".join(part[1:-1] for part in parts) + b"}"


def _aligned(names: list[str], rows: Iterator[tuple[Any, ...]]) -> str:
    shown = list(islice(rows, MOST_ROWS))
    cells = [[_cell(value) for value in row] for row in (names, *shown)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    more = next(rows, None) is not None
    count = f"{len(shown):,} rows"
    return "\n".join([*lines, f"(the first {count}; --json has all)" if more else f"({count})"])


def _cell(value: Any, most: int = 60) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"
