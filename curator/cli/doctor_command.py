"""`curator doctor`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import click

from curator.cli import judge_options, options
from curator.cli.configuring import Configured, recipe


@click.command("doctor", cls=Configured)
@recipe
@judge_options.judge
@click.option("--min-label-mass", type=options.Number(0, 1), default=0.25, show_default=True, help="As for label.")
@options.as_json
def command(as_json: bool, min_label_mass: float, **values: Any) -> int:
    """Check a judge: is it up, does it answer, is it biased.

    The judge is asked about built-in pairs with an obvious answer, twice, so that position bias, label mass and
    repeatability show. No store is read or written.

    \b
    Examples:
      curator doctor
      curator doctor --judge-url http://127.0.0.1:30000
    """
    from curator.cli.main import FAILED, OK
    from curator.cli.summary import print_json
    from curator.progress import Terminal, clean
    from curator.steps.judging import examine

    choices = judge_options.judge_choices(values)
    if len(choices) > 1 or choices[0].log:
        raise click.UsageError(
            "one judge at a time: name a server, a model or nothing, and no rubric of which each criterion is a judge"
        )
    with tempfile.TemporaryDirectory() as scratch:
        result = asyncio.run(examine(choices[0], min_label_mass, Path(scratch), Terminal()))
    if as_json:
        print_json(result)
    else:
        mass = "not known" if result["label_mass"] is None else f"{result['label_mass']:.3f}"
        first = "not known"
        if result["first_shown"] is not None:
            first = f"preferred in {result['first_shown']:.0%} of replies (50% is unbiased)"
        lines = [
            f"judge          {result['name']} ({result['engine']} {result['details'].get('version') or ''})",
            f"right          {result['right']} of {result['pairs']} pairs with an obvious answer, both orders averaged"
            + (f"; {result['ties']} called equal" if result["ties"] else ""),
            f"label mass     {mass} (median; at least {min_label_mass:g} is asked for)",
            f"first shown    {first}",
            f"repeatability  the same question again: log-odds differ by at most {result['largest_difference']:.2g}",
            f"verdict        {result['objection'] or 'usable'}",
        ]
        click.echo(clean("\n".join(lines)))
    return FAILED if result["objection"] else OK
