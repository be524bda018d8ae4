"""The steps of a run, each of which can be run again without harm: ingest, judge, decide, draw, export."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from curator import __version__
from curator.conformal import Calibration, accept, calibrate, labels_missing, promise
from curator.doubting import find_doubts, judge_bias
from curator.errors import Interrupted, StoreError
from curator.exports.card import dataset_card
from curator.exports.trl import write_dataset
from curator.files import require_readable, whole_file
from curator.importing import require_imported
from curator.ingesting import ingest
from curator.judging import Asked, judge_input, template_for
from curator.options import LabelOptions, Rule, Ties
from curator.pair import JudgeInfo
from curator.preference import entropy_at, preference
from curator.progress import Progress
from curator.store import Store, open_store, views
from curator.store.decisions import (
    VERDICTS,
    add_calibration,
    calibration_ids,
    earlier_tries,
    judged_pairs,
    replace_decisions,
)
from curator.store.judgments import latest_judge
from curator.store.labels import draw_for_calibration, drawn_without_label
from curator.store.pairs import Added
from curator.unchanged import LastRun

Result = dict[str, Any]


def label(options: LabelOptions, progress: Progress) -> Result:
    """Raw pairs in; data set, queue, rejects and `run.json` out. Returns the object of `run.json`.

    Raises:
        Interrupted: the user stopped the run while pairs were judged; judgments are kept, nothing is exported.
        CuratorError: see `curator.errors`.
    """
    start = time.monotonic()
    for path in filter(None, (options.raw, options.calibration, options.judge.log)):
        require_readable(path)
    last = LastRun(options, "" if options.judge.log else template_for(options.judge).digest)
    if (before := last.result()) is not None:
        progress.say(f"unchanged since the last run: {options.raw} and all that was made of it")
        result = _repeated(before, time.monotonic() - start)
        write_result(options.out / "run.json", result)
        last.finish()
        return result
    last.begin()
    with open_store(options.db) as store:
        require_imported(store, options.out / "queue.jsonl")
        added, rejected = ingest(store, options, progress)
        asked = judge_input(store, options.judge, options.rule.min_label_mass, options.out, progress)
        if asked.interrupted:
            raise Interrupted(f"stopped; {asked.asked} judgments are kept, and the same command goes on from there")
        decided = decide(store, asked.judge, options.rule)
        draw(store, decided)
        result = _result(store, decided, added, rejected, asked, time.monotonic() - start)
        export_dataset(store, result, options.out / "dataset")
        export_queue(store, options.out / "queue.jsonl")
        write_result(options.out / "run.json", result)
        views.add_run(store, __version__, "label", result)
        if decided.complete:
            store.checkpoint()
            last.note_store()
    if decided.complete:  # or the judge would be asked again about what it failed on
        last.finish()
    return result


def _repeated(result: Result, seconds: float) -> Result:
    """The result of a run that repeats one: all is known, and nothing was asked."""
    judgments = result["judgments"]
    return {
        **result,
        "new_pairs": 0,
        "judgments": {"cached": judgments["cached"] + judgments["asked"], "asked": 0, "retried": 0},
        "seconds": round(seconds, 3),
        "judging_seconds": 0.0,
        "pairs_per_second": None,
        "tokens_per_second": None,
        "cached_share": None,
    }


@dataclass(frozen=True, slots=True)
class Decided:
    """A calibration and what it was made from and led to. `complete`: no pair of the input lacks a verdict."""

    judge: JudgeInfo
    rule: Rule
    calibration: Calibration
    judged: int
    complete: bool
    missing: int | None


def decide(store: Store, judge: JudgeInfo, rule: Rule) -> Decided:
    """Score every pair of the input, calibrate, and accept or abstain.

    The pool is every pair that is no calibration row, also those that people labelled because the judge abstained:
    a pool without them would hold fewer hard pairs than the calibration rows, and the promise would be void.
    """
    known = judged_pairs(store, judge.judge_id, rule.min_label_mass)
    answered = ~(np.isnan(known.d_ab) | np.isnan(known.d_ba))
    scores = preference(known.d_ab[answered], known.d_ba[answered])
    sureness = np.full(answered.size, -np.inf)
    # No preference is no label, however low the threshold.
    sureness[answered] = np.where(scores.log_odds == 0, -np.inf, scores.sureness)
    a, b = np.int8(VERDICTS.index("a")), np.int8(VERDICTS.index("b"))
    label = np.zeros(answered.size, dtype=np.int8)
    label[answered] = np.where(scores.log_odds > 0, a, b)

    calibrates = known.calibrates
    if rule.ties is Ties.EXCLUDE:
        calibrates = calibrates & np.isin(known.verdict, [a, b])
    pool = known.in_pool & ~known.calibrates
    wrong = label != known.verdict
    found = calibrate(
        sureness[calibrates], wrong[calibrates], sureness[pool],
        guarantee=rule.guarantee, alpha=rule.alpha, delta=rule.delta,
    )  # fmt: skip
    accepted = accept(sureness, found.threshold)
    with store.transaction():
        fingerprint = _fingerprint(store, known.verdict, sureness, calibrates)
        number = add_calibration(store, judge.judge_id, found, rule.ties.value, fingerprint)
        reason = _reasons(accepted, answered, sureness, found.threshold)
        replace_decisions(
            store, judge.judge_id, number, scores, answered, np.where(accepted, label, np.int8(0)), reason
        )
        missing = None
        if found.threshold is None:
            missing = labels_missing(sureness[calibrates], wrong[calibrates], rule.guarantee, rule.alpha, rule.delta)
    judged = int(np.count_nonzero(answered & known.in_pool))
    return Decided(judge, rule, found, judged, bool(answered.all()), missing)


def _reasons(
    accepted: NDArray[np.bool_], answered: NDArray[np.bool_], sureness: NDArray[np.float64], threshold: float | None
) -> pa.DictionaryArray:
    """Why each pair is accepted or not, in words."""
    words = [
        "less sure than the threshold" if threshold is not None else "no threshold",
        "no preference", "not judged in both orders", "at least as sure as the threshold",
    ]  # fmt: skip
    code = np.isneginf(sureness).astype(np.int8)
    code[~answered] = 2
    code[accepted] = 3
    return pa.DictionaryArray.from_arrays(code, words)


def _fingerprint(
    store: Store, verdict: NDArray[np.int8], sureness: NDArray[np.float64], calibrates: NDArray[np.bool_]
) -> str:
    """Hash of the calibration rows that a threshold was made from."""
    ids, place = calibration_ids(store)
    used = calibrates[place]
    digest = hashlib.blake2b(digest_size=16)
    digest.update("".join(compress(ids, used)).encode())
    digest.update(verdict[place[used]].tobytes() + sureness[place[used]].tobytes())
    return digest.hexdigest()


def draw(store: Store, decided: Decided) -> None:
    """Where more labels would let the judge through, draw the pairs to label, unless some drawn ones still wait.

    Where it would take every pair there is, none is drawn: nothing would be left to auto-label.
    """
    if decided.missing is not None and decided.missing < decided.calibration.m and not drawn_without_label(store):
        draw_for_calibration(store, decided.missing)


def export_dataset(store: Store, result: Result, folder: Path) -> None:
    """Write the training data set and its card."""
    rows = views.dataset_counts(store)
    write_dataset(folder, views.dataset(store), sum(rows.values()), lambda *sizes: dataset_card(result, rows, *sizes))


def export_queue(store: Store, path: Path) -> int:
    """Write the tasks for people; returns how many.

    Raises:
        InputError: the file is there and holds labels that were not imported.
    """
    require_imported(store, path)
    with whole_file(path) as aside, aside.open("wb") as file:
        tasks = 0
        for count, lines in views.queue(store):
            file.write(lines)
            tasks += count
    return tasks


def write_result(path: Path, result: Result) -> None:
    """Write `run.json`."""
    with whole_file(path) as aside:
        aside.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")


def decision_result(store: Store, decided: Decided) -> Result:
    """The part of `run.json` that is about the decision: equal for equal stores, whenever it was made."""
    found, rule, judge = decided.calibration, decided.rule, decided.judge
    counts, replies = views.counts(store), views.replies(store, judge.judge_id)
    bias = judge_bias(store, judge.judge_id, rule.min_label_mass)
    prompts, drawn = views.calibration_rows(store)
    threshold = None
    if found.threshold is not None:
        odds = found.threshold if np.isfinite(found.threshold) else "inf"
        threshold = {"bpe": entropy_at(found.threshold), "log_odds": odds}
    result = {
        "pairs": counts["pairs"],
        "judged": decided.judged,
        "failed": counts["pairs"] - decided.judged,
        "failures": dict(replies.failures[:10]),
        "calibration": {
            "n": found.n, "errors": found.n_errors, "accepted": found.k, "accepted_errors": found.errors,
            "prompts": prompts, "drawn": drawn, "earlier_tries": earlier_tries(store, judge.judge_id, found),
        },
        "guarantee": rule.guarantee.value,
        "alpha": float(rule.alpha),
        "delta": float(rule.delta),
        "ties": rule.ties.value,
        "threshold": threshold,
        "pool": found.m,
        "accepted": found.accepted,
        "abstained": found.m - found.accepted,
        "coverage": found.coverage,
        "labels_missing": decided.missing,
        "labelled": counts["labelled"],
        "dataset": views.dataset_counts(store),
        "queue": {"tasks": counts["waiting"], "calibration_draw": counts["waiting_for_calibration"]},
        "judge": {
            "judge_id": judge.judge_id, "name": judge.name, "engine": judge.engine,
            "demonstration": judge.demonstration, "settings": judge.settings, "details": judge.details,
            "bias": bias.figures(),
        },
        "promise": promise(found),
        "tokens": replies.tokens,
        "cached_tokens": replies.cached_tokens,
    }  # fmt: skip
    return {**result, "doubts": find_doubts(store, rule, result, [(judge.name, bias)])}


def _result(
    store: Store, decided: Decided, added: dict[str, Added], rejected: dict[str, int], asked: Asked, seconds: float
) -> Result:
    pool, extra = added["pool"], added.get("calibration")
    return {
        "version": __version__,
        "rows": pool.pairs + pool.duplicates + rejected["pool"],
        "duplicates": pool.duplicates,
        "rejected": rejected["pool"],
        "new_pairs": pool.new,
        "calibration_file": None if extra is None else {
            "pairs": extra.pairs, "duplicates": extra.duplicates, "rejected": rejected["calibration"],
        },
        **decision_result(store, decided),
        "judgments": {"cached": asked.pending.cached, "asked": asked.asked, "retried": asked.pending.retried},
        "seconds": round(seconds, 3),
        "judging_seconds": round(asked.seconds, 3),
        "pairs_per_second": round(asked.asked / 2 / asked.seconds, 3) if asked.seconds else None,
        "tokens_per_second": round(asked.tokens / asked.seconds, 1) if asked.tokens else None,
        "cached_share": round(asked.cached_tokens / asked.tokens, 4) if asked.tokens else None,
    }  # fmt: skip


def recalibrate(store: Store, rule: Rule) -> Result:
    """Decide anew with the latest judge's stored judgments.

    Raises:
        StoreError: nothing has been judged yet.
    """
    judge = latest_judge(store)
    if judge is None:
        raise StoreError(f"{store.path}: nothing is judged yet; run `curator label` first")
    result = decision_result(store, decide(store, judge, rule))
    views.add_run(store, __version__, "calibrate", result)
    return result
