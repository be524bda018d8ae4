"""Agreement of people and judges as tables for people."""

from __future__ import annotations

import shlex
from pathlib import Path
from textwrap import wrap
from typing import Any

from curator.cli.tables import aligned
from curator.progress import one_line

MOST_ROWS = 50
"""Annotators that are listed, those with most labels first; --json has all."""


def agreement_lines(result: dict[str, Any], db: Path) -> list[str]:
    """Everything that `curator agreement` says."""
    labels, people = result["labels"], result["people"]
    aside = [
        f"{labels[key]:,} {name}"
        for key, name in (("not_blind", "by people shown the judge's verdict"), ("asked_again", "on pairs asked again"))
        if labels[key]
    ]
    lines = [
        f"labels       {labels['labels']:,} by {labels['annotators']:,} annotators on {labels['pairs']:,} pairs, and "
        f"{labels['skips']:,} skips; {people['pairs']:,} pairs have two labels or more"
    ]
    if aside:
        lines.append(f"             not counted: {', '.join(aside)}")
    lines.append(f"votes        several labels of a pair become one by {result['votes']}")
    if people["pairs"]:
        lines.append(f"people       agree on {_share(people)}; alpha {_alpha(people)}")
    lines += ["", *_annotators(result)]
    if result["judges"]:
        lines += ["", *_judges(result["judges"])]
    if result["groups"] is not None:
        lines += ["", *_groups(result["groups"])]
    for made in result["datasets"] or ():
        lines += ["", *_dataset(made)]
    if not people["pairs"]:
        lines += [
            "",
            "Next: no pair has labels of two people, so that nobody knows how far they agree. Have some pairs",
            f"      labelled twice: curator queue --db {shlex.quote(str(db))} --out DIR --annotators-per-pair 2",
        ]
    return lines


def _annotators(result: dict[str, Any]) -> list[str]:
    """Each annotator against the others."""
    weighted = result["votes"] == "weighted"
    head = ["annotator", "labels", "ties", "skips", "pairs", "agreement", "interval", "alpha", "interval"]
    rows = [[*head, "left", "interval", "seconds", *(["weight"] if weighted else [])]]
    listed = sorted(result["annotators"], key=lambda one: -one["labels"])
    for one in listed[:MOST_ROWS]:
        rows.append(
            [
                one_line(one["annotator"], 30), f"{one['labels']:,}", f"{one['ties']:,}", f"{one['skips']:,}",
                *_compared(one),
                _figure(one["left"]), _interval(one["left_low"], one["left_high"]),
                "-" if one["seconds"] is None else f"{one['seconds']:.3g}",
                *([_figure(one["weight"])] if weighted else []),
            ]
        )  # fmt: skip
    lines = aligned(rows, left=1)
    if (more := len(listed) - MOST_ROWS) > 0:
        lines.append(f"and {more:,} more: --json has all")
    return lines


def _judges(judges: list[dict[str, Any]]) -> list[str]:
    """Each judge against people."""
    rows = [["judge", "labels", "ties", "pairs", "agreement", "interval", "alpha", "interval"]]
    for one in judges:
        rows.append([one_line(one["name"], 40), f"{one['labels']:,}", f"{one['ties']:,}", *_compared(one)])
    return aligned(rows, left=1)


def _groups(found: dict[str, Any]) -> list[str]:
    """Agreement within groups and between them, and what follows."""
    rows = [["group", "people", "labels", "pairs", "agreement", "interval", "alpha", "interval"]]
    for one in found["groups"]:
        rows.append(
            [one_line(one["group"], 30), f"{one['annotators']:,}", f"{one['labels']:,}", *_compared(one)],
        )
    for one in found["between"]:
        name = " / ".join(one_line(group, 30) for group in one["groups"])
        rows.append([name, "", "", *_compared(one["between"])])
    lines = aligned(rows, left=1)
    for one in found["groups"]:
        if one["absent"]:
            names = ", ".join(one_line(name, 30) for name in one["absent"][:10])
            lines.append(f"without a label in {one_line(one['group'], 30)}: {names}")
    if found["without"]:
        names = ", ".join(one_line(name, 30) for name in found["without"][:10])
        lines.append(f"in no group: {len(found['without']):,} annotators ({names})")
    for one in found["between"]:
        lines += ["", *wrap(one["sentence"], 100)]
    return lines


def _dataset(made: dict[str, Any]) -> list[str]:
    """What was written for a group."""
    rows, used = made["dataset"], made["calibration"]
    lines = [
        f"{made['out']}: {rows['auto']:,} auto labels, {rows['human']:,} human labels of {one_line(made['group'], 30)}",
        f"  {used['n']:,} of its labels calibrate, the judge not right on {used['errors']:,}; accepted "
        f"{made['accepted']:,} of {made['pool']:,} pairs",
    ]
    if made["labels_missing"] is not None:
        lines.append(
            f"  Too few labels of this group: about {made['labels_missing']:,} more would let the judge through."
        )
    return [*lines, *wrap(made["promise"], 100, initial_indent="  ", subsequent_indent="  ")]


def _compared(one: dict[str, Any]) -> list[str]:
    return [
        f"{one['pairs']:,}", _figure(one["agreement"]), _interval(one["low"], one["high"]),
        _figure(one["alpha"]), _interval(one["alpha_low"], one["alpha_high"]),
    ]  # fmt: skip


def _share(one: dict[str, Any]) -> str:
    return f"{one['agreement']:.3f} ({_interval(one['low'], one['high'])})"


def _alpha(one: dict[str, Any]) -> str:
    if one["alpha"] is None:
        return "cannot be told: all say the same"
    interval = _interval(one["alpha_low"], one["alpha_high"])
    return f"{one['alpha']:.3f}{f' ({interval})' if interval else ''}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
