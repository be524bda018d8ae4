"""`curator report`."""

from __future__ import annotations

from pathlib import Path

import click

from curator.cli import options


@click.command("report")
@options.db
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The page.  [default: report.html beside the store]"
)
@options.as_json
def command(db: Path, out: Path | None, as_json: bool) -> None:
    """Write the report again: what was promised, in numbers and pictures.

    One HTML file that needs nothing else: no network, no scripts; for a screen, a phone or paper.

    \b
    Example:
      curator report --db raw.curated/curator.duckdb --out report.html
    """
    from curator.cli.summary import print_json
    from curator.progress import clean
    from curator.steps.reporting import write_report
    from curator.store import open_store

    path = out or db.with_name("report.html")
    with open_store(db, create=False) as store:
        size = write_report(store, path)
    if as_json:
        print_json({"out": str(path), "bytes": size})
    else:
        click.echo(clean(f"{path}: {size / 1024:,.0f} KiB"))
