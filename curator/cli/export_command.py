"""`curator export`."""

from __future__ import annotations

from pathlib import Path

import click

from curator.cli import options


@click.command("export")
@options.db
@click.option("--to", type=click.Choice(["trl"]), default="trl", show_default=True, help="For which trainer.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@options.where
@options.as_json
def command(db: Path, to: str, out: Path, where: str | None, as_json: bool) -> None:
    """Write the training data set again, from the latest decisions.

    With --where, the promise of the card is still about all accepted pairs, not about the chosen ones.

    \b
    Examples:
      curator export --db raw.curated/curator.duckdb --to trl --out dataset
      curator export --db raw.curated/curator.duckdb --out code --where "metadata->>'domain' = 'code'"
    """
    from curator import pipeline
    from curator.cli.summary import print_json
    from curator.errors import InputError
    from curator.files import require_dataset_folder
    from curator.store import open_store, views

    require_dataset_folder(out)
    with open_store(db, create=False) as store:
        latest = views.latest_run(store)
        if latest is None:
            raise InputError(f"{db}: nothing is decided yet; run `curator label` first")
        rows = pipeline.export_dataset(store, latest, out, where)
    if as_json:
        print_json({"out": str(out), "to": to, **rows})
    else:
        click.echo(f"{out}: {rows['auto']:,} auto labels, {rows['human']:,} human labels")
