"""`curator audit`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from curator.cli import options
from curator.cli.configuring import Configured, recipe

SAYS = {
    "cycle": "1 > 2 > 3, yet 3 > 1",
    "equal": "1 = 2 = 3, yet 3 > 1",
    "chain": "1 > 2 > 3, yet 3 = 1",
}

KINDS = {"cycle": "cycles", "equal": "equals that are not", "chain": "chains whose ends are equal"}


@click.command("audit", cls=Configured)
@options.db
@recipe
@click.option("--labels", is_flag=True, help="List human labels that judges contradict, the most strongly first.")
@click.option("--contradictions", is_flag=True, help="List verdicts about one prompt that no ranking agrees with.")
@click.option("--top", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many to list.")
@click.option("--requeue", is_flag=True, help="With --labels: have people label the listed pairs once more, blind.")
@options.option("--min-label-mass", type=options.Number(0, 1), default=0.25, show_default=True, help="As for label.")
@options.as_json
def command(
    db: Path, labels: bool, contradictions: bool, top: int, requeue: bool, as_json: bool, **values: Any
) -> None:
    """Check labels: the error bought, labels that judges contradict, verdicts that contradict each other.

    Strength and preference are the log-odds and the probability that judges give to the response people chose, averaged
    over all judges that judged the pair: far below 0, and below 1/2, the label is likely wrong. Spread is the standard
    deviation of the probability over judges: where it reaches beyond 1/2, the pair is ambiguous.

    No label is changed: --requeue puts the listed pairs back in the queue, where they look like all others. The second
    label does not calibrate and leaves the first in the store; the data set has the second, unless it is a skip. Each
    pair comes back once.

    \b
    Examples:
      curator audit --db raw.curated/curator.duckdb
      curator audit --db raw.curated/curator.duckdb --labels --top 50 --requeue
    """
    from curator.cli.summary import print_json
    from curator.progress import clean
    from curator.steps.auditing import audit_store
    from curator.store import open_store

    if requeue and not labels:
        raise click.UsageError("--requeue puts back what --labels lists: give both")
    with open_store(db, create=False) as store:
        result = audit_store(store, values["min_label_mass"], top, requeue=requeue)
    if as_json:
        print_json(result)
        return
    lines = _summary(result)
    if labels:
        lines += ["", *_labels(result["labels"]["listed"])]
    if contradictions:
        for who in ("judge", "people"):
            lines += ["", *_contradictions(who, result["contradictions"][who]["listed"])]
    lines += ["", *_next(result, db, labels, contradictions)]
    click.echo(clean("\n".join(lines)))


def _summary(result: dict[str, Any]) -> list[str]:
    from curator.cli.summary import wrapped
    from curator.intervals import audit_sentence

    labels, again = result["labels"], result["labels"]["rechecks"]
    sure = "" if labels["confident"] is None else f" ({labels['confident']:,} as surely as the threshold)"
    lines = [
        f"labels       {labels['judged']:,} of {labels['labelled']:,} human preferences are judged in both orders: "
        f"{labels['contradicted']:,} contradicted{sure}, {labels['ambiguous']:,} ambiguous"
    ]
    if again["asked"]:
        lines.append(
            f"asked again  {again['asked']:,} pairs: {again['confirmed']:,} confirmed, {again['changed']:,} changed, "
            f"{again['undecided']:,} undecided, {again['waiting']:,} waiting"
        )
    for who in ("judge", "people"):
        found = result["contradictions"][who]
        kinds = [f"{found[f'{kind}s']:,} {name}" for kind, name in KINDS.items() if found[f"{kind}s"]]
        bad = sum(found[f"{kind}s"] for kind in KINDS)
        limited = ""
        if found["limited_prompts"]:
            limited = (
                f"; of the {found['limited_prompts']:,} prompts with more than {found['most_responses']} responses, "
                "only so many are looked at"
            )
        lines.append(
            f"{'rankings' if who == 'judge' else '':13}{who}: {bad:,} of {found['triples']:,} triples of one prompt "
            f"contradict themselves{': ' if kinds else ''}{', '.join(kinds)}{limited}"
        )
    audit = result["audit"]
    lines += wrapped("audit", "none was drawn." if audit is None else audit_sentence(audit))
    return lines


def _labels(listed: list[dict[str, Any]]) -> list[str]:
    """The doubtful labels as a table."""
    if not listed:
        return ["no human label is in doubt"]
    form = "{:34}{:7}{:>9}{:>8}{:>8}{:>8}  {:21}{}"
    lines = [form.format("pair_id", "human", "strength", "prefer", "spread", "judges", "reading", "where and prompt")]
    for row in listed:
        spread = "-" if row["spread"] is None else f"{row['spread']:.2f}"
        asked = {None: "", "waiting": ", asked", "answered": ", again"}[row["recheck"]]
        numbers = (f"{row['strength']:.2f}", f"{row['preference']:.2f}", spread, row["judges"])
        where = f"{_line(row['file'])}:{row['line']}  {_line(row['prompt'])}"
        lines.append(form.format(row["pair_id"], row["verdict"], *numbers, row["reading"] + asked, where))
    return lines


def _contradictions(who: str, listed: list[dict[str, Any]]) -> list[str]:
    """Contradicting triples, each with its three responses."""
    lines = [f"{who}: {'the surest contradictions' if listed else 'no contradiction'}"]
    for row in listed:
        lines.append(f"  {SAYS[row['kind']]} (at least {row['strength']:.2f})  {_line(row['prompt'])}")
        for number, (text, pair_id) in enumerate(zip(row["responses"], row["pairs"], strict=True), 1):
            lines.append(f"    {number}  {_line(text):62}{number} and {number % 3 + 1}: {pair_id}")
    return lines


def _line(text: str, most: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _next(result: dict[str, Any], db: Path, labels: bool, contradictions: bool) -> list[str]:
    """What to do now."""
    found, audit = result["labels"], result["audit"]
    steps = []
    store = shlex.quote(str(db))
    if result["requeued"] is not None:
        steps.append(
            f"{result['requeued']:,} pairs are back among the tasks: curator queue --db {store} --out DIR writes them, "
            "or the next `curator label`."
        )
    elif found["contradicted"] and not labels:
        steps.append(f"curator audit --db {store} --labels lists the doubtful labels; --requeue has people look again.")
    if any(side["listed"] for side in result["contradictions"].values()) and not contradictions:
        steps.append(f"curator audit --db {store} --contradictions lists what cannot all be right.")
    if audit is None:
        steps.append("curator label RAW --audit 0.02 has people check a random sample of the accepted pairs.")
    elif audit["labelled"] < audit["drawn"]:
        steps.append(f"{audit['drawn'] - audit['labelled']:,} pairs of the audit wait in the queue.")
    return [("Next: " if i == 0 else "      ") + step for i, step in enumerate(steps)] or ["Next: nothing is in doubt."]
