"""`curator calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options


@click.command("calibrate")
@options.db
@options.recipe
@options.rule
@options.as_json
def command(db: Path, as_json: bool, **values: Any) -> int:
    """Set the threshold anew from stored judgments and labels.

    Nothing is judged and no file is written; `curator export` and `curator queue` write what was decided. Trying
    several alphas and keeping the one that pleases is a choice the promise does not cover.

    \b
    Example:
      curator calibrate --db raw.curated/curator.duckdb --alpha 0.05 --guarantee pac
    """
    from curator.cli.main import NO_THRESHOLD, OK
    from curator.cli.summary import decision_lines, print_json
    from curator.deciding import recalibrate
    from curator.progress import clean
    from curator.store import open_store

    with open_store(db, create=False) as store:
        result = recalibrate(store, options.rule_choice(values))
    if as_json:
        print_json(result)
    else:
        click.echo(clean("\n".join(decision_lines(result))))
    return NO_THRESHOLD if result["threshold"] is None else OK
