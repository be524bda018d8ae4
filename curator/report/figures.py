"""The figures of the report: small results of `numbers` in, a picture with its words and its table out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from curator.conformal import Calibration, Guarantee
from curator.report.drawing import ABSTAINED, ACCEPTED, INK, LINE, MUTED, PAPER, Picture, drawn
from curator.report.numbers import ORDER_BINS, EntropyCounts, OrderCounts, Reliable, observed_risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LN2 = math.log(2)


def share(value: float | None) -> str:
    """A share in percent, or a dash where there is none; what is not quite nothing or all does not look like it.

    >>> share(0.7211), share(1), share(0.99999), share(0.00001), share(None)
    ('72.1%', '100%', '>99.9%', '<0.1%', '–')
    """
    if value is None:
        return "–"
    if value in {0, 1}:
        return f"{value:.0%}"
    return {"0.0%": "<0.1%", "100.0%": ">99.9%"}.get(text := f"{value:.1%}", text)


def alpha_figure(points: Sequence[Calibration], alpha: Fraction) -> Picture:
    """Coverage and observed risk over alpha; the chosen alpha is one of the points."""
    x = [float(point.alpha) for point in points]
    risk = [observed_risk(point) for point in points]
    at = [point.alpha for point in points].index(alpha)
    scope = points[at].guarantee is Guarantee.SCOPE

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True)
        top.set_title("pairs accepted")
        top.plot(x, [point.coverage for point in points], color=ACCEPTED)
        top.plot(x[at], points[at].coverage, "o", color=ACCEPTED, markersize=6)
        _say(top, x[at], points[at].coverage, share(points[at].coverage))
        _percent(top, 1.0)
        bottom.set_title("accepted and wrong, of labelled pairs" if scope else "wrong among labelled pairs accepted")
        bottom.plot(x, x, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        bottom.annotate("alpha", (x[-1], x[-1]), (-3, 1), textcoords="offset points", ha="right", color=MUTED)
        seen = [math.nan if value is None else value for value in risk]
        bottom.plot(x, seen, color=ABSTAINED)
        if risk[at] is not None:
            bottom.plot(x[at], seen[at], "o", color=ABSTAINED, markersize=6)
            _say(bottom, x[at], seen[at], share(risk[at]))
        _percent(bottom, max(x[-1], *(value for value in (*risk, 0.0) if value is not None)) * 1.15)
        bottom.set_xlabel("alpha")
        bottom.set_xlim(0, x[-1] * 1.02)
        for axes in (top, bottom):
            axes.axvline(x[at], color=LINE, linewidth=0.8, zorder=0.5)

    title = "Coverage and risk over alpha"
    of_all = " of all labelled pairs" if scope else ""
    description = (
        f"Two curves over alpha from {x[0]:g} to {x[-1]:g}. Coverage goes from {share(points[0].coverage)} to "
        f"{share(points[-1].coverage)}; at the chosen alpha {x[at]:g} it is {share(points[at].coverage)}. "
        f"Of the labelled pairs, {points[at].k:,} reach the threshold there, and the judge is wrong on "
        f"{points[at].errors:,} of them{f' ({share(risk[at])}{of_all})' if risk[at] is not None else ''}."
    )
    rows = tuple(
        (f"{float(point.alpha):g}", f"{point.accepted:,}", share(point.coverage),
         f"{point.errors:,} of {point.n if scope else point.k:,}", share(value))
        for point, value in zip(points, risk, strict=True)
    )  # fmt: skip
    return Picture(
        "alpha", title, description, drawn("alpha", title, description, 3.5, draw),
        ("alpha", "accepted", "coverage", "labelled pairs wrong", "risk observed"), rows,
    )  # fmt: skip


def entropy_figure(counts: EntropyCounts, threshold: float | None) -> Picture:
    """How sure the judge is: pairs by BPE, accepted and abstained on top of each other.

    Args:
        threshold: largest BPE that is accepted; None: no line is drawn.
    """
    edges, accepted, abstained = counts.edges, counts.accepted, counts.abstained

    def draw(figure: Figure) -> None:
        from matplotlib.patches import Patch

        axes = figure.subplots()
        axes.set_title("pairs")
        width = np.diff(edges) * 0.86
        middle = (edges[:-1] + edges[1:]) / 2
        full: dict[str, Any] = {"facecolor": ACCEPTED, "edgecolor": "none"}
        hatched: dict[str, Any] = {"facecolor": "none", "edgecolor": ABSTAINED, "hatch": "/////"}
        axes.bar(middle, accepted, width, **full)
        some = abstained > 0  # or bars of no height would leave a line
        axes.bar(middle[some], abstained[some], width[some], bottom=accepted[some], **hatched)
        key: dict[str, Any] = {"accepted": Patch(**full), "abstained": Patch(**hatched)}
        if threshold is not None:
            key["threshold"] = axes.axvline(threshold, color=INK, linewidth=1.0)
        axes.legend(
            key.values(), key.keys(), loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False,
            borderaxespad=0.2, handlelength=1.2, columnspacing=1.2, labelcolor=INK,
        )  # fmt: skip
        axes.set_xlim(-0.005, LN2 + 0.005)
        axes.set_ylim(0, max(1, int((accepted + abstained).max(initial=0))) * 1.05)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.locator_params(axis="y", integer=True)
        axes.set_xticks([0, 0.2, 0.4, 0.6, LN2], ["0 sure", "0.2", "0.4", "0.6", "ln 2"])
        axes.set_xlabel("bidirectional preference entropy (BPE), nats")

    title = "How sure the judge is"
    cut = "" if threshold is None else f" Accepted are those with BPE at most {threshold:.4g}."
    description = (
        f"Histogram of BPE, from 0 (sure) to 0.693 (no preference): {accepted.sum():,} pairs accepted, "
        f"{abstained.sum():,} judged pairs abstained on.{cut}"
    )
    rows = tuple(
        (f"{low:.3f} to {high:.3f}", f"{yes:,}", f"{no:,}")
        for low, high, yes, no in zip(edges[:-1], edges[1:], accepted.tolist(), abstained.tolist(), strict=True)
        if yes or no
    )
    svg = drawn("bpe", title, description, 2.6, draw)
    return Picture("bpe", title, description, svg, ("BPE", "accepted", "abstained"), rows)


def reliability_figure(bins: Sequence[Reliable]) -> Picture:
    """How often people agree with a label to which the judge gives some probability."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_title("people give the same label")
        axes.plot([0.5, 1], [0.5, 1], color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        p = np.array([one.p for one in bins])
        seen = np.array([one.agree / one.n for one in bins])
        limits = np.array([[one.agree_low for one in bins], [one.agree_high for one in bins]])
        axes.vlines(p, limits[0], limits[1], color=ACCEPTED, linewidth=1.2)
        size = 14 + 60 * np.sqrt([one.n / max(row.n for row in bins) for one in bins])
        axes.scatter(p, seen, s=size, color=ACCEPTED, edgecolor=PAPER, linewidth=0.8, zorder=3)
        _percent(axes, 1.0, min(0.5, math.floor(limits.min() * 10) / 10))
        axes.set_xlim(0.49, 1.01)
        axes.set_xticks([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], ["50%", "60%", "70%", "80%", "90%", "100%"])
        axes.set_xlabel("probability that the judge gives its label")

    n, agree = sum(one.n for one in bins), sum(one.agree for one in bins)
    said = sum(one.p * one.n for one in bins) / n
    title = "Is its probability right?"
    description = (
        f"{n:,} labelled pairs on which the judge has a preference. On average it gives its label "
        f"{share(said)}, and people give the same label to {share(agree / n)}. Bars are 95% Clopper-Pearson intervals."
    )
    rows = tuple(
        (f"{one.low:.2f} to {one.high:.2f}", share(one.p), f"{one.agree:,} of {one.n:,}", share(one.agree / one.n),
         f"{share(one.agree_low)} to {share(one.agree_high)}")
        for one in bins
    )  # fmt: skip
    svg = drawn("reliability", title, description, 2.9, draw)
    columns = ("the judge's probability", "mean", "people agree", "share", "95% interval")
    return Picture("reliability", title, description, svg, columns, rows)


def orders_figure(counts: OrderCounts, number: int) -> Picture:
    """One judge's probability of response a in each order: off the diagonal the order makes a difference.

    Args:
        number: of the judge, to tell its figure from those of others.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        axes = figure.subplots()
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        at = np.argwhere(counts.grid)
        seen = counts.grid[at[:, 0], at[:, 1]]
        # The area says how many: a square of the most is as large as its bin, one of a single pair can still be seen.
        side = np.maximum(np.sqrt(seen / max(1, seen.max(initial=1))), 0.2) / ORDER_BINS
        middle = (at + 0.5) / ORDER_BINS
        squares = [Rectangle((x - s / 2, y - s / 2), s, s) for (x, y), s in zip(middle, side, strict=True)]
        axes.add_collection(PatchCollection(squares, facecolor=ACCEPTED, edgecolor="none", zorder=2))
        for corner in ((0.5, 0), (0, 0.5)):  # where the order decides
            axes.add_patch(Rectangle(corner, 0.5, 0.5, facecolor=ABSTAINED, alpha=0.12, edgecolor="none", zorder=0.2))
        beside: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "linespacing": 1.3}
        second, first = share(counts.second / counts.pairs), share(counts.first / counts.pairs)
        axes.annotate(f"shown second wins: {second}", (0, 1), (0, 4), va="bottom", **beside)
        axes.annotate(f"shown first\nwins: {first}", (1, 0.25), (6, 0), va="center", **beside)
        ticks = ([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xticks(*ticks)
        axes.set_yticks(*ticks)
        axes.set_xlabel("P(a is better), a shown first")
        axes.set_ylabel("P(a is better), b shown first")

    words = {
        "both orders prefer the same response": counts.same,
        "the response shown first wins both times": counts.first,
        "the response shown second wins both times": counts.second,
        "no preference in an order": counts.undecided,
    }
    title = "One order against the other"
    said = "; ".join(f"{text} in {share(n / counts.pairs)}" for text, n in words.items() if n or "same" in text)
    description = f"{counts.pairs:,} pairs by the judge's probability in each order: {said}."
    name = f"orders{number}"
    rows = tuple((text, f"{n:,}", share(n / counts.pairs)) for text, n in words.items())
    return Picture(
        name,
        title,
        description,
        drawn(name, title, description, 3.3, draw),
        ("what the orders say", "pairs", "share"),
        rows,
    )


def _percent(axes: Axes, high: float, low: float = 0.0) -> None:
    """A vertical axis of shares."""
    axes.set_ylim(low, high + (high - low) * 0.04)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.locator_params(axis="y", nbins=5)


def _say(axes: Axes, x: float, y: float, text: str) -> None:
    """A number beside its point."""
    axes.annotate(text, (x, y), (7, -4), textcoords="offset points", va="top", color=INK, fontweight="bold")
