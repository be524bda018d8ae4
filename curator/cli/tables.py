"""Comparisons, sweeps and label plans as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from curator.progress import one_line


def comparison_lines(result: dict[str, Any]) -> list[str]:
    """Signals side by side."""
    rows = [["signal", "judge", "pairs", "right", "ECE", "AUROC", "AUPRC", "levels", "threshold", "coverage"]]
    for row in result["signals"]:
        names = [one_line(judge["name"], 30) for judge in row["judges"]]
        figures = [_figure(row[name]) for name in ("accuracy", "ece", "auroc", "auprc")]
        judge = names[0] if len(names) == 1 else f"all {len(names)}"
        cells = [f"{row['labelled']:,}", *figures, f"{row['levels']:,}", _bpe(row), _coverage(row)]
        rows.append([row["signal"], judge, *cells])
    return [
        f"labels       {result['n']:,} pairs that may calibrate; the figures are over those a signal labels",
        f"coverage     of {result['pool']:,} pairs under {_rule(result)}, alpha {result['alpha']:g}; threshold as BPE",
        "",
        *aligned(rows, left=2),
        "",
        *wrap(result["note"], 100),
    ]


def sweep_lines(result: dict[str, Any]) -> list[str]:
    """Coverage and error over alpha."""
    rows = [["alpha", "coverage", "accepted", "BPE at most", "labelled", "wrong", "error", "95% interval"]]
    for row in result["alphas"]:
        k, e = row["calibration_accepted"], row["calibration_errors"]
        interval = "" if row["error"] is None else f"{row['error_low']:.3f} to {row['error_high']:.3f}"
        cells = [f"{k:,}", f"{e:,}", _figure(row["error"]), interval]
        rows.append([f"{row['alpha']:g}", _coverage(row), f"{row['accepted']:,}", _bpe(row), *cells])
    return [
        f"labels       {result['n']:,} pairs that may calibrate, the judge not right on {result['errors']:,}",
        f"coverage     of {result['pool']:,} pairs under {_rule(result)}, ranked by {result['score']}",
        "error        of the labelled pairs that would be accepted, on which the threshold was set",
        "",
        *aligned(rows),
        "",
        *wrap(result["note"], 100),
    ]


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """What labels buy: a table for each guarantee."""
    pilot, cells = plan["pilot"], plan["cells"]
    how = (
        f"the judge is taken to be right on {plan['accuracy']:.1%} of the pairs it has a preference on"
        if pilot is None
        else f"error rate over sureness fitted to {pilot['n']:,} labelled pairs, {pilot['errors']:,} of them wrong"
    )
    error = max((cell["coverage_error"] for cell in cells), default=0.0)
    chance = max((cell["chance_error"] for cell in cells), default=0.0)
    spread = " (its 80% range over resampled pilots)" if pilot else ""
    lines = [
        f"pairs        {plan['pairs']:,}, {plan['scored']:,} of them with a score",
        f"judge        {how}",
        f"cells        expected coverage of the other pairs{spread}, chance of a threshold",
        f"simulated    {plan['draws']:,} draws a cell: standard error up to {100 * error:.1f} points of coverage, "
        f"{chance:.2f} of chance",
    ]
    alphas = sorted({cell["alpha"] for cell in cells})
    for guarantee in dict.fromkeys(cell["guarantee"] for cell in cells):
        of_rule = {(cell["labels"], cell["alpha"]): cell for cell in cells if cell["guarantee"] == guarantee}
        rows = [["labels", *(f"alpha {alpha:g}" for alpha in alphas)]]
        for labels in sorted({labels for labels, _ in of_rule}):
            rows.append([f"{labels:,}", *(_planned(of_rule[labels, alpha]) for alpha in alphas)])
        lines += ["", _rule({**plan, "guarantee": guarantee}), *aligned(rows)]
    return [*lines, "", *wrap(plan["advice"], 100)]


def _planned(cell: dict[str, Any]) -> str:
    spread = "" if cell["low"] is None else f" ({100 * cell['low']:.0f} to {100 * cell['high']:.0f})"
    return f"{cell['coverage']:.0%}{spread} {cell['chance']:.2f}"


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Rows of cells as lines; the first `left` columns stand left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _rule(result: dict[str, Any]) -> str:
    rule: str = result["guarantee"]
    groups = f" within each group of {result['group_by']}" if result.get("group_by") else ""
    return (f"{rule} (delta {result['delta']:g})" if rule == "pac" else rule) + groups


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _coverage(row: dict[str, Any]) -> str:
    return "none" if row["threshold"] is None else f"{row['coverage']:.1%}"


def _bpe(row: dict[str, Any]) -> str:
    return "-" if row["threshold"] is None else f"{row['threshold']['bpe']:.4g}"
