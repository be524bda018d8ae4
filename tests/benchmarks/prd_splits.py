"""Coverage and error on real human-labelled pairs with published verdicts, over random halves by prompt.

    python -m tests.benchmarks.prd_splits ../shared/data

Each split runs the whole of `curator label`: half of the prompts keep their labels, the hidden half are then compared
with the auto labels. A human tie counts as an error of any label.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import curator
from tests.conftest import read_rows, without_votes

SPLITS = 20
JUDGES = (
    ("panel-of-5", "prd_vicuna80.panel.judgements.jsonl"),
    ("gpt4", "prd_vicuna80.judgements.jsonl"),
    ("claude", "prd_vicuna80.judgements.jsonl"),
)


def main(data: Path) -> None:
    rows = [without_votes(row) for row in read_rows(data / "prd_vicuna80.jsonl")]
    truth = {(row["prompt"], frozenset((row["response_a"], row["response_b"]))): row for row in rows}
    prompts = sorted({row["prompt"] for row in rows})
    print(f"{len(rows)} pairs, {len(prompts)} prompts, {SPLITS} splits by prompt")
    print("judge        rule   alpha  coverage (min-max)     wrong/accepted, mean (s.e.)  splits with none accepted")
    for judge, log in JUDGES:
        for rule in ("fdr", "pac"):
            for alpha in ("0.1", "0.2"):
                coverage, errors = [], []
                for split in range(SPLITS):
                    shown = set(random.Random(split).sample(prompts, len(prompts) // 2))
                    found = _run(rows, shown, data / log, judge, rule, alpha, truth)
                    coverage.append(found[0])
                    errors.append(found[1])
                error = np.mean(errors)
                print(
                    f"{judge:12} {rule:6} {alpha:5}  {np.mean(coverage):.3f} ({min(coverage):.3f}-{max(coverage):.3f})"
                    f"    {error:.3f} ({np.std(errors) / SPLITS**0.5:.3f})"
                    f"{'':17}{sum(c == 0 for c in coverage)} of {SPLITS}"
                )


def _run(rows, shown, log, judge, rule, alpha, truth) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.jsonl"
        hidden = ({**row, "label": row["label"] if row["prompt"] in shown else None} for row in rows)
        raw.write_text("".join(json.dumps(row) + "\n" for row in hidden), encoding="utf-8")
        result = curator.label(raw, judgments=log, judge=judge, guarantee=rule, alpha=alpha)
        table = pq.read_table(Path(folder) / "raw.curated" / "dataset" / "data").to_pylist()
    wrong = accepted = 0
    for row in table:
        if row["label_source"] == "auto":
            texts = (row["chosen"][0]["content"], row["rejected"][0]["content"])
            source = truth[row["prompt"][0]["content"], frozenset(texts)]
            accepted += 1
            wrong += source["label"] not in {"a", "b"} or source[f"response_{source['label']}"] != texts[0]
    return result["coverage"], wrong / accepted if accepted else 0.0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
