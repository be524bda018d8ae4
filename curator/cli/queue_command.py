"""`curator queue`."""

from __future__ import annotations

from pathlib import Path

import click

from curator.cli import options
from curator.cli.options import option


@click.command("queue")
@options.db
@click.option(
    "--to",
    type=click.Choice(["jsonl", "label-studio"]),
    default="jsonl",
    show_default=True,
    help="For which tool.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@option("--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Tasks a file.")
@options.audit
@options.as_json
def command(db: Path, to: str, out: Path, shard_size: int, audit: float, as_json: bool) -> None:
    """Write the tasks for people again: what is left of the calibration draw, then what the judge knows least about.

    Accepted pairs that --audit draws, and pairs that `curator audit --requeue` put back, stand at random places among
    the latter, and look like them.

    \b
    Example:
      curator queue --db raw.curated/curator.duckdb --to jsonl --out for-people
    """
    from curator.annotation.registry import TOOLS
    from curator.cli.summary import print_json
    from curator.steps.queueing import write_shards
    from curator.store import open_store
    from curator.store.audits import draw_audit

    with open_store(db, create=False) as store:
        draw_audit(store, audit)
        tasks, files = write_shards(store, TOOLS[to], out, shard_size)
    if as_json:
        print_json({"out": str(out), "to": to, "tasks": tasks, "files": [str(path) for path in files]})
    else:
        click.echo(f"{out}: {tasks:,} pairs in {len(files):,} files")
