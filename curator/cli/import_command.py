"""`curator import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@options.db
@click.option("--annotator", metavar="NAME", help="Who labelled, where a row does not say.  [default: annotator]")
@options.as_json
def command(files: tuple[str, ...], db: Path, annotator: str | None, as_json: bool) -> int:
    """Bring people's labels back in.

    FILE is what an annotation tool exports, told by its shape: JSON Lines, a JSON array or CSV, plain or gzip. The
    same file twice changes nothing; a changed label supersedes the earlier one of the same annotator, which stays as
    history.

    \b
    Example:
      curator import raw.curated/queue.jsonl --db raw.curated/curator.duckdb
    """
    from curator.cli.main import FAILED, OK
    from curator.cli.summary import print_json
    from curator.progress import Terminal, clean
    from curator.steps.importing import import_labels
    from curator.store import open_store

    result: dict[str, Any]
    with open_store(db, create=False) as store:
        result = import_labels(store, files, annotator, Terminal())
    if as_json:
        print_json(result)
    else:
        for problem in result["refused"][:3]:
            click.echo(clean(f"refused: {problem}"), err=True)
        if (more := len(result["refused"]) - 3) > 0:
            click.echo(f"refused: {more:,} more rows; --json lists them all", err=True)
        ignored = "".join(f"; {count:,} {reason}" for reason, count in result["ignored"].items())
        lines = [
            *(clean(f"imported before: {name}; what was said since stays") for name in result["imported_before"]),
            f"{result['added']:,} labels added, {result['superseded']:,} corrected, {result['unchanged']:,} known "
            f"already; {len(result['refused']):,} rows refused{ignored}",
            *_origins(result),
            f"calibration draw: {result['draw_left']:,} pairs still without a label",
        ]
        if result["draw_left"]:
            lines.append(
                "Label all of the draw (skip is a label): a draw of which the hard pairs are missing promises nothing."
            )
        if result["added"] or result["superseded"]:
            lines.append("Next: run the same `curator label` again.")
        click.echo(clean("\n".join(lines)))
    nothing = not (result["added"] or result["superseded"] or result["unchanged"])
    return FAILED if nothing and result["refused"] else OK


def _origins(result: dict[str, Any]) -> list[str]:
    """From which tools the labels came, and from whom."""
    if not result["tools"]:
        return []
    tools = ", ".join(f"{count:,} from {tool}" for tool, count in result["tools"].items())
    people = ", ".join(f"{name} ({count:,})" for name, count in list(result["annotator_labels"].items())[:5])
    more = result["annotators"] - 5
    return [f"labels {tools}; by {people}" + (f" and {more:,} more" if more > 0 else "")]
