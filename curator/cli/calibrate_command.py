"""`curator calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options
from curator.cli.configuring import Configured, recipe


@click.command("calibrate", cls=Configured)
@options.db
@recipe
@options.rule
@click.option("--compare", is_flag=True, help="Decide nothing: every signal that could rank the pairs, side by side.")
@click.option("--sweep", is_flag=True, help="Decide nothing: coverage and error over alpha, from the stored scores.")
@click.option("--alphas", type=options.Levels(), metavar="LIST", help="For --sweep.  [default: 0.01,0.02,...,0.3]")
@options.as_json
@click.pass_context
def command(
    context: click.Context, /, db: Path, as_json: bool, compare: bool, sweep: bool, alphas: Any, **values: Any
) -> int:
    """Set the threshold anew from stored judgments and labels.

    Nothing is judged and no file is written; `curator export` and `curator queue` write what was decided. Trying
    several alphas and keeping the one that pleases is a choice the promise does not cover.

    --compare and --sweep change no decision. The store keeps that they were looked at. --compare shows, for each judge
    with stored replies and for all together: bpe, the preference averaged over both orders; one-order, order ab alone;
    agreement, how many replies name the label; verbalised, the confidence a log has; votes, the share of verdicts. ECE
    is over 10 bins of equal width; AUROC and AUPRC are of "the label is right", ranked by sureness.

    \b
    Examples:
      curator calibrate --db raw.curated/curator.duckdb --alpha 0.05 --guarantee pac
      curator calibrate --db raw.curated/curator.duckdb --compare
      curator calibrate --db raw.curated/curator.duckdb --sweep --guarantee pac --alphas 0.02,0.05,0.1
    """
    if compare and sweep:
        raise click.UsageError("give --compare or --sweep, not both")
    if alphas and not sweep:
        raise click.UsageError("--alphas is for --sweep; one alpha is given with --alpha")
    if compare or sweep:
        return _look(context, db, as_json, values, alphas, compare=compare)
    from curator.cli.main import NO_THRESHOLD, OK
    from curator.cli.summary import decision_lines, print_json
    from curator.pipeline import recalibrate
    from curator.progress import clean
    from curator.store import open_store

    with open_store(db, create=False) as store:
        result = recalibrate(store, options.rule_choice(values))
    if as_json:
        print_json(result)
    else:
        click.echo(clean("\n".join(decision_lines(result))))
    return NO_THRESHOLD if result["threshold"] is None else OK


def _look(
    context: click.Context, db: Path, as_json: bool, values: dict[str, Any], alphas: Any, *, compare: bool
) -> int:
    """Show what could be decided."""
    if not compare and context.get_parameter_source("alpha") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--sweep goes over --alphas; leave --alpha out")
    from curator.cli.main import OK
    from curator.cli.summary import print_json
    from curator.cli.tables import comparison_lines, sweep_lines
    from curator.progress import clean
    from curator.steps import comparing
    from curator.store import open_store

    rule = options.rule_choice(values)
    with open_store(db, create=False) as store:
        result = comparing.compare(store, rule) if compare else comparing.sweep(store, rule, alphas or comparing.ALPHAS)
    if as_json:
        print_json(result)
    else:
        click.echo(clean("\n".join(comparison_lines(result) if compare else sweep_lines(result))))
    return OK
