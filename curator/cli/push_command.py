"""`curator push`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options

HEAD = 20
"""Lines of the card that are shown."""


@click.command("push")
@click.argument("repo", metavar="OWNER/NAME")
@click.option(
    "--dataset", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The data set to send."
)
@click.option(
    "--db", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Or the store that it lies beside."
)
@click.option("--private", is_flag=True, help="For you alone. A repository that is there and public is refused.")
@click.option("--revision", metavar="BRANCH", help="To a branch, made where there is none.  [default: main]")
@options.about
@click.option("--allow-demonstration", is_flag=True, help="Send labels of a demonstration judge, too.")
@click.option("--send", "sends", is_flag=True, help="Send it. Without this, nothing leaves this machine.")
@options.as_json
def command(
    repo: str,
    dataset: Path | None,
    db: Path | None,
    private: bool,
    revision: str | None,
    allow_demonstration: bool,
    sends: bool,
    as_json: bool,
    **described: Any,
) -> None:
    """Send a data set to the hub: says what would go, and sends it only when told to.

    Only the card, its picture, the rows and the trainer's configuration go: a folder with anything else in it is
    refused. The token is read from HF_TOKEN, the address of the hub from HF_ENDPOINT. Files that an earlier push
    brought, and this one does not, are deleted there. Needs pip install 'preference-curator[hub]'.

    \b
    Example:
      curator push me/my-pairs --dataset raw.curated/dataset --license cc-by-4.0 --language en
    """
    if (dataset is None) == (db is None):
        raise click.UsageError("give one of --dataset and --db: which data set is to be sent")
    from curator.cli.summary import print_json
    from curator.exports.hub import prepare, send
    from curator.progress import clean, one_line

    folder = dataset if dataset is not None else Path(db or "").parent / "dataset"
    shipment = prepare(
        folder, repo, private=private, revision=revision, about=options.about_choice(described),
        demonstration=allow_demonstration,
    )  # fmt: skip
    sizes = shipment.sizes
    if not as_json:
        click.echo(f"{shipment.url}, {'private' if private else 'public'}, branch {revision or 'main'}")
        for name, size in sizes.items():
            click.echo(f"{size:>15,}  {name}")
        click.echo(f"{sum(sizes.values()):>15,}  bytes in {len(sizes):,} files\n")
        lines = shipment.card.splitlines()
        more = f"... ({len(lines) - HEAD:,} lines more)" if len(lines) > HEAD else ""
        click.echo(clean("\n".join([*(f"  {line}" for line in lines[:HEAD]), *([f"  {more}"] if more else [])])))
    commit, is_private = send(shipment) if sends else (None, private)
    if as_json:
        print_json(
            {"repo": repo, "url": shipment.url, "private": is_private, "revision": revision, "files": sizes,
             "sent": sends, "commit": commit}
        )  # fmt: skip
    elif sends:
        click.echo(clean(f"\nsent: {one_line(str(commit), 500)} ({'private' if is_private else 'public'})"))
    else:
        click.echo("\nNothing has been sent. --send sends it.")
