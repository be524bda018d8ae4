"""`curator agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options


@click.command("agreement")
@options.db
@click.option(
    "--annotator-groups", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="YAML: the name of each group and a list of its annotators.",
)  # fmt: skip
@click.option(
    "--datasets", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="With --annotator-groups: write a data set for each group into a folder of its own in there.",
)  # fmt: skip
@options.option("--min-label-mass", type=options.Number(0, 1), default=0.25, show_default=True, help="As for label.")
@options.as_json
def command(
    db: Path, annotator_groups: Path | None, datasets: Path | None, min_label_mass: float, as_json: bool
) -> None:
    """Say how far people and judges agree, and whether groups of people differ.

    Agreement on a pair is the share of its couples of people who say the same, and each pair weighs the same. Alpha is
    Krippendorff's, nominal: 1 is perfect, 0 what chance would give. "Both bad" is a tie, a skip is missing. Counted is
    the latest word of each annotator, but for words of people who had been shown the judge's verdict, and for those
    given when a pair came back in doubt. Left is how often the chosen response stood left, where that is known: far
    from 1/2, somebody goes by the place. A judge's verdict is averaged over both orders; no preference is a tie. Labels
    that came with a file are its own: the second row of a pair in raw.jsonl is a label by raw.jsonl#2.

    With --datasets the rule of the latest decision is applied anew with the labels of each group alone: its own
    calibration, threshold and promise. A group with too few labels gets no auto labels. The store stays as it is.

    \b
    Examples:
      curator agreement --db raw.curated/curator.duckdb
      curator agreement --db raw.curated/curator.duckdb --annotator-groups groups.yaml --datasets by-group
    """
    from curator import pipeline
    from curator.cli.agreement_tables import agreement_lines
    from curator.cli.summary import print_json
    from curator.progress import clean
    from curator.steps.agreeing import agreement_result, read_groups
    from curator.store import open_store

    if datasets is not None and annotator_groups is None:
        raise click.UsageError("--datasets writes one data set a group: name the groups with --annotator-groups")
    groups = None if annotator_groups is None else read_groups(annotator_groups)
    with open_store(db, create=False) as store:
        result: dict[str, Any] = agreement_result(store, min_label_mass, groups)
        if datasets is not None and groups is not None:
            result["datasets"] = pipeline.group_datasets(store, groups, datasets)
    if as_json:
        print_json(result)
    else:
        click.echo(clean("\n".join(agreement_lines(result, db))))
