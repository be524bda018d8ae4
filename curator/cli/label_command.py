"""`curator label`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import judge_options, options
from curator.cli.configuring import Configured, recipe, recipe_exports
from curator.cli.options import option


@click.command("label", cls=Configured)
@click.argument("raw", metavar="RAW")
@option("--out", type=click.Path(path_type=Path, file_okay=False), help="Output folder.  [default: RAW.curated]")
@option("--db", type=click.Path(path_type=Path, dir_okay=False), help="The store.  [default: OUT/curator.duckdb]")
@recipe
@options.rule
@options.audit
@options.queue_order
@options.annotators
@option("--calibration", metavar="FILE", help="Labelled pairs from elsewhere, a random sample of the same kind.")
@judge_options.judge
@option("--ray", metavar="ADDRESS", help="Ask the servers of --judge-url from the nodes of this Ray cluster.")
@option("--judgments", metavar="FILE", multiple=True, help="A log of judgments to use as a judge; may be repeated.")
@option("--judge", metavar="NAME", multiple=True, help="Whose judgments of that log; each of several is a judge.")
@options.panel
@option("--rationale", is_flag=True, help="Have the judge write why, about each accepted pair, once that is decided.")
@option("--probe/--no-probe", default=True, show_default=True, help="Try the judge on built-in pairs first.")
@options.reading
@options.export
@options.where
@option("--limit", type=click.IntRange(1), help="Read only so many rows.")
@option("--strict", is_flag=True, help="Stop at the first bad row.")
@options.as_json
def command(**values: Any) -> int:
    """Label raw pairs: judge, calibrate, auto-label what is sure, queue the rest.

    The judge: servers (--judge-url), a model to serve (--judge-model), a log (--judgments), else the small embedded
    demonstration judge. Several of these judge together: each reads every pair, and the mean of their log-odds counts.

    RAW is a file (JSON Lines, a JSON array, CSV, TSV, Parquet, Arrow, Feather; text may be packed by gzip or zstd), a
    folder of such files, a pattern in quotes, - for standard input, or a data set of the Hugging Face hub:
    hf://datasets/ORG/NAME, or ORG/NAME where nothing here is called so, with @REVISION, :CONFIG and #SPLIT behind it
    where needed (pip install 'preference-curator[hub]'; a token is read from HF_TOKEN).

    Its rows have prompt, response_a, response_b and perhaps label (a, b, tie), or prompt, chosen, rejected. Labelled
    rows calibrate the judge: they must be a random sample. The same command again asks the judge only what is new.

    \b
    Examples:
      curator label raw.jsonl
      curator label hf://datasets/org/name#train --limit 1000
      curator label 'part-*.parquet' --out labelled
      curator label raw.jsonl --judge-url http://127.0.0.1:30000 --alpha 0.05
      curator label raw.jsonl --judgments log.jsonl --judge gpt-4
      curator label mine.jsonl --map prompt=question --map a=left --map b=right --map label=pick --label-value 1=a
      curator label raw.jsonl --judge-model small --judge-model large --cascade 0.95 --group-by domain
      curator label raw.jsonl --judge-url http://127.0.0.1:30000 --export trl-reward --export axolotl
    """
    from curator import pipeline
    from curator.cli.main import NO_THRESHOLD, OK, SOME_UNJUDGED
    from curator.cli.summary import print_json, summary
    from curator.options import LabelOptions, QueueOrder, Wanted
    from curator.progress import Terminal, clean
    from curator.sources import default_out

    if values["ray"] and not values["judge_url"]:
        raise click.UsageError("--ray asks running servers: name them with --judge-url")
    out = values["out"] or default_out(values["raw"])
    chosen = LabelOptions(
        raw=values["raw"],
        out=out,
        db=values["db"] or out / "curator.duckdb",
        rule=options.rule_choice(values),
        judges=judge_options.judge_choices(values),
        panel=options.panel_choice(values),
        calibration=values["calibration"],
        reading=options.reading_choice(values),
        limit=values["limit"],
        strict=values["strict"],
        audit=values["audit"],
        order=QueueOrder(values["order"]),
        annotators=values["annotators_per_pair"],
        overlap=values["overlap"],
        rationale=values["rationale"],
        exports=tuple(Wanted(to) for to in dict.fromkeys(values["export"])) or recipe_exports(),
        where=values["where"],
    )
    result = pipeline.label(chosen, Terminal())
    if values["as_json"]:
        print_json(result)
    else:
        click.echo(clean(summary(result, out, chosen.db, chosen.order)))
    if result["threshold"] is None and result["pool"]:
        return NO_THRESHOLD
    return SOME_UNJUDGED if result["failed"] else OK
