"""Made-up contents of a report, with all that a result may hold, and texts that try to break a page."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from curator.conformal import Guarantee, exact
from curator.report.figures import alpha_figure, entropy_figure, orders_figure, reliability_figure
from curator.report.numbers import entropy_counts, order_counts, over_alpha, reliability
from curator.report.page import Content

PROMISE = "On average over calibration draws, at most 0.1 of the pairs <b>accepted</b> are wrong (fdr)."

BIAS = {"pairs": 890, "first_shown_preferred": 0.57, "longer_preferred": None, "longer_preferred_there": None,
        "longer_preferred_by_people": None, "label_mass_median": None, "low_label_mass": None,
        "flipped": None, "compared_with_people": 0}  # fmt: skip

LONG = "m" * 90

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">",
    "</div></article></section></main><h1>another heading</h1><style>main { display: none }</style>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} &lt;b&gt; <!-- <svg onload=alert(1)> ]]>",
    "\u202eturned round\u202c \x1b[31mred\x1b[0m \x00 \x9b2J \u2066isolated",
    "w" * 20_000,
    "Z\u0334\u0335\u0336\u0489" * 40,
    "\u0645\u0631\u062d\u0628\u0627 hello",
    "line\n" * 300,
)


def result(**changes: Any) -> dict[str, Any]:
    """The object of `run.json` of a made-up run."""
    judge = {"judge_id": "0" * 32, "name": "judge-14b", "engine": "sglang", "bias": BIAS,
             "sided": 300, "right": 245, "accuracy": 245 / 300, "auroc": 0.77, "coverage": 421 / 600}  # fmt: skip
    alone = {**judge, "template": "chat, hash ab12", "read": 900, "judged": 890,
             "tokens": 1_234_567, "cached_tokens": 800_000}  # fmt: skip
    return {
        "pairs": 900, "judged": 890, "failed": 10, "failures": {"the server said <i>no</i>": 7, "too long": 3},
        "judge_ties": 0, "doubts": [], "score": "bpe", "group_by": None, "groups": None, "panel": None, "audit": None,
        "before": None,
        "calibration": {"n": 300, "errors": 55, "accepted": 195, "accepted_errors": 20, "ties_left_out": 0, "fitted": 0,
                        "prompts": 290, "drawn": 280, "earlier_tries": 2},
        "guarantee": "fdr", "alpha": 0.1, "delta": 0.1, "ties": "error", "votes": "majority",
        "suspects": {"decided_by": "queue", "pairs": 4, "signs": {"order": 3, "claim": 2}},
        "threshold": {"bpe": 0.596, "log_odds": 0.925}, "pool": 600, "accepted": 421, "abstained": 179,
        "coverage": 421 / 600, "labels_missing": None, "labelled": 310, "dataset": {"auto": 421, "human": 305},
        "exports": [{"folder": "dataset", "to": "trl", "rows": {"auto": 421, "human": 305}, "splits": {"train": 726},
                     "left_out": {"same responses again": 2}, "selection": None}],
        "queue": {"tasks": 179, "calibration_draw": 0, "audit": 0, "again": 0, "another": 0, "answers": 179},
        "judge": {**judge, "demonstration": False, "settings": {}, "details": {}}, "judges": [alone],
        "promise": PROMISE, "tokens": 1_234_567, "cached_tokens": 800_000,
        "version": "0", "rows": 900, "responses": None,
        "duplicates": 0, "rejected": 0, "filtered": 0, "where": None, "labelled_by": None, "new_pairs": 900,
        "calibration_file": None,
        "judgments": {"cached": 0, "asked": 1_800, "retried": 0}, "rationales": None,
        "seconds": 60.0, "judging_seconds": 50.0,
        "pairs_per_second": 18.0, "tokens_per_second": 24_691.3, "cached_share": 0.648,
        **changes,
    }  # fmt: skip


def full_result(**changes: Any) -> dict[str, Any]:
    """A result of several judges, with groups, a cascade, an audit and doubts."""
    judges = [
        {"judge_id": f"{i}" * 32, "name": f"judge {i} <em>&</em>", "engine": "sglang", "template": "chat, hash ab12",
         "sided": 300, "right": 250, "accuracy": 0.8 + i / 50,
         "auroc": 0.71 + i / 100, "coverage": 0.5 + i / 10, "bias": BIAS, "tokens": 1_000_000,
         "cached_tokens": 620_000, "read": 900, "judged": 900 - i}
        for i in range(3)
    ]  # fmt: skip
    judges[0]["name"] = "v" * 5_000
    groups = [
        {"group": name, "n": 100, "errors": 12, "pool": 200, "threshold": cut, "accepted": accepted,
         "coverage": accepted / 200, "promise": said}
        for name, accepted, cut, said in (
            ("code", 120, {"bpe": 0.41237, "log_odds": 1.5}, PROMISE), ("<u>law</u>", 0, None, "No threshold."),
            (LONG, 90, {"bpe": 0.0, "log_odds": "inf"}, PROMISE), (None, 0, None, "No threshold."),
        )
    ]  # fmt: skip
    extra = {
        "judge": {"judge_id": "9" * 32, "name": "together", "engine": "panel", "demonstration": False, "details": {},
                  "settings": {}, "bias": None, "sided": 300, "right": 261,
                  "accuracy": 0.87, "auroc": 0.8, "coverage": 0.702},
        "judges": judges,
        "panel": {"combine": "log-odds", "missing": "abstain", "weights": None,
                  "cascade": {"edge": 0.9, "fitted": True, "pairs_share": 0.31, "tokens_share": 0.74}},
        "group_by": "<topic>",
        "groups": groups,
        "audit": {"drawn": 100, "accepted": 421, "labelled": 88, "ties_left_out": 0, "errors": 3, "error": 3 / 88,
                  "low": 0.0071, "high": 0.0964, "confidence": 0.95},
        "doubts": [{"name": "drift", "text": "Pool and calibration rows differ in length <p = 0.001>.", "figures": {}},
                   {"name": "label mass", "text": "u" * 400, "figures": {}}],
    }  # fmt: skip
    return result(**{**extra, **changes})


def pair(text: str, **changes: Any) -> dict[str, Any]:
    """A decided pair whose every text is `text`."""
    prompt = [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]
    decided = {"decision": "accept", "reason": "at least as sure as the threshold", "verdict": None}
    made = {
        "prompt": prompt, "response_a": f"a {text}", "response_b": f"b {text}", "p_a": 0.8, "p_tie": 0.0,
        "bpe": 0.5, **decided, **changes,
    }  # fmt: skip
    return {"p_b": 1 - made["p_a"], **made}


@cache
def figures() -> dict[str, Any]:
    """Every figure of a page, of seeded random numbers."""
    rng = np.random.default_rng(7)
    odds = rng.normal(0, 2.5, 900)
    p = 1 / (1 + np.exp(-np.abs(odds)))
    wrong = rng.random(900) > p
    bpe = -p * np.log(p) - (1 - p) * np.log1p(-p)
    points = over_alpha(np.abs(odds[:300]), wrong[:300], np.abs(odds[300:]), Guarantee.FDR, exact("0.1"), exact("0.1"))
    bins = rng.integers(0, 20, (2, 200))
    orders = order_counts(*bins, np.sign(bins[0] - 9.5), np.sign(bins[1] - 9.5), rng.integers(1, 60, 200))
    return {
        "alpha": alpha_figure(points, exact("0.1")),
        "entropy": entropy_figure(entropy_counts(bpe[300:], bpe[300:] < 0.6), 0.6),
        "reliability": reliability_figure(reliability(p[:300], ~wrong[:300])),
        "orders": [("judge <0>", orders_figure(orders, 0)), ("judge 1", orders_figure(orders, 1))],
    }


def full_content(**changes: Any) -> Content:
    """A page with everything on it, and hostile texts wherever there is a text."""
    pairs = [pair(text, decision=kind, verdict="b") for kind in ("accept", "abstain") for text in HOSTILE]
    content = {"result": full_result(), "examples": pairs, "seconds": 7384.0, "asked": 1_800, **figures()}
    return Content(**{**content, **changes})
