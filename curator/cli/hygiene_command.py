"""`curator hygiene`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curator.cli import options
from curator.cli.options import Number

_MOST_LANGUAGES = 8


@click.command("hygiene")
@options.db
@click.option(
    "--against",
    metavar="FILE",
    multiple=True,
    help="An evaluation set that the prompts must not stand in; may be repeated. It is kept for pairs that come later.",
)
@click.option(
    "--against-field",
    metavar="NAME",
    help="Where the text of its rows stands.  [default: prompt, question, instruction or text]",
)
@click.option(
    "--similarity",
    type=Number(0, 1, min_open=True),
    help="Share of three-word runs from which on texts are near duplicates. Kept.  [default: 0.8]",
)
@options.as_json
def command(
    db: Path, against: tuple[str, ...], against_field: str | None, similarity: float | None, as_json: bool
) -> None:
    """Find near duplicates, languages and prompts of evaluation sets, for --where.

    Reads the pairs that are new since the last time, all or nothing: one that is stopped has kept nothing and
    starts over. Prompts are near duplicates where at least --similarity of the three-word runs of both are in both,
    in the whole conversation and in its last turn; pairs, where their prompts and both responses are, on whichever
    sides these stand. Case, punctuation and spaces do not count. A prompt stands in an evaluation set where
    thirteen words in a row do, or all words of a shorter one.

    \b
    Examples:
      curator hygiene --db raw.curated/curator.duckdb --against gsm8k-test.jsonl
      curator label raw.jsonl --where "near_duplicate_of IS NULL AND against IS NULL AND language_prompt = 'en'"
    """
    from curator.cli.summary import print_json
    from curator.progress import Terminal, clean
    from curator.steps.hygiene import find_traits
    from curator.store import open_store

    if against_field and not against:
        raise click.UsageError("--against-field goes with --against")
    with open_store(db, create=False) as store:
        found = find_traits(store, Terminal(), against=against, field=against_field, similarity=similarity)
    if as_json:
        print_json(found)
    else:
        click.echo(clean(_summary(found)))


def _summary(found: dict[str, Any]) -> str:
    from curator.progress import one_line

    languages = list(found["languages"].items())
    shown = ", ".join(f"{name} {count:,}" for name, count in languages[:_MOST_LANGUAGES])
    more = "" if len(languages) <= _MOST_LANGUAGES else f", {len(languages) - _MOST_LANGUAGES} more"
    lines = [
        f"pairs        {found['pairs']:,} with {found['prompts']:,} prompts; {found['new']:,} read now, in "
        f"{found['seconds']:,.3g} s",
        f"prompts      {found['near_prompts']:,} are near duplicates of another (similarity {found['similarity']:g})",
        f"pairs        {found['near_duplicates']:,} are near duplicates of another, responses and all",
        f"responses    {found['alike']:,} pairs have two responses that are near duplicates of each other",
        f"languages    {shown}{more} (of prompts; und: cannot be told)",
    ]
    for one in found["against"]:
        name = one_line(one["name"], 4_096)
        lines.append(f"against      {name}: {one['prompts']:,} prompts stand in it ({one['pairs']:,} pairs)")
    wanted = ["near_duplicate_of IS NULL"] if found["near_duplicates"] else []
    wanted += ["against IS NULL"] if any(one["prompts"] for one in found["against"]) else []
    if wanted:
        lines += ["", "Next: leave them out before anything is judged or drawn:"]
        lines.append(f'  curator label RAW --where "{" AND ".join(wanted)}"')
    elif not found["against"]:
        lines += ["", "Next: compare the prompts with the sets that you evaluate on: --against FILE"]
    return "\n".join(lines)
