"""The data set card: what the rows are, how they were labelled, and the promise in words."""

from __future__ import annotations

from typing import Any

import yaml

from curator.intervals import audit_sentence

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)

_COLUMNS = (
    ("prompt", "the conversation, as messages; the last one is answered"),
    ("chosen", "the preferred response, as one assistant message"),
    ("rejected", "the other response"),
    ("pair_id", "content hash of prompt and responses"),
    ("p_chosen", "the judge's probability that `chosen` is better, averaged over both orders; null where it gave none"),
    ("bpe", "bidirectional preference entropy in nats, 0 (sure) to 0.693 (no preference)"),
    ("label_source", "`human` or `auto`"),
)


def dataset_card(result: dict[str, Any], rows: dict[str, int], size: int, held: int) -> str:
    """The card as Markdown with the YAML header that the hub and `datasets` read.

    Args:
        result: the object of `run.json`; only what does not change between equal runs is used.
        rows: number of rows by label source.
        size: bytes of the Parquet files.
        held: bytes of the rows in memory.
    """
    return f"---\n{yaml.safe_dump(_header(sum(rows.values()), size, held), sort_keys=False)}---\n\n" + _body(
        result, rows
    )


def _header(count: int, size: int, held: int) -> dict[str, Any]:
    types = {"p_chosen": "float64", "bpe": "float64"}
    features = [_feature(name, types.get(name, "string")) for name, _ in _COLUMNS]
    return {
        "pretty_name": "Preference pairs labelled with curator",
        "tags": ["preference", "dpo", "trl", "curator"],
        "size_categories": [next((name for most, name in _SIZES if count < most), "n>10M")],
        "dataset_info": {
            "features": features,
            "splits": [{"name": "train", "num_bytes": held, "num_examples": count}],
            "download_size": size,
            "dataset_size": held,
        },
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
    }


def _feature(name: str, dtype: str) -> dict[str, Any]:
    if name in {"prompt", "chosen", "rejected"}:
        return {"name": name, "list": [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]}
    return {"name": name, "dtype": dtype}


def _body(result: dict[str, Any], rows: dict[str, int]) -> str:
    judge, calibration = result["judge"], result["calibration"]
    columns = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in _COLUMNS)
    demonstration = (
        "\n**The judge is a small demonstration model. Do not train on these auto labels.**\n"
        if judge["demonstration"]
        else ""
    )
    threshold, panel, groups = result["threshold"], result["panel"], _groups(result)
    several = "" if panel is None else _several(result["judges"], panel)
    audit = "" if result.get("audit") is None else f"\n## The audit\n\n{audit_sentence(result['audit'])}\n"
    accepted = (
        "none" if threshold is None else "see the groups" if groups else f"BPE at most {threshold['bpe']:.6g} nats"
    )
    return f"""# Preference pairs labelled with curator

{sum(rows.values())} pairs: {rows["auto"]} labelled by a judge, {rows["human"]} by people.
{demonstration}
## The promise

> {result["promise"]}

{groups}It is about the {result["accepted"]} pairs that the rule accepted out of {result["pool"]}, and about
agreement with the people who labelled the calibration rows. It says nothing about single pairs, nor about other data.
{_selection(result, rows)}{_people(result)}{audit}
{_doubts(result["doubts"])}## How the labels were made

| | |
|---|---|
| judge | {_cell(judge["name"])} ({judge["engine"]}), both orders of every pair |
| judge id | `{judge["judge_id"]}` |
{several}| rule | `{result["guarantee"]}`, alpha {result["alpha"]}, delta {result["delta"]}, ties: {result["ties"]} |
| several labels of a pair | {result["votes"]} |
| calibration rows | {calibration["n"]}, of which the judge got {calibration["errors"]} wrong |
| earlier tries | {calibration["earlier_tries"]}, on fewer labels, without a threshold (the promise allows for none) |
| accepted | {accepted} |
| coverage | {result["coverage"]:.4f} of {result["pool"]} pairs |

## Columns

| column | meaning |
|---|---|
{columns}
"""


def _selection(result: dict[str, Any], rows: dict[str, int]) -> str:
    """That rows were chosen, about which nothing was promised."""
    chosen = result.get("selection")
    if chosen is None:
        return ""
    return (
        f"\n**These are {sum(rows.values())} of {chosen['of']} rows, chosen by a condition:** "
        f"{_cell(chosen['where'])}. The promise is about all accepted pairs together. It does not hold for those that "
        "were chosen: the share of wrong labels among them may be larger.\n"
    )


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


def _people(result: dict[str, Any]) -> str:
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


def _several(judges: list[dict[str, Any]], panel: dict[str, Any]) -> str:
    """Rows of the table about judges that worked together."""
    rows = [
        f"| judge {place} | {_cell(one['name'])} ({one['engine']}), `{one['judge_id']}`: {one['judged']} pairs |\n"
        for place, one in enumerate(judges, 1)
    ]
    how = f"mean of {panel['combine']}; one that failed: {panel['missing']}{_cascade(panel)}"
    return "".join(rows) + f"| together | {how} |\n"


def _cascade(panel: dict[str, Any]) -> str:
    if panel["cascade"] is None:
        return ""
    return f"; the next judge reads pairs below {panel['cascade']['edge']:.4g} only"


def _groups(result: dict[str, Any]) -> str:
    """The promise of each group, as a table."""
    if result["groups"] is None:
        return ""
    rows = "\n".join(
        f"| {'(all others)' if one['group'] is None else _cell(one['group'])} | {one['n']} | {one['accepted']} of "
        f"{one['pool']} | {_cell(one['promise'])} |"
        for one in result["groups"]
    )
    return f"| {_cell(result['group_by'])} | labelled | accepted | promise |\n|---|---|---|---|\n{rows}\n\n"


def _doubts(doubts: list[dict[str, Any]]) -> str:
    """What was found that speaks against the promise or the judge."""
    if not doubts:
        return ""
    return "## Doubts\n\n" + "".join(f"- {_escaped(doubt['text'])}\n" for doubt in doubts) + "\n"


def _cell(text: str) -> str:
    """Text for a Markdown table cell: a judge's name comes from a file or a server and may hold anything."""
    return _escaped(text[:200])


def _escaped(text: str) -> str:
    kept = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!&" else c for c in kept)
