"""How often the quick start's auto labels are wrong, against the answers that the judge and the calibration never saw.

    python -m tests.benchmarks.quickstart_error recipes/quickstart/pairs.curated

For the run in that folder, by kind of pair, and for what the same scores give over 1,000 other draws of the labels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from curator.conformal import accept, calibrate
from curator.store import open_store

QUICKSTART = Path(__file__).parents[2] / "recipes" / "quickstart"


def main(out: Path) -> None:
    answers = {}
    for line in (QUICKSTART / "answers.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answers[row["id"]] = row["label"]
    with open_store(out / "curator.duckdb", create=False) as store:
        rows = store.rows(
            """SELECT source_id, log_odds, decision, c.pair_id IS NOT NULL, metadata::JSON->>'kind'
            FROM input_row JOIN pair USING (pair_id) JOIN score USING (pair_id)
            LEFT JOIN decision USING (pair_id) LEFT JOIN calibration_label c USING (pair_id) ORDER BY position"""
        )
        alpha = store.rows("SELECT alpha FROM calibration ORDER BY calibration_id DESC LIMIT 1")[0][0]
    odds = np.array([row[1] for row in rows])
    wrong = np.array([("a" if row[1] > 0 else "b") != answers[row[0]] for row in rows])
    accepted = np.array([row[2] == "accept" for row in rows])
    calibrates = np.array([row[3] for row in rows])
    pool = ~calibrates
    print(
        f"this run: {accepted.sum()} of {pool.sum()} accepted, {wrong[accepted].sum()} of them wrong "
        f"({wrong[accepted].mean():.3f}); accepting all: {wrong[pool].mean():.3f} wrong"
    )
    kinds = np.array([row[4] for row in rows])
    right = sorted(((1 - wrong[kinds == kind].mean(), kind) for kind in set(kinds)), reverse=True)
    print("right by what is wrong with the worse answer: " + ", ".join(f"{kind} {share:.2f}" for share, kind in right))
    random = np.random.default_rng(0)
    errors, coverage = [], []
    for _ in range(1_000):
        drawn = np.zeros(len(rows), dtype=bool)
        drawn[random.choice(len(rows), calibrates.sum(), replace=False)] = True
        found = calibrate(np.abs(odds[drawn]), wrong[drawn], np.abs(odds[~drawn]), alpha=alpha)
        taken = accept(np.abs(odds[~drawn]), found.threshold)
        errors.append(wrong[~drawn][taken].mean() if taken.any() else 0.0)
        coverage.append(taken.mean())
    print(
        f"1,000 other draws of the {calibrates.sum()} labels, alpha {alpha}: mean share wrong among accepted "
        f"{np.mean(errors):.3f} (standard error {np.std(errors) / 1000**0.5:.3f}), "
        f"mean coverage {np.mean(coverage):.2f}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
