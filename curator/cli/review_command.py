"""`curator review`."""

from __future__ import annotations

from pathlib import Path

import click

from curator.cli import options
from curator.cli.configuring import Configured, recipe
from curator.cli.options import option


@click.command("review", cls=Configured)
@options.db
@recipe
@option("--annotator", metavar="NAME", help="Who labels at this address.  [default: the page asks once a browser]")
@option("--port", type=click.IntRange(0, 65535), help="Port on 127.0.0.1; 0: any.  [default: the same for a store]")
@options.queue_order
@options.annotators
def command(
    db: Path,
    annotator: str | None,
    port: int | None,
    order: str,
    annotators_per_pair: int | None,
    overlap: float | None,
) -> None:
    """Label in the browser: a page on this machine, for one person or several.

    The page is at 127.0.0.1 alone and needs the token of the printed address. Each answer is in the store before the
    next task is shown. The store is free between answers: other commands can run meanwhile, and while one has it, the
    page goes on and keeps the answers. Ctrl-C ends it.

    \b
    Examples:
      curator review --db raw.curated/curator.duckdb
      curator review --db raw.curated/curator.duckdb --annotator anna
    """
    from curator.names import annotator_name
    from curator.options import QueueOrder
    from curator.progress import clean
    from curator.review.server import serve
    from curator.steps.reviewing import Review, review_summary
    from curator.store import open_store

    name = None if annotator is None else annotator_name(annotator)
    if name == "":
        raise click.UsageError("--annotator is no name that can be read")
    with open_store(db, create=False) as store:
        options.keep_annotators(store, annotators_per_pair, overlap)
    review = Review(db, QueueOrder(order))

    def say(address: str) -> None:
        who = "" if name is None else f" by {name}"
        click.echo(clean(f"{review.waiting:,} pairs wait to be labelled{who}. Open this address; Ctrl-C ends it."))
        click.echo(address)

    serve(review, name, port, say)
    click.echo(clean(review_summary(review)))
