"""What a person reads at the end of a run, and what to do next."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import Any

import click
import orjson


def print_json(value: Any) -> None:
    """An object as JSON on standard output."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def decision_lines(result: dict[str, Any]) -> list[str]:
    """Judge, calibration, threshold and promise."""
    judge, rows = result["judge"], result["calibration"]
    first = judge["first_shown_preferred"]
    bias = "" if first is None else f"; the response shown first wins {first:.0%}"
    lines = [f"judge        {judge['name']} ({judge['engine']}){bias}"]
    if judge["demonstration"]:
        lines.append("             a demonstration judge: do not train on its labels")
    if result["failed"]:
        why = "; ".join(f"{count} x {reason}" for reason, count in list(result["failures"].items())[:3])
        lines.append(f"not judged   {result['failed']:,} of {result['pairs']:,} pairs" + (f": {why}" if why else ""))
    lines.append(f"calibration  {rows['n']:,} labelled pairs, the judge wrong on {rows['errors']:,}")
    if (threshold := result["threshold"]) is not None:
        lines.append(
            f"threshold    BPE {threshold['bpe']:.6g} nats: {rows['accepted']:,} calibration pairs are as sure, "
            f"{rows['accepted_errors']:,} of them wrong"
        )
    lines.append(
        f"accepted     {result['accepted']:,} of {result['pool']:,} pairs (coverage {result['coverage']:.1%}), "
        f"abstained {result['abstained']:,}"
    )
    lines += wrap("promise      " + result["promise"], 100, subsequent_indent=" " * 13)
    # A random draw of single pairs keeps fdr and scope exact even then; pac speaks of pairs to come.
    exact_anyway = rows["drawn"] == rows["n"] and result["guarantee"] != "pac"
    if rows["prompts"] < rows["n"] and not exact_anyway:
        lines.append(
            f"note         the {rows['n']:,} calibration pairs come from {rows['prompts']:,} prompts: pairs of one "
            "prompt resemble each other,\n"
            "             and the promise is weaker for it. Label single pairs drawn at random."
        )
    return lines


def summary(result: dict[str, Any], out: Path, db: Path) -> str:
    """The end of `curator label`."""
    asked = result["judgments"]
    seconds, speed = result["judging_seconds"], result["pairs_per_second"]
    rate = f" in {seconds:.3g} s ({speed:,.3g} pairs/s)" if asked["asked"] and speed else ""
    lines = [
        f"rows         {result['rows']:,} = {result['pairs']:,} pairs + {result['duplicates']:,} duplicates "
        f"+ {result['rejected']:,} rejects",
        f"judgments    {asked['cached']:,} cached, {asked['asked']:,} new{rate}",
        *decision_lines(result),
        "",
        f"dataset      {out / 'dataset'}: {result['dataset']['auto']:,} auto labels, "
        f"{result['dataset']['human']:,} human labels",
        f"queue        {out / 'queue.jsonl'}: {result['queue']['tasks']:,} pairs for people",
    ]
    if result["rejected"]:
        lines.append(f"rejects      {out / 'rejects.jsonl'}: {result['rejected']:,} rows, with reasons")
    lines += ["", *_next(result, out, db)]
    return "\n".join(lines)


def _next(result: dict[str, Any], out: Path, db: Path) -> list[str]:
    """What to do now."""
    tasks, draw = result["queue"]["tasks"], result["queue"]["calibration_draw"]
    how = (
        '  set "label" of each to left, right, tie or skip, then:\n'
        f"  curator import {out / 'queue.jsonl'} --db {db}\n"
        "  and run the same `curator label` again: judgments are kept."
    )
    if result["threshold"] is not None:
        if not tasks:
            return ["Next: train. Nothing is left for people."]
        return [f"Next: train on the data set; or have people label the queue ({tasks:,} pairs, hardest first):", how]
    if result["labels_missing"] is None and result["calibration"]["n"]:
        return [
            "Next: more labels would not help: the judge is wrong too often for this alpha even where it is surest.",
            "  Take a better judge or template, or a larger --alpha. The queue holds every pair for people.",
        ]
    if not draw:
        return ["Next: too few pairs to calibrate with. Give labelled pairs of the same kind as --calibration."]
    needed = result["labels_missing"] or draw
    return [
        f"Next: about {needed:,} labels would help. Label the first {draw:,} pairs of the queue, a random draw:",
        how,
    ]
