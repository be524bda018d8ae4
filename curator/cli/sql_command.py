"""`curator sql`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options


@click.command("sql")
@click.argument("query", metavar="QUERY")
@options.db
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON Lines.")
def command(query: str, db: Path, as_json: bool) -> None:
    """Ask the store a question in SQL. The store is open for reading only, and no other file can be reached.

    \b
    Examples:
      curator sql "SELECT decision, reason, count(*) FROM decision GROUP BY ALL" --db raw.curated/curator.duckdb
      curator sql "SHOW TABLES" --db raw.curated/curator.duckdb
    """
    import orjson

    from curator.progress import clean, escaped
    from curator.store import views

    table = views.query(db, query)
    if as_json:
        for row in table.to_pylist():
            click.echo(escaped(orjson.dumps(row, default=str).decode()))
        return
    click.echo(
        clean(_aligned(table.column_names, list(zip(*(column.to_pylist() for column in table.columns), strict=True))))
    )


def _aligned(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    cells = [names, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, f"({len(rows):,} rows)"])


def _cell(value: Any, most: int = 60) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"
