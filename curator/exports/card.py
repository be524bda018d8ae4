"""The data set card: what the rows are, how they were labelled, and the promise in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curator.exports.header import About, Contents, header_of, joined
from curator.intervals import audit_sentence

PICTURE = "risk-and-coverage.svg"
"""Name of the picture beside the card."""

CHOSEN_AUTO = (
    "The promise is about all accepted pairs together. It does not hold for those that were chosen: the share of wrong "
    "labels among them may be larger."
)


def dataset_card(
    result: Mapping[str, Any], contents: Contents, about: About | None = None, picture: str | None = None
) -> str:
    """The card as Markdown with the YAML header that the hub and `datasets` read. Equal arguments give equal cards.

    Args:
        result: the object of `run.json`; only what does not change between equal runs is used.
        contents: what the data set holds.
        about: what its owner says of it.
        picture: what the picture beside the card shows, in words; None: there is none.

    Raises:
        ValueError: a column has a type that a card has no name for.
    """
    return joined(
        header_of(contents, about or About(), result["judge"]["demonstration"]),
        _body(result, contents, picture),
    )


def _body(result: Mapping[str, Any], contents: Contents, picture: str | None) -> str:
    judge, calibration = result["judge"], result["calibration"]
    count = sum(split.rows for split in contents.splits.values())
    auto, human = (contents.sources.get(name, 0) for name in ("auto", "human"))
    columns = "\n".join(f"| `{name}` | {contents.meanings[name]} |" for name in contents.schema.names)
    demonstration = (
        "\n**The judge is a small demonstration model. Do not train on these auto labels.**\n"
        if judge["demonstration"]
        else ""
    )
    model = result.get("labelled_by")
    people = "people" if model is None else f"people or in the raw file ({model})"
    whoever = "the people" if model is None else f"those ({model}, where the labels came with the data)"
    threshold, panel, groups = result["threshold"], result["panel"], _groups(result)
    several = _template(result["judges"][0]) if panel is None else _several(result["judges"], panel)
    audit = "" if result.get("audit") is None else f"\n## The audit\n\n{audit_sentence(result['audit'])}\n"
    suspects = _suspects(result.get("suspects"))
    accepted = (
        "none" if threshold is None else "see the groups" if groups else f"BPE at most {threshold['bpe']:.6g} nats"
    )
    return f"""
# Preference pairs labelled with curator

{count} pairs: {auto} labelled by a judge, {human} by {people}.
{demonstration}
## The promise

> {_escaped(result["promise"])}

{groups}It is about the {result["accepted"]} pairs that the rule accepted out of {result["pool"]}, and about
agreement with {whoever} who labelled the calibration rows. It says nothing about single pairs, nor about other data.
{_taken(result.get("where"))}{_selection(result, contents.sources)}{_people(result)}{_picture(picture)}{audit}
{_doubts(result["doubts"])}## How the labels were made

| | |
|---|---|
| judge | {_cell(judge["name"])} ({judge["engine"]}), both orders of every pair |
| judge id | `{judge["judge_id"]}` |
{several}| rule | `{result["guarantee"]}`, alpha {result["alpha"]}, delta {result["delta"]}, ties: {result["ties"]} |
| several labels of a pair | {result["votes"]} |
{suspects}| calibration rows | {calibration["n"]}, of which the judge got {calibration["errors"]} wrong |
| earlier tries | {calibration["earlier_tries"]}, on fewer labels, without a threshold (the promise allows for none) |
| accepted | {accepted} |
| coverage | {result["coverage"]:.4f} of {result["pool"]} pairs |

## Columns

| column | meaning |
|---|---|
{columns}

## What is not promised

{_limits(result, auto, human, told="label_source" in contents.schema.names)}"""


def _suspects(suspects: Mapping[str, Any] | None) -> str:
    """The row about responses that talk to the judge; runs of an older curator do not say."""
    if not suspects or not suspects["pairs"]:
        return ""
    whose = "people decide, none is auto-labelled" if suspects["decided_by"] == "queue" else "the judge decides"
    return f"| suspects | {suspects['pairs']} pairs of which a response talks to the judge: {whose} |\n"


def _picture(words: str | None) -> str:
    return "" if words is None else f"\n![{_escaped(words)}]({PICTURE})\n"


def _limits(result: Mapping[str, Any], auto: int, human: int, *, told: bool) -> str:
    """What a reader might take for promised and is not."""
    said = [
        "How often people are wrong. A label counts as wrong where it is not the one that these people would give.",
        "That other judges, prompts or people would agree.",
        "That no response talks a judge round: what it says is part of what the judge reads.",
    ]
    if result["guarantee"] == "scope" and auto:
        said.append("The error among the auto labels. scope bounds how often a pair is accepted and wrong.")
    if auto and auto != result["accepted"]:
        said.append(
            f"The error among the {auto} auto labels here by themselves. The promise is about all {result['accepted']} "
            "accepted pairs; those that people have labelled, or that a filter left out, are not among them."
        )
    if auto and not told:
        said.append(
            "Anything about labels made of these rows: no column says which labels are the judge's. Read as raw rows, "
            "all count as people's, and a threshold set on them promises agreement with a judge."
        )
    if human:
        said.append(
            f"Anything about the {human} labels of people: they are what was said. Pairs that people call equal are no "
            "rows."
        )
    return "".join(f"- {one}\n" for one in said)


def _template(judge: Mapping[str, Any]) -> str:
    """The row of the table about a judge's template, where it has one."""
    return f"| template | {_cell(judge['template'])} |\n" if judge["template"] else ""


def _taken(where: str | None) -> str:
    """Which pairs were judged and labelled at all."""
    if where is None:
        return ""
    return f"\nOnly pairs that meet a condition were taken: {_cell(where, 1_000)}. The promise is about those alone.\n"


def _selection(result: Mapping[str, Any], rows: Mapping[str, int]) -> str:
    """That rows were chosen, about which nothing was promised."""
    chosen = result.get("selection")
    if chosen is None:
        return ""
    said = (
        f"\n**These are {sum(rows.values())} of {chosen['of']} rows, chosen:** {_cell('; '.join(chosen['by']), 1_000)}."
    )
    if rows.get("auto"):
        said += f" {CHOSEN_AUTO}"
    return f"{said}\n"


_RESOLVED = {
    "majority": "",
    "strict": """
Several labels of one pair were resolved strictly: a side where everybody who answered said so, else a tie. The promise
is about verdicts resolved so.
""",
    "weighted": """
Several labels of one pair were resolved by weight: each annotator counts by how far he or she agrees with the others,
which people's labels alone decide, never a judge. The promise is about verdicts resolved so. The weights come from the
labels that calibrate, among others, so that it is not exact; no departure was found in simulation.
""",
}


def _people(result: Mapping[str, Any]) -> str:
    """Whose labels these are, and how several of one pair became one."""
    group = result.get("annotator_group")
    whose = ""
    if group is not None:
        whose = (
            f"\nThese are the labels of one group of annotators, {_cell(group['name'])} ({group['annotators']} of them "
            "with labels here), and the judge's where it agrees with them as promised. Others who labelled the same "
            "pairs have no say in it. That it is chance which pairs this group labelled is taken for granted.\n"
        )
    return whose + _RESOLVED[result["votes"]]


def _several(judges: list[dict[str, Any]], panel: Mapping[str, Any]) -> str:
    """Rows of the table about judges that worked together."""
    rows = [
        f"| judge {place} | {_cell(one['name'])} ({one['engine']}), `{one['judge_id']}`: {one['judged']} pairs |\n"
        f"{_template(one)}"
        for place, one in enumerate(judges, 1)
    ]
    how = f"mean of {panel['combine']}; one that failed: {panel['missing']}{_cascade(panel)}"
    return "".join(rows) + f"| together | {how} |\n"


def _cascade(panel: Mapping[str, Any]) -> str:
    if panel["cascade"] is None:
        return ""
    return f"; the next judge reads pairs below {panel['cascade']['edge']:.4g} only"


def _groups(result: Mapping[str, Any]) -> str:
    """The promise of each group, as a table."""
    if result["groups"] is None:
        return ""
    rows = "\n".join(
        f"| {'(all others)' if one['group'] is None else _cell(one['group'])} | {one['n']} | {one['accepted']} of "
        f"{one['pool']} | {_escaped(one['promise'])} |"
        for one in result["groups"]
    )
    return f"| {_cell(result['group_by'])} | labelled | accepted | promise |\n|---|---|---|---|\n{rows}\n\n"


def _doubts(doubts: list[dict[str, Any]]) -> str:
    """What was found that speaks against the promise or the judge."""
    if not doubts:
        return ""
    return "## Doubts\n\n" + "".join(f"- {_escaped(doubt['text'])}\n" for doubt in doubts) + "\n"


def _cell(text: str, most: int = 200) -> str:
    """Text for a Markdown table cell: a judge's name comes from a file or a server and may hold anything."""
    return _escaped(text[:most])


def _escaped(text: str) -> str:
    kept = "".join(c if c.isprintable() else " " for c in text)
    marked = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!&~$@" else c for c in kept)
    return re.sub(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)", r"\\", marked)  # the hub makes links of bare addresses
