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
    type=click.Choice(["jsonl", "argilla", "html"]),
    default="jsonl",
    show_default=True,
    help="For which tool.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@option("--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Tasks a file.")
@click.option("--push", metavar="NAME", help="Send them to this dataset of your Argilla, too.")
@click.option("--workspace", metavar="NAME", help="In which of its workspaces, where there are several.")
@options.audit
@options.as_json
def command(
    db: Path, to: str, out: Path, shard_size: int, push: str | None, workspace: str | None, audit: float, as_json: bool
) -> None:
    """Write the tasks for people again: what is left of the calibration draw, then what the judge knows least about.

    Accepted pairs that --audit draws, and pairs that `curator audit --requeue` put back, stand at random places among
    the latter, and look like them.

    \b
    Example:
      curator queue --db raw.curated/curator.duckdb --to jsonl --out for-people
    """
    if to != "argilla" and (push or workspace):
        raise click.UsageError("--push and --workspace go with --to argilla")
    if workspace and not push:
        raise click.UsageError("--workspace goes with --push")
    from curator.annotation import argilla
    from curator.annotation.registry import TOOLS
    from curator.cli.summary import print_json
    from curator.progress import clean
    from curator.steps.queueing import write_shards
    from curator.store import open_store
    from curator.store.audits import draw_audit

    with open_store(db, create=False) as store:
        draw_audit(store, audit)
        tasks, files = write_shards(store, TOOLS[to], out, shard_size)
    shards = [path for path in files if path.name.startswith("queue-")]
    pushed = None if push is None else argilla.push(out, shards, push, workspace)
    if as_json:
        print_json(
            {"out": str(out), "to": to, "tasks": tasks, "files": [str(path) for path in files], "pushed": pushed}
        )
    else:
        click.echo(f"{out}: {tasks:,} pairs in {len(files):,} files")
        if pushed is not None:
            click.echo(f"Argilla has them: {pushed:,} records in {clean(str(push))}")
