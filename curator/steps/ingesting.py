"""Brings raw files into the store, unless they are the ones that it holds already."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from curator import __version__
from curator.errors import InputError
from curator.exports.header import AUTO, card_tags
from curator.files import Meter, whole_file
from curator.formats.base import Format
from curator.formats.curated import FORMAT as CURATED
from curator.formats.read import Seen, read
from curator.options import LabelOptions
from curator.pair import Pair
from curator.progress import Progress, one_line
from curator.sources import source_rows
from curator.steps.hygiene import find_traits
from curator.steps.unchanged import all_files, settled, stamp
from curator.store import Store
from curator.store.filters import keep_only, parse_condition
from curator.store.hygiene import traits_number
from curator.store.pairs import Added, input_number, replace_input
from curator.store.provenance import keep_provenance

_RECORD = "input as it was read"

_STEP = 1_000
"""Rows between two looks at how far the reading is."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the rows of a source.

    Attributes:
        rows: rows of which pairs were made; with `rejected` all there are.
        filtered: pairs that the condition of --where leaves out; `added` counts them among its pairs.
        responses: where rows hold several responses or one each: how many `prompts` and `responses` gave pairs, and how
            many of these are `identical` to another; else None, and pairs + duplicates = rows.
    """

    added: Added
    rows: int
    rejected: int
    responses: dict[str, int] | None
    filtered: int = 0

    @property
    def pairs(self) -> int:
        return self.added.pairs - self.filtered


def ingest(store: Store, options: LabelOptions, progress: Progress) -> dict[str, Ingested]:
    """Read the raw file (and the calibration file) into the store; what cannot be used goes to `rejects.jsonl`.

    Files that have not changed since the store's latest input was made of them are not read again.

    Returns:
        What became of the rows, by role ("pool", "calibration").

    Raises:
        ConditionError: --where is no condition, or asks what judges or people have said.
        InputError: a file cannot be read, or has no usable pair; with --strict, a bad row.
    """
    if options.where is not None:  # before anything is read
        parse_condition(store, options.where).require_no_labels()
    paths = [path for path in (options.raw, options.calibration) if path is not None]
    key = _key(options, paths)
    if key is not None and (known := _recall(store, options, key)) is not None:
        found = {
            role: Ingested(Added(**one.pop("added") | {"new": 0, "labels": 0}), **one)
            for role, one in known["found"].items()
        }
        rows = sum(one.rows + one.rejected for one in found.values())
        progress.say(f"unchanged since it was read: {' and '.join(paths)} ({rows:,} rows)")
        return found
    progress.say(f"reading {options.raw} into {options.db}")
    found = _read(store, options, progress)
    if key is not None and key == _key(options, paths):
        record = {
            "key": key,
            "input": input_number(store),
            "traits": traits_number(store),
            "found": {role: asdict(one) for role, one in found.items()},
            "rejects": stamp(options.out / "rejects.jsonl"),
        }
        store.set(_RECORD, orjson.dumps(record).decode())
    return found


def _key(options: LabelOptions, paths: list[str]) -> dict[str, Any] | None:
    """All that decides what an input becomes; None where a file might change without showing it."""
    files = all_files(*paths)
    if files is None or (stamps := settled(files)) is None:
        return None
    read = [list(pair) for pair in zip(files, stamps, strict=True)]
    return {
        "version": __version__, "files": read, "reading": str(options.reading), "limit": options.limit,
        "where": options.where,
    }  # fmt: skip


def _recall(store: Store, options: LabelOptions, key: dict[str, Any]) -> dict[str, Any] | None:
    """What is known of the store's input, where it was made of these very files and its rejects are still there."""
    known: dict[str, Any] | None = orjson.loads(store.setting(_RECORD, "null"))
    if known is None or (known["key"], known["input"]) != (key, input_number(store)):
        return None
    if options.where is not None and known["traits"] != traits_number(store):  # other pairs may be left out by now
        return None
    rejects = stamp(options.out / "rejects.jsonl")
    strict = options.strict and any(one["rejected"] for one in known["found"].values())
    return None if strict or rejects is None or known["rejects"] != rejects else known


def _read(store: Store, options: LabelOptions, progress: Progress) -> dict[str, Ingested]:
    rejected = {"pool": 0, "calibration": 0}
    seen = {role: Seen() for role in rejected}
    models = set[str]()
    exported: dict[str, bool] = {}
    first: list[str] = []
    limit = None if options.limit is None else min(options.limit, sys.maxsize)
    with whole_file(options.out / "rejects.jsonl") as aside, aside.open("wb") as file:

        def pairs(role: str, path: str, advance: Callable[[int, str], None]) -> Iterator[Pair]:
            taken = islice(source_rows(path, meter := Meter()), limit if role == "pool" else None)
            seen[role].by_score = seen["pool"].by_score  # rows that calibrate are chosen as the others are
            rows = read(taken, options.reading, seen[role])
            shown = False
            for row in _counted(rows, meter, total is not None, advance):
                if isinstance(row, Pair):
                    if row.votes and (form := seen[role].format) is not None:
                        _require_people(row.file, form, exported)
                        models.update({form.labelled_by} - {"people", ""})
                    if not shown:
                        progress.say(_example(row, seen[role].format))
                        shown = True
                    yield row
                    continue
                if options.strict:
                    raise InputError(f"{row} (--strict stops at the first bad row)")
                rejected[role] += 1
                if not first:
                    first.append(str(row))
                file.write(orjson.dumps(row.record()) + b"\n")
            if role == "calibration" or not options.calibration:
                _need_fields(options, seen)

        total = None if limit is not None else _size(options)
        with progress.bar("reading", " rows" if total is None else "B", total) as advance:
            sources: list[tuple[str, Iterable[Pair]]] = [("pool", pairs("pool", options.raw, advance))]
            if options.calibration:
                sources.append(("calibration", _labelled(pairs("calibration", options.calibration, advance))))
            left_out: dict[str, int] = {}

            def settle() -> None:
                if options.where is not None:
                    left_out.update(_keep_only(store, options.where, progress))
                keep_provenance(store, options.where, models)

            added = replace_input(store, sources, settle)
    if not added["pool"].pairs:
        raise InputError(f"{options.raw}: no usable pair in it. {'; '.join(first)}".rstrip())
    if first:
        progress.say(f"rejected {sum(rejected.values()):,} rows; the first: {first[0]}")
    return {role: _ingested(one, seen[role], rejected[role], left_out.get(role, 0)) for role, one in added.items()}


def _require_people(file: str, form: Format, known: dict[str, bool]) -> None:
    """Raises InputError where labels of a judge would calibrate, for an export of ours does not say which these are.

    Args:
        known: of each file that was asked about, whether a card says that judges labelled rows of it.
    """
    if form is CURATED:
        return
    if file not in known:
        known[file] = any(AUTO in card_tags(Path(file).absolute().parents[up]) for up in (0, 1))
    if known[file]:
        raise InputError(
            f"{file}: is an export of curator that holds labels of a judge and not the column label_source: they would "
            "calibrate as if people had given them. Export all columns (--to parquet or jsonl), or --only human, or "
            "give --ignore-labels"
        )


def _need_fields(options: LabelOptions, seen: dict[str, Seen]) -> None:
    """Raises InputError if `--map` names a field that no row of any file has."""
    roles = ("pool", "calibration") if options.calibration else ("pool",)
    absent = frozenset.intersection(*(seen[role].absent for role in roles))
    for name, path in options.reading.fields:
        if path in absent:
            raise InputError(f"--map {name}={path}: no row has that field")


def _keep_only(store: Store, where: str, progress: Progress) -> dict[str, int]:
    """Leave out of the input what a condition does not hold for; traits that it names are found first.

    Raises:
        ConditionError: it is none, or asks what judges or people have said.
        InputError: it holds for no pair.
    """
    condition = parse_condition(store, where)
    condition.require_no_labels()
    if condition.traits:
        find_traits(store, progress)
    left_out = keep_only(store, condition)
    if left_out.get("pool") and not store.count("SELECT count(*) FROM input WHERE role = 'pool'"):
        raise InputError(f"no pair of the input meets the condition {where!r}")
    return left_out


def _ingested(added: Added, seen: Seen, rejected: int, filtered: int) -> Ingested:
    responses = {"prompts": seen.prompts, "responses": seen.responses, "identical": seen.identical}
    return Ingested(added, seen.rows, rejected, responses if seen.prompts else None, filtered)


def _example(pair: Pair, form: Format | None) -> str:
    """The format that was recognised, and the first pair as it was understood."""
    said = "; ".join(f"{vote.verdict}{f' ({vote.annotator})' if vote.annotator else ''}" for vote in pair.votes)
    texts = {"prompt": pair.prompt[-1].content, "a": pair.response_a, "b": pair.response_b, "label": said or "none"}
    lines = [f"format {form.name if form else '?'}; the first pair:"]
    lines += [f"  {name:7}{one_line(' '.join(text.split()), 100)}" for name, text in texts.items()]
    if form and pair.votes and form.labelled_by not in {"people", ""}:
        lines.append(f"  the labels were given by {form.labelled_by}: a promise is about agreement with them")
    return "\n".join(lines)


def _labelled(pairs: Iterable[Pair]) -> Iterator[Pair]:
    for pair in pairs:
        if not pair.votes:
            raise InputError(f"{pair.file}, line {pair.line}: label is missing; every row of --calibration needs one")
        yield pair


def _size(options: LabelOptions) -> int | None:
    """Bytes to be read; None where that is not known beforehand."""
    stamps = [stamp(path) for path in all_files(options.raw, options.calibration) or ["-"]]
    return None if None in stamps else sum(one[0] for one in stamps if one is not None)


def _counted(rows: Iterable[Any], meter: Meter, in_bytes: bool, advance: Callable[[int, str], None]) -> Iterator[Any]:
    """The rows, with word of how far the reading is, in bytes of the file or in rows."""
    start, count, done = time.monotonic(), 0, 0

    def tell() -> None:
        nonlocal done
        now = meter.done if in_bytes else count
        advance(now - done, f"{count:,} rows, {count / max(time.monotonic() - start, 1e-3):,.0f} rows/s")
        done = now

    for row in rows:
        count += 1
        yield row
        if not count % _STEP:
            tell()
    tell()
