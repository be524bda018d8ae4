"""Draws what labels buy: coverage over the number of labels, a panel a guarantee and a line an alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curator.errors import InputError
from curator.files import whole_file


def draw_plan(plan: dict[str, Any], path: Path) -> None:
    """Write the plan as SVG with selectable text.

    Args:
        plan: the object `labels` of `schemas/plan.schema.json`.

    Raises:
        InputError: there is nothing to draw.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    cells = plan["cells"]
    if not cells:
        raise InputError("no picture: there are too few pairs to plan for")
    guarantees = list(dict.fromkeys(cell["guarantee"] for cell in cells))
    # Text stays text, and equal plans are equal files.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "curator"}):
        figure = Figure(figsize=(4.2 * len(guarantees), 3.6), layout="constrained")
        axes = figure.subplots(1, len(guarantees), sharey=True, squeeze=False)[0]
        for axis, guarantee in zip(axes, guarantees, strict=True):
            for alpha in sorted({cell["alpha"] for cell in cells}):
                line = [cell for cell in cells if (cell["guarantee"], cell["alpha"]) == (guarantee, alpha)]
                labels = [cell["labels"] for cell in line]
                (drawn,) = axis.plot(labels, [cell["coverage"] for cell in line], marker="o", label=f"alpha {alpha:g}")
                if plan["pilot"] is not None:
                    low, high = [cell["low"] for cell in line], [cell["high"] for cell in line]
                    axis.fill_between(labels, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)
            axis.set(title=guarantee, xlabel="calibration labels", xscale="log", ylim=(0, 1))
            ticks = sorted({cell["labels"] for cell in cells})
            axis.set_xticks(ticks, labels=[f"{labels:,}" for labels in ticks])
            axis.minorticks_off()
            axis.grid(visible=True, alpha=0.3)
        axes[0].set_ylabel("expected coverage of the other pairs")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        with whole_file(path) as aside:
            figure.savefig(aside, format="svg", metadata={"Date": None, "Title": plan["advice"]})
