"""`curator export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options


@click.command("export")
@options.db
@click.option("--to", type=click.Choice(["trl"]), default="trl", show_default=True, help="For which trainer.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@options.about
@options.as_json
def command(db: Path, to: str, out: Path, as_json: bool, **described: Any) -> None:
    """Write the training data set again, from the latest decisions.

    \b
    Example:
      curator export --db raw.curated/curator.duckdb --to trl --out dataset
    """
    from curator import pipeline
    from curator.cli.summary import print_json
    from curator.errors import InputError
    from curator.files import require_dataset_folder
    from curator.store import open_store, views
    from curator.store.dataset import dataset_counts

    about = options.about_choice(described)
    require_dataset_folder(out)
    with open_store(db, create=False) as store:
        latest = views.latest_run(store)
        if latest is None:
            raise InputError(f"{db}: nothing is decided yet; run `curator label` first")
        pipeline.export_dataset(store, latest, out, about)
        rows = dataset_counts(store)
    if as_json:
        print_json({"out": str(out), "to": to, **rows})
    else:
        click.echo(f"{out}: {rows['auto']:,} auto labels, {rows['human']:,} human labels")
