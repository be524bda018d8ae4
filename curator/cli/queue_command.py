"""`curator queue`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from curator.cli import options
from curator.cli.configuring import Configured, recipe
from curator.cli.options import option

_LEFT_OUT = {
    "calibration_draw": "of the calibration draw",
    "audit": "of the audit",
    "again": "asked about again",
    "several": "that several people answer",
}
_NEXT = {
    "jsonl": 'set "label" of each to left, right, tie, both_bad or skip',
    "csv": "fill in the column label in a spreadsheet: left, right, tie, both bad or skip; save it as CSV",
    "html": "open a file in any browser, label, and save the labels: that makes another file",
    "argilla": "argilla-sync.py in that folder brings them to Argilla, and the answers back into a file",
    "label-studio": "label-studio.txt in that folder says how to label them",
    "prodigy": "prodigy.txt in that folder says how to label them",
}


@click.command("queue", cls=Configured)
@options.db
@recipe
@click.option(
    "--to",
    type=click.Choice(["jsonl", "csv", "html", "argilla", "label-studio", "prodigy"]),
    default="jsonl",
    show_default=True,
    help="For which tool.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@option("--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Tasks a file.")
@click.option("--push", metavar="NAME", help="Send them to this dataset of your Argilla, too.")
@click.option("--workspace", metavar="NAME", help="In which of its workspaces, where there are several.")
@options.queue_order
@options.annotators
@click.option(
    "--show-verdict",
    is_flag=True,
    help="Show what the judge says. Labels given so are used in the data set and never calibrate; the tasks that need "
    "people who have not seen it are left out.",
)
@options.where
@options.audit
@options.as_json
def command(
    db: Path,
    to: str,
    out: Path,
    shard_size: int,
    order: str,
    annotators_per_pair: int | None,
    overlap: float | None,
    show_verdict: bool,
    where: str | None,
    push: str | None,
    workspace: str | None,
    audit: float,
    as_json: bool,
) -> None:
    """Write the tasks for people again: what is left of the calibration draw, then the others by --order.

    Accepted pairs that --audit draws, pairs that `curator audit --requeue` put back, and pairs that wait for another
    person stand at random places among the latter, and look like them.

    With --annotators-per-pair, the folder person-2 holds the tasks that two people are to answer, person-3 those of
    three: give each to somebody else. The store keeps the number.

    With --where, only tasks for which a condition holds, and none of the calibration draw, of the audit, or that
    several people answer: a chosen part of these would be no random sample any more.

    \b
    Examples:
      curator queue --db raw.curated/curator.duckdb --to jsonl --out for-people
      curator queue --db raw.curated/curator.duckdb --out long-ones --where "words_a + words_b > 800"
    """
    if to != "argilla" and (push or workspace):
        raise click.UsageError("--push and --workspace go with --to argilla")
    if workspace and not push:
        raise click.UsageError("--workspace goes with --push")
    from curator.annotation.registry import TOOLS
    from curator.cli.summary import print_json
    from curator.options import QueueOrder
    from curator.progress import Terminal, clean
    from curator.steps.queueing import write_shards
    from curator.store import open_store
    from curator.store.audits import draw_audit

    with open_store(db, create=False) as store:
        options.keep_annotators(store, annotators_per_pair, overlap)
        draw_audit(store, audit)
        written = write_shards(
            store,
            TOOLS[to],
            out,
            shard_size,
            QueueOrder(order),
            show_verdict=show_verdict,
            where=where,
            progress=Terminal(),
        )
    tasks, files, left_out = written.sets[0], written.files, written.left_out
    pushed = {} if push is None else _push(out, files, push, workspace)
    if as_json:
        result = {"out": str(out), "to": to, "order": order, "tasks": tasks, "sets": written.sets}
        print_json({**result, "left_out": left_out, "files": [str(path) for path in files], "pushed": pushed})
        return
    click.echo(clean(f"{out}: {tasks:,} pairs in {len(files):,} files"))
    for person, count in enumerate(written.sets[1:], 2):
        click.echo(clean(f"{out / f'person-{person}'}: {count:,} of them, to be answered by one person more"))
    if len(written.sets) > 1:
        click.echo("Give each folder to another person, and pairs that somebody has answered to somebody else.")
    for name, count in pushed.items():
        click.echo(f"Argilla has them: {count:,} records in {clean(name)}")
    if left_out is not None and (count := sum(left_out.values())):
        named = ", ".join(f"{left_out[name]:,} {text}" for name, text in _LEFT_OUT.items() if left_out[name])
        why = "need people who have not seen the verdict" if show_verdict else "are written all together or not at all"
        click.echo(f"left out: {count:,} pairs that {why} ({named})")
    if tasks:
        click.echo(clean(f"Next: {_NEXT[to]}. Then:\n  curator import FILE... --db {shlex.quote(str(db))}"))


def _push(out: Path, files: list[Path], name: str, workspace: str | None) -> dict[str, int]:
    """Send each set of tasks to a dataset of Argilla of its own; how many records each has been sent."""
    from curator.annotation import argilla

    sets: dict[Path, list[Path]] = {}
    for path in files:
        if path.name.startswith("queue-"):
            sets.setdefault(path.parent, []).append(path)
    names = {folder: name if folder == out else f"{name}-{folder.name}" for folder in sets}
    return {names[folder]: argilla.push(folder, shards, names[folder], workspace) for folder, shards in sets.items()}
