"""`curator export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options


@click.command("export")
@options.db
@options.wanted
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@options.where
@options.about
@options.as_json
def command(db: Path, out: Path, as_json: bool, **values: Any) -> None:
    """Write the training data set in the form that a trainer reads, from the latest decisions.

    Each form comes with a card and, where it is for one trainer, a configuration for it. The same two responses to a
    prompt are one example, whichever was a.

    With --where, --only or --min-strength, the promise of the card is still about all accepted pairs, not about the
    chosen ones.

    \b
    Examples:
      curator export --db raw.curated/curator.duckdb --to trl --out dataset
      curator export --db raw.curated/curator.duckdb --to trl-reward --split 0.1 --out reward
      curator export --db raw.curated/curator.duckdb --to axolotl --only human --out axolotl
      curator export --db raw.curated/curator.duckdb --out code --where "metadata->>'domain' = 'code'"
    """
    from curator.cli.summary import export_line, print_json
    from curator.errors import InputError
    from curator.files import require_dataset_folder
    from curator.progress import clean
    from curator.steps.exporting import export_dataset
    from curator.store import open_store, views

    about = options.about_choice(values)
    require_dataset_folder(out)
    with open_store(db, create=False) as store:
        latest = views.latest_run(store)
        if latest is None:
            raise InputError(f"{db}: nothing is decided yet; run `curator label` first")
        made = export_dataset(store, latest, out, options.wanted_choice(values), about)
    if as_json:
        print_json({"out": str(out), **made.pop("rows"), **made})
    else:
        click.echo(clean(f"{out}: {export_line(made)}"))
