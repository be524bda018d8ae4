"""`curator queue`."""

from __future__ import annotations

from pathlib import Path

import click

from curator.cli import options


@click.command("queue")
@options.db
@click.option("--to", type=click.Choice(["jsonl"]), default="jsonl", show_default=True, help="For which tool.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@options.audit
@options.as_json
def command(db: Path, to: str, out: Path, audit: float, as_json: bool) -> None:
    """Write the tasks for people again: what is left of the calibration draw, then what the judge knows least about.

    Accepted pairs that --audit draws, and pairs that `curator audit --requeue` put back, stand at random places among
    the latter, and look like them.

    \b
    Example:
      curator queue --db raw.curated/curator.duckdb --to jsonl --out for-people
    """
    from curator import pipeline
    from curator.cli.summary import print_json
    from curator.store import open_store
    from curator.store.audits import draw_audit

    path = out / "queue.jsonl"
    with open_store(db, create=False) as store:
        draw_audit(store, audit)
        tasks = pipeline.export_queue(store, path)
    if as_json:
        print_json({"out": str(path), "to": to, "tasks": tasks})
    else:
        click.echo(f"{path}: {tasks:,} pairs")
