"""The steps of a run, each of which can be run again without harm: ingest, judge, decide, draw, export."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from curator import __version__
from curator.errors import Interrupted, StoreError
from curator.files import require_dataset_folder, require_readable, whole_file
from curator.options import LabelOptions, Rule
from curator.progress import Progress
from curator.sources import require_source
from curator.steps.agreeing import Groups, folder_names
from curator.steps.deciding import Decided, decide, latest_rule
from curator.steps.explaining import Explained, explain, writer_of
from curator.steps.exporting import export_all, export_dataset
from curator.steps.ingesting import Ingested, ingest
from curator.steps.judging import Asked, judge_input, template_for
from curator.steps.queueing import keep_readers, require_imported, write_queue
from curator.steps.reporting import write_report
from curator.steps.results import Result, decision_result
from curator.steps.scoring import panel_judge
from curator.steps.unchanged import LastRun
from curator.store import Store, open_store, views
from curator.store.agreement import keep_only
from curator.store.audits import draw_audit
from curator.store.judgments import add_judge, latest_judge
from curator.store.labels import draw_for_calibration, drawn_without_label


def label(options: LabelOptions, progress: Progress) -> Result:
    """Raw pairs in; data set, queue, rejects, report and `run.json` out. Returns the object of `run.json`.

    Raises:
        Interrupted: the user stopped the run while pairs were judged; judgments are kept, nothing is exported.
        CuratorError: see `curator.errors`.
    """
    start = time.monotonic()
    for source in filter(None, (options.raw, options.calibration)):
        require_source(source)
    for log in filter(None, (judge.log for judge in options.judges)):
        require_readable(log)
    if options.rationale:
        writer_of(options)
    last = LastRun(options, [template_for(judge).digest for judge in options.judges if not judge.log])
    if (before := last.result()) is not None:
        progress.say(f"unchanged since the last run: {options.raw} and all that was made of it")
        result = _repeated(before, time.monotonic() - start)
        write_result(options.out / "run.json", result)
        last.finish()
        return result
    last.begin()
    with open_store(options.db) as store:
        require_imported(store, options.out / "queue.jsonl")
        keep_readers(store, options.annotators, options.overlap)
        found = ingest(store, options, progress)
        asked = judge_input(store, options, progress)
        if asked[-1].interrupted:
            kept = sum(one.asked for one in asked)
            raise Interrupted(f"stopped; {kept} judgments are kept, and the same command goes on from there")
        judge = panel_judge([one.judge for one in asked], options.panel)
        add_judge(store, judge)
        decided = decide(store, judge, options.rule)
        draw(store, decided)
        draw_audit(store, options.audit)
        explained = explain(store, options, progress) if options.rationale else None
        result = _result(store, decided, found, asked, explained, time.monotonic() - start)
        export_all(store, result, options)
        write_queue(store, options.out / "queue.jsonl", options.order)
        write_result(options.out / "run.json", result)
        with store.transaction():  # killed in between, it would be what the next run compares itself with
            views.add_run(store, __version__, "label", result)
            write_report(store, options.out / "report.html")
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
        "before": None,
        "judgments": {"cached": judgments["cached"] + judgments["asked"], "asked": 0, "retried": 0},
        "rationales": _none_new(result["rationales"]),
        "seconds": round(seconds, 3),
        "judging_seconds": 0.0,
        "pairs_per_second": None,
        "tokens_per_second": None,
        "cached_share": None,
    }


def _none_new(rationales: dict[str, Any] | None) -> dict[str, Any] | None:
    if rationales is None:
        return None
    return {**rationales, "written": 0, "cached": rationales["cached"] + rationales["written"]}


def draw(store: Store, decided: Decided) -> None:
    """Where more labels would let the judge through, draw the pairs to label, unless some drawn ones still wait.

    Where it would take every pair there is, none is drawn: nothing would be left to auto-label.
    """
    if decided.missing is not None and decided.missing < decided.pool and not drawn_without_label(store):
        draw_for_calibration(store, decided.missing)


def group_datasets(store: Store, groups: Groups, folder: Path) -> list[Result]:
    """Write one data set for each group of annotators, as if nobody else had ever labelled anything.

    The rule of the latest decision is applied anew with a group's labels alone: its own calibration, threshold and
    promise, for an auto label of all annotators together promises nothing about a group. The store is left as it was.

    Returns:
        For each group what was decided and written, as `datasets` in `schemas/agreement.schema.json`.

    Raises:
        StoreError: nothing is decided yet.
        InputError: a folder to be written holds other things.
    """
    rule, judge = latest_rule(store), latest_judge(store)
    if rule is None or judge is None:
        raise StoreError(f"{store.path}: nothing is decided yet; run `curator label` first")
    folders = {name: folder / safe for name, safe in folder_names(list(groups)).items()}
    for out in folders.values():
        require_dataset_folder(out)
    made = []
    for name, out in folders.items():
        with store.undone():
            annotators = keep_only(store, groups[name])
            result = decision_result(store, decide(store, judge, rule))
            group = {**result, "annotator_group": {"name": name, "annotators": annotators}}
            result["dataset"] = export_dataset(store, group, out)["rows"]
        kept = ("calibration", "threshold", "pool", "accepted", "coverage", "promise", "dataset", "labels_missing")
        made.append({"group": name, "annotators": annotators, "out": str(out), **{key: result[key] for key in kept}})
    return made


def write_result(path: Path, result: Result) -> None:
    """Write `run.json`."""
    with whole_file(path) as aside:
        aside.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")


def _result(
    store: Store,
    decided: Decided,
    found: dict[str, Ingested],
    asked: Sequence[Asked],
    explained: Explained | None,
    seconds: float,
) -> Result:
    pool, extra = found["pool"], found.get("calibration")
    new, spent = sum(one.asked for one in asked), sum(one.seconds for one in asked)
    tokens, cached = sum(one.tokens for one in asked), sum(one.cached_tokens for one in asked)
    return {
        "version": __version__,
        "rows": pool.rows + pool.rejected,
        "responses": pool.responses,
        "duplicates": pool.added.duplicates,
        "rejected": pool.rejected,
        "filtered": pool.filtered,
        "new_pairs": pool.added.new,
        "calibration_file": None if extra is None else {
            "pairs": extra.pairs, "duplicates": extra.added.duplicates, "rejected": extra.rejected,
            "filtered": extra.filtered,
        },
        **decision_result(store, decided),
        "judgments": {
            "cached": sum(one.pending.cached for one in asked), "asked": new,
            "retried": sum(one.pending.retried for one in asked),
        },
        "rationales": None if explained is None else asdict(explained),
        "seconds": round(seconds, 3),
        "judging_seconds": round(spent, 3),
        "pairs_per_second": round(new / 2 / spent, 3) if spent else None,
        "tokens_per_second": round(tokens / spent, 1) if tokens else None,
        "cached_share": round(cached / tokens, 4) if tokens else None,
    }  # fmt: skip


def recalibrate(store: Store, rule: Rule) -> Result:
    """Decide anew with the latest judge's stored judgments.

    Raises:
        StoreError: nothing has been judged yet.
    """
    judge = latest_judge(store)
    if judge is None:
        raise StoreError(f"{store.path}: nothing is judged yet; run `curator label` first")
    decided = decide(store, judge, rule)
    draw_audit(store, 0)
    result = decision_result(store, decided)
    views.add_run(store, __version__, "calibrate", result)
    return result
