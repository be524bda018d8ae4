"""The best single judge against several together, on real labelled pairs with published judges.

    python -m tests.benchmarks.panel ../shared/data

Everything is read into a store by `curator label`, each judge on its own; then, in each of 50 splits, half of the
prompts calibrate and the other half are the pool, so that no prompt is on both sides. Coverage and error are means over
splits; the best single judge is the one with the largest mean coverage, chosen with hindsight. A human tie is an error.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import curator
from curator.combining import Combine, Panel, combine
from curator.conformal import accept, calibrate
from curator.options import Rule
from curator.quality import accuracy, auroc
from curator.steps.scoring import A, B, score_judges
from curator.store import open_store
from curator.store.judgments import members, stored_judge
from tests.conftest import read_rows, without_votes, write_rows

SPLITS = 50
FIT = 0.3
SETS = (
    ("prd_vicuna80", "prd_vicuna80.judgements.jsonl", ("0.1", "0.2")),
    ("llmbar, shares of 8 to 10 votes", "llmbar.voteshare.judgements.jsonl", ("0.05", "0.1", "0.2")),
    ("llmbar, bare verdicts of one prompt", "llmbar.judgements.jsonl", ("0.1", "0.2")),
)
WAYS = {
    "mean log-odds": Panel(),
    "mean probability": Panel(Combine.PROBABILITY),
    "fitted weights": Panel(Combine.FITTED, fit_fraction=FIT),
}


def read(data: Path, log: str, folder: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Judges' names, their log-odds (n_judges, n_pairs), people's side (1 a, -1 b, 0 neither), each pair's prompt."""
    raw = write_rows(folder / "raw.jsonl", map(without_votes, read_rows(data / f"{log.partition('.')[0]}.jsonl")))
    rows = [json.loads(line) for line in (data / log).read_text(encoding="utf-8").splitlines()]
    if any("prompt_strategy" in row for row in rows):  # one prompt of several: the first in the alphabet that all have
        names = {row["judge"] for row in rows}
        asked = [{row["prompt_strategy"] for row in rows if row["judge"] == name} for name in names]
        first = min(set.intersection(*asked))
        rows = [row for row in rows if row["prompt_strategy"] == first]
    names = sorted({row["judge"] for row in rows})
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    curator.label(raw, judgments=folder / "log.jsonl", judge=names, missing="mean", out=folder / "out")
    with open_store(folder / "out" / "curator.duckdb") as store:
        panel = stored_judge(store, store.rows("SELECT judge_id FROM judge WHERE engine = 'panel'")[0][0])
        scored = score_judges(store, members(store, panel), Panel(), Rule())
        prompts = store.rows("SELECT prompt_id FROM input JOIN pair USING (pair_id) ORDER BY position")
    side = np.select([scored.known.verdict == A, scored.known.verdict == B], [1, -1], 0)
    _, prompt = np.unique([row[0] for row in prompts], return_inverse=True)
    return names, scored.each, side, prompt


def split(log_odds: np.ndarray, side: np.ndarray, calibrates: np.ndarray, pool: np.ndarray, rule: str, alpha: str):  # type: ignore[no-untyped-def]
    none = np.isnan(log_odds) | (log_odds == 0)
    sureness, wrong = np.where(none, -np.inf, np.abs(log_odds)), np.sign(log_odds) != side
    found = calibrate(sureness[calibrates], wrong[calibrates], sureness[pool], guarantee=rule, alpha=alpha)
    chosen = accept(sureness[pool], found.threshold)
    return chosen.mean(), wrong[pool][chosen].mean() if chosen.any() else 0.0


def main(data: Path) -> None:
    print("| pairs | rule | alpha | judges | coverage | wrong / accepted | right | AUROC |")
    print("|---|---|---|---|---|---|---|---|")
    for title, log, alphas in SETS:
        with tempfile.TemporaryDirectory() as folder:
            names, each, side, prompt = read(data, log, Path(folder))
        for rule in ("fdr", "pac"):
            for alpha in alphas:
                report(title, rule, alpha, names, each, side, prompt)


def report(title: str, rule: str, alpha: str, names: list[str], each, side, prompt) -> None:  # type: ignore[no-untyped-def]
    found: dict[str, list[tuple[float, float]]] = {}
    scores: dict[str, np.ndarray] = {}
    for number in range(SPLITS):
        random = np.random.default_rng(number)
        halves = random.permutation(prompt.max() + 1) < (prompt.max() + 1) // 2
        labelled, pool = halves[prompt], ~halves[prompt]
        fits = labelled & (random.random(side.size) < FIT)
        for name, row in zip(names, each, strict=True):
            scores[name] = row
            found.setdefault(name, []).append(split(row, side, labelled, pool, rule, alpha))
        for name, panel in WAYS.items():
            used = fits if panel.fit_fraction else np.zeros(side.size, dtype=bool)
            scores[name] = combine(each, panel, used, side).log_odds
            found.setdefault(name, []).append(split(scores[name], side, labelled & ~used, pool, rule, alpha))
    best = max(names, key=lambda name: np.mean([coverage for coverage, _ in found[name]]))
    for name in (best, *WAYS):
        coverage, error = np.array(found[name]).T
        clear = ~np.isnan(scores[name]) & (scores[name] != 0)
        right = np.sign(scores[name][clear]) == side[clear]
        print(
            f"| {title} | {rule} | {alpha} | {f'{name}, the best one' if name == best else name} | "
            f"{coverage.mean():.3f} | {error.mean():.3f} | {accuracy(right):.3f} | "
            f"{auroc(np.abs(scores[name][clear]), right):.3f} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
