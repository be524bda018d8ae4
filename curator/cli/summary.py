"""What a person reads at the end of a run, and what to do next."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from textwrap import wrap
from typing import Any

import click
import orjson

from curator.exports.card import CHOSEN_AUTO
from curator.intervals import audit_sentence
from curator.progress import escaped, one_line
from curator.report.words import next_step

MOST_GROUPS = 30
"""Groups that a summary lists."""


_RESOLVED = {
    "strict": "several labels of one pair are a side only where nobody disagrees (strict)",
    "weighted": "of several labels of one pair, each weighs by how far its annotator agrees with others (weighted)",
}


def print_json(value: Any) -> None:
    """An object as JSON on standard output."""
    click.echo(escaped(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))


def _responses(result: dict[str, Any], made: str) -> str:
    """What rows became: pairs, or responses of which pairs were made."""
    found = result["responses"]
    if found is None:
        return made
    same = f"; repeated texts: {found['identical']:,}" if found["identical"] else ""
    used = (
        f"{result['rows'] - result['rejected']:,} with {found['responses']:,} responses to {found['prompts']:,} prompts"
    )
    return f"{used} ({made}{same})"


def _filtered(result: dict[str, Any]) -> str:
    return "" if result["where"] is None else f" + {result['filtered']:,} left out by --where"


def decision_lines(result: dict[str, Any]) -> list[str]:
    """Judge, calibration, threshold and promise."""
    judge, rows = result["judge"], result["calibration"]
    first = judge["bias"]["first_shown_preferred"] if judge["bias"] else None
    bias = "" if first is None else f"; the response shown first wins {first:.0%}"
    lines = [f"judge        {one_line(judge['name'])} ({judge['engine']}){bias}"]
    if judge["demonstration"]:
        lines.append("             a demonstration judge: do not train on its labels")
    if result["failed"]:
        why = "; ".join(f"{count} x {reason}" for reason, count in list(result["failures"].items())[:3])
        why = why or "no judgment in one order or in both; `curator label` asks for them"
        lines.append(f"not judged   {result['failed']:,} of {result['pairs']:,} pairs: {why}")
    if result["judge_ties"]:
        lines.append(
            f"judge ties   {result['judge_ties']:,} pairs, which it calls equal: none of them is auto-labelled"
        )
    if (suspects := result.get("suspects")) and suspects["pairs"]:  # runs of an older curator do not say
        shown = ", ".join(f"{sign} {count:,}" for sign, count in suspects["signs"].items())
        whose = "people decide" if suspects["decided_by"] == "queue" else "the judge decides (--suspects judge)"
        lines += wrapped(
            "suspects", f"{suspects['pairs']:,} pairs of which a response talks to the judge: {whose}. Signs: {shown}"
        )
    lines += _panel_lines(result)
    lines += _calibration_lines(result)
    if (threshold := result["threshold"]) is not None and not result["groups"]:
        winner = 1.0 if threshold["log_odds"] == "inf" else 1 / (1 + math.exp(-threshold["log_odds"]))
        lines.append(
            f"threshold    BPE {threshold['bpe']:.6g} (the better response has {winner:.4g}); the judge is as sure on "
            f"{rows['accepted']:,} labelled pairs, {rows['accepted_errors']:,} wrong"
        )
    lines.append(
        f"accepted     {result['accepted']:,} of {result['pool']:,} pairs (coverage {result['coverage']:.1%}), "
        f"abstained {result['abstained']:,}"
    )
    lines += _group_lines(result)
    lines += wrapped("promise", result["promise"])
    if (where := result.get("where")) is not None:  # runs of an older curator do not say
        lines += wrapped("", f"of pairs where {one_line(where, 1_000)}, and no others")
    lines += wrapped("change", change) if (change := _change(result)) else []
    if (audit := result.get("audit")) is not None:
        lines += wrapped("audit", audit_sentence(audit))
    for doubt in result["doubts"]:
        lines += wrapped("note", doubt["text"])
    return lines


def _calibration_lines(result: dict[str, Any]) -> list[str]:
    """What calibrates, and whose labels these are."""
    rows, lines = result["calibration"], []
    if rows["n"]:
        lines.append(f"calibration  {rows['n']:,} labelled pairs, the judge not right on {rows['errors']:,}")
    else:
        lines.append(f"calibration  no labelled pairs{'' if rows['ties_left_out'] else ' yet'}")
    if (model := result.get("labelled_by")) is not None:
        lines += wrapped(
            "", f"labels that came with the data were given by {model}: a promise is about agreement with it"
        )
    if result["votes"] != "majority":
        lines.append(f"             {_RESOLVED[result['votes']]}")
    if rows["ties_left_out"]:
        lines.append(f"             {rows['ties_left_out']:,} more are ties, and left out")
    if rows["fitted"]:
        lines.append(f"             {rows['fitted']:,} more were fitted on, and do not calibrate")
    return lines


def _change(result: dict[str, Any]) -> str:
    """What the labels that came in since the last run have bought; nothing where none have."""
    before = result["before"]
    if before is None or (before["same_rule"] and before["labelled"] == result["labelled"]):
        return ""
    since = "with other settings than the run before" if not before["same_rule"] else (
        f"{result['labelled'] - before['labelled']:+,} labelled pairs since the run before, "
        f"{result['calibration']['n'] - before['calibration']:+,} calibration rows"
    )  # fmt: skip
    grown = f", and {result['pairs'] - before['pairs']:+,} pairs" if result["pairs"] != before["pairs"] else ""
    return (
        f"{since}{grown}: {result['accepted'] - before['accepted']:+,} auto-labelled pairs "
        f"({before['accepted']:,} before, {result['accepted']:,} now), "
        f"{result['dataset']['human'] - before['dataset']['human']:+,} human labels in the data set"
    )


def _panel_lines(result: dict[str, Any]) -> list[str]:
    """Each of several judges, and how they were put together."""
    panel = result["panel"]
    if panel is None:
        return []
    named = [(one_line(judge["name"], 40), judge) for judge in result["judges"]]
    rows = [("together", result["judge"]), *named]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':13}{'':{width}}  right  AUROC  coverage alone"]
    for name, judge in rows:
        alone = "-" if judge["coverage"] is None else f"{judge['coverage']:.1%}"
        lines.append(f"{'':13}{name:{width}}  {_share(judge['accuracy'])}  {_share(judge['auroc'])}  {alone}")
    cascade = panel["cascade"]
    if cascade is not None:
        tokens = "" if cascade["tokens_share"] is None else f", {cascade['tokens_share']:.1%} of all tokens"
        lines.append(
            f"cascade      {named[-1][0]} read the {cascade['pairs_share']:.1%} of pairs below "
            f"{cascade['edge']:.4g}{' (fitted)' if cascade['fitted'] else ''}{tokens}"
        )
    if panel["weights"] is not None:
        lines.append("weights      " + ", ".join(f"{weight:.3g}" for weight in panel["weights"]) + " (fitted)")
    return lines


def _share(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"


def _group_lines(result: dict[str, Any]) -> list[str]:
    """What was decided in each group."""
    if not result["groups"]:
        return []
    named = [
        (one_line(one["group"], 30) if one["group"] is not None else "(all others)", one) for one in result["groups"]
    ]
    width = max(len(name) for name, _ in named)
    lines = [f"groups       by {one_line(result['group_by'])}: labelled, wrong; accepted of pairs"]
    for name, one in named[:MOST_GROUPS]:
        bought = f"{one['accepted']:,} of {one['pool']:,} ({one['coverage']:.1%})"
        none = "" if one["threshold"] is not None else ", no threshold"
        lines.append(f"{'':13}{name:{width}}  {one['n']:,}, {one['errors']:,}; {bought}{none}")
    if (more := len(named) - MOST_GROUPS) > 0:
        lines.append(f"{'':13}and {more:,} more: run.json has all")
    return lines


def wrapped(name: str, text: str) -> list[str]:
    """Lines of a long text under its name."""
    return wrap(f"{name:13}{text}", 100, subsequent_indent=" " * 13)


_ORDERS = {
    "uncertain": "least sure first",
    "disagreement": "furthest apart first",
    "random": "in random order",
    "diverse": "some of every topic first",
}


def summary(result: dict[str, Any], out: Path, db: Path, order: str = "uncertain") -> str:
    """The end of `curator label`."""
    asked = result["judgments"]
    seconds, speed = result["judging_seconds"], result["pairs_per_second"]
    timed = asked["asked"] and speed and result["judge"]["engine"] != "recorded"
    tokens, cached = result["tokens_per_second"], result["cached_share"]
    cost = f", {tokens:,.0f} tokens/s, {cached:.0%} of them cached" if tokens else ""
    rate = f" in {seconds:.3g} s ({speed:,.3g} pairs/s{cost})" if timed else ""
    tasks, draw = result["queue"]["tasks"], result["queue"]["calibration_draw"]
    parts = [f"{draw:,} of the random calibration draw"] if draw else []
    audited, again, another = (result["queue"][name] for name in ("audit", "again", "another"))
    if rest := tasks - draw - audited - again - another:
        parts.append(f"{rest:,} the judge abstained on, {_ORDERS[order]}")
    hidden = [f"{audited:,} of the audit"] if audited else []
    hidden += [f"{again:,} asked about again"] if again else []
    hidden += [f"{another:,} waiting for another person"] if another else []
    queue = f"{tasks:,} pairs for people" + (f": {', then '.join(parts)}" if parts else "")
    if hidden:
        queue += f"{', hidden among them ' if parts else ': '}{' and '.join(hidden)}"
    if (answers := result["queue"]["answers"]) > tasks:
        queue += f"\n{'':13}{answers:,} answers are wanted: `curator queue` writes a set of tasks for each person"
    made = f"{result['pairs']:,} pairs + {result['duplicates']:,} duplicates"
    lines = [
        f"rows         {result['rows']:,} = {_responses(result, made)} + {result['rejected']:,} rejects"
        f"{_filtered(result)}",
        f"judgments    {asked['cached']:,} cached, {asked['asked']:,} new{rate}",
        *decision_lines(result),
        "",
        f"dataset      {out / 'dataset'}: {result['dataset']['auto']:,} auto labels, "
        f"{result['dataset']['human']:,} human labels",
        *_export_lines(result, out),
        f"queue        {out / 'queue.jsonl'}: {queue}",
        f"report       {out / 'report.html'}",
    ]
    if (rationales := result["rationales"]) is not None:
        failed = f", {rationales['failed']:,} failed: {rationales['reason']}" if rationales["failed"] else ""
        lines.append(f"rationales   {rationales['written']:,} written, {rationales['cached']:,} known{failed}")
    if result["rejected"]:
        lines.append(f"rejects      {out / 'rejects.jsonl'}: {result['rejected']:,} rows, with reasons")
    lines += ["", *_next(result, db)]
    return "\n".join(lines)


def _export_lines(result: dict[str, Any], out: Path) -> list[str]:
    """What is not in the data set, and what was written beside it."""
    first, *others = result["exports"]
    lines = wrapped("", f"left out: {left_out(first)}") if first["left_out"] else []
    for one in others:
        lines.append(f"export       {out / one['folder']}: {export_line(one)}")
    return lines


def export_line(export: dict[str, Any]) -> str:
    """What an export holds, and what it leaves out."""
    rows = export["rows"]
    text = f"{rows['auto']:,} auto labels, {rows['human']:,} human labels"
    if export["to"] == "ranking":
        text = f"{export['splits']['train']:,} prompts with all responses in order, of which nothing is promised"
    if "test" in export["splits"]:
        text += f" ({export['splits']['train']:,} rows to train on, {export['splits']['test']:,} to test)"
    text += f"; left out: {left_out(export)}" if export["left_out"] else ""
    if (chosen := export["selection"]) is not None:
        text += f"; chosen: {one_line('; '.join(chosen['by']), 1_000)}"
        text += f". {CHOSEN_AUTO}" if rows["auto"] else ""
    return text


def left_out(export: dict[str, Any]) -> str:
    """What an export leaves out, by reason."""
    return ", ".join(f"{count:,} {reason}" for reason, count in export["left_out"].items())


def _next(result: dict[str, Any], db: Path) -> list[str]:
    """What to do now."""
    step, label = next_step(result)
    how = [
        f"  curator review --db {shlex.quote(str(db))}",
        "  in the browser, or `curator queue --to` for Argilla, Label Studio, Prodigy or a spreadsheet; then",
        "  run the same `curator label` again: judgments are kept.",
    ]
    return [*wrap(f"Next: {step}", 100, subsequent_indent="  "), *(how if label else [])]
