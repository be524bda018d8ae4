"""`curator status`."""

from __future__ import annotations

from pathlib import Path

import click

from curator.cli import options


@click.command("status")
@options.db
@options.as_json
def command(db: Path, as_json: bool) -> None:
    """Say what the store holds and what was promised.

    \b
    Example:
      curator status --db raw.curated/curator.duckdb
    """
    from curator.cli.summary import decision_lines, print_json
    from curator.progress import clean
    from curator.steps.auditing import audit_result
    from curator.store import open_store, tasks, views
    from curator.store.dataset import dataset_counts

    with open_store(db, create=False) as store:
        readers = tasks.readers(store)
        counts = {**tasks.counts(store), "auto_labelled": dataset_counts(store)["auto"]}
        latest = views.latest_run(store)
        audit = audit_result(store)
    if as_json:
        people = {"annotators_per_pair": readers.annotators, "overlap": readers.share}
        print_json({**counts, **people, "audit": audit, "latest": latest})
        return
    lines = [
        "pairs        {pairs:,}: {judged:,} judged in both orders, {labelled:,} labelled by people",
        "labels       {calibration_labels:,} may calibrate; {auto_labelled:,} pairs are auto-labelled",
        "queue        {waiting:,} pairs wait for people, {waiting_for_calibration:,} of them drawn for calibration",
    ]
    lines = [line.format(**counts) for line in lines]
    if readers.annotators > 1:
        lines.append(
            f"people       {readers.annotators} are to answer {readers.share:.4g} of the pairs; "
            f"{counts['waiting_for_another']:,} of the queue wait for another person"
        )
    if latest is None:
        lines.append("decision     none yet: run `curator label`")
    else:
        lines += decision_lines({**latest, "audit": audit})
    click.echo(clean("\n".join(lines)))
