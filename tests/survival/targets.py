"""What is fed with made-up files, and what must hold of whatever comes out.

A target takes the bytes of one file and raises `Broken`, or anything that is no `CuratorError`, where curator breaks a
promise. A file's first line may say how it is to be read: `#name` (a format, a name of a file, a field).
"""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from curator.annotation.base import CHOICES, Answer
from curator.annotation.reading import read_rows
from curator.annotation.registry import read_by_tool
from curator.duplicates import bands_of, long_runs, runs_of
from curator.errors import CuratorError, InputError
from curator.exports.header import read_card
from curator.files import Reject, Row, parse_line
from curator.formats import FORMATS
from curator.formats.read import Seen, read
from curator.judges import recorded, wire
from curator.judges.http import Transient, message
from curator.judges.prompting import Prompt
from curator.judges.tokenizer import JudgeTokenizer
from curator.languages import language_of
from curator.options import LabelOptions, Reading
from curator.pair import Message, Order, Pair
from curator.progress import Progress
from curator.prompts import Question, prompt_from_json, prompt_json
from curator.recipes import load_recipe, load_rubric, load_template
from curator.review.server import _said, problem_of
from curator.sources import source_rows
from curator.steps.agreeing import read_groups
from curator.steps.hygiene import _text
from curator.steps.ingesting import ingest
from curator.steps.unchanged import LastRun
from curator.store import open_store
from curator.store.filters import matching, parse_condition
from curator.store.judgments import _JUDGMENT
from curator.store.pairs import _chunks, replace_input

SECONDS = 1.0
"""How long a small input may take."""

GOLDEN = Path(__file__).parents[1] / "golden"


class Broken(AssertionError):
    """A promise that does not hold."""


def check(holds: bool, promise: str) -> None:
    if not holds:
        raise Broken(promise)


@cache
def folder() -> Path:
    """Where the files lie while they are read; in memory where there is room."""
    shared = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="curator-fuzz-", dir=shared if shared.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def split(data: bytes, otherwise: str = "") -> tuple[str, bytes]:
    """What the first line says, and the bytes behind it."""
    if not data.startswith(b"#"):
        return otherwise, data
    first, _, rest = data[1:].partition(b"\n")
    return first.decode(errors="replace").strip(), rest


def on_disk(data: bytes, name: str) -> str:
    path = folder() / "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:60]
    path.write_bytes(data)
    return str(path)


def refused(work: Callable[[], Any]) -> bool:
    """Whether curator says that it cannot use the input, and says it in words of its own."""
    try:
        work()
    except InputError as error:
        # `opened` turns each ValueError into a message, for names with a zero byte: no other one is meant.
        check(not str(error).startswith("'"), f"an error of Python's is shown as it is: {str(error)[:80]}")
        str(error).encode()
        return True
    except CuratorError as error:
        str(error).encode()
        return True
    return False


def is_text(value: object) -> bool:
    """Whether every string in a value can be written."""
    try:
        orjson.dumps(value, default=str)
    except (orjson.JSONEncodeError, RecursionError):
        return False
    return True


def _writable(reject: Reject) -> None:
    check(is_text(asdict(reject)), "a reject can be written")
    check(bool(reject.reason) and len(reject.raw) < 70_000, "a reject says why, and not at any length")


def sources(data: bytes) -> None:
    """Every container, told by its first bytes: rows or rejects, which hold what can be written."""
    name, rest = split(data, "raw.jsonl")
    path = on_disk(rest, name or "raw")

    def run() -> None:
        lines = []
        for row in source_rows(path):
            lines.append(row.line)
            if isinstance(row, Reject):
                _writable(row)
                continue
            check(is_text(row.values), "a row can be written")
            _writable(row.reject("row", "is a test"))
        check(lines == sorted(lines), "rows come in their order")
        if Path(path).suffix == ".json" and (whole := _array(rest)) is not None:
            check([row.values for row in source_rows(path) if isinstance(row, Row)] == whole, "an array is its items")
        if Path(path).suffix == ".jsonl" and rest[:2] != b"\x1f\x8b" and not rest.startswith(_BINARY):
            body = rest.removeprefix(b"\xef\xbb\xbf")
            check(len(lines) == sum(not line.isspace() for line in body.split(b"\n") if line), "each line is a row")

    refused(run)


def _array(data: bytes) -> list[Any] | None:
    """The objects of a JSON array by a parser of its whole; None where it is none, or is nested too deeply to write."""
    try:
        items = orjson.loads(data)
        orjson.dumps([items])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else None


_BINARY = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"FEA1", b"\x28\xb5\x2f\xfd")


def formats(data: bytes) -> None:
    """Rows of every format, recognised or named: rows in = rows used + rejects, and pairs that can be stored."""
    first, rest = split(data)
    name, _, criterion = first.partition(" ")
    lines = [line for line in rest.split(b"\n") if line.strip()]
    if name == "map":
        pieces = [piece.partition("=")[::2] for piece in criterion.split() if "=" in piece]
        values = tuple((a[1:], b) for a, b in pieces if a.startswith("@"))
        reading = Reading(fields=tuple(one for one in pieces if not one[0].startswith("@")), values=values)
    else:
        reading = Reading(name if name in FORMATS else None, criterion=criterion or None)

    def run() -> None:
        seen = Seen()
        rows = [parse_line("raw.jsonl", number, line) for number, line in enumerate(lines, 1)]
        before = [orjson.dumps(row.values) if isinstance(row, Row) else b"" for row in rows]
        found = list(read(iter(rows), reading, seen))
        rejects = [one for one in found if isinstance(one, Reject)]
        check(seen.rows + len(rejects) == len(rows), f"{len(rows)} rows in, {seen.rows} used, {len(rejects)} rejects")
        for one in rejects:
            _writable(one)
        pairs = [one for one in found if isinstance(one, Pair)]
        for one in pairs:
            _pair(one)
        check(before == [orjson.dumps(row.values) if isinstance(row, Row) else b"" for row in rows], "rows stay whole")
        tables = list(_chunks(pairs))
        check(sum(table.num_rows for table, _ in tables) == len(pairs), "all pairs can be stored")

    refused(run)


def _pair(pair: Pair) -> None:
    check(pair.response_a != pair.response_b, "two responses differ")
    check(bool(pair.prompt), "a pair has a prompt")
    check(all(isinstance(one, str) for one in (pair.response_a, pair.response_b)), "responses are text")
    check(prompt_from_json(prompt_json(pair.prompt)) == pair.prompt, "a prompt comes back from the store as it was")
    for vote in pair.votes:
        check(vote.strength is None or (0 <= vote.strength < math.inf), "strength is a number from 0 up")
        check(vote.annotator is None or vote.annotator.isprintable(), "a name is one line")


def importers(data: bytes) -> None:
    """Files of every annotation tool: each row is answers or rejects, which can be stored."""
    name, rest = split(data, "labelled.jsonl")
    path = on_disk(rest, name or "labelled")

    def run() -> None:
        rows = {(row.line, type(row)) for row in read_rows(path)}
        found = [one for _, one in read_by_tool(path)]
        lines = {one.row.line if isinstance(one, Answer) else one.line for one in found}
        check({line for line, _ in rows} == lines, "every row gives an answer or a reject")
        for one in found:
            if isinstance(one, Reject):
                _writable(one)
                continue
            check(one.label in (*CHOICES, None) or bool(one.ignored), "a label is one of the choices")
            check(bool(one.label) or bool(one.ignored), "an answer says something, or why it does not")
            check(isinstance(one.pair_id, str), "an answer is about a pair")
            check(one.seconds is None or 0 <= one.seconds < math.inf, "seconds are a number from 0 up")
            check(one.annotator is None or one.annotator.isprintable(), "a name is one line")
        said = [one for one in found if isinstance(one, Answer) and not one.ignored]
        _stored([[one.pair_id, one.annotator, one.note, one.left] for one in said])
        pa.array([one.said_at for one in said], pa.timestamp("us", "UTC"))

    refused(run)


def _stored(rows: Iterable[Iterable[Any]]) -> None:
    for row in rows:
        pa.array(list(row), pa.string())


def logs(data: bytes) -> None:
    """Recorded judgments: read in blocks or row by row, the same readings come out."""
    path = on_disk(data, "log.jsonl")

    def run() -> None:
        blocks = list(recorded.read_log(path))
        lines = [one for one in recorded.read_lines(path) if not isinstance(one[1], Reject)]
        slow = recorded._row_by_row("log.jsonl", lines)
        fast = pa.concat_tables([block.readings for block in blocks])
        rejects = [bad for block in blocks for bad in block.rejects]
        check(fast.num_rows + len(rejects) == len(lines), "every row is a reading or a reject")
        check(
            [(bad.line, bad.field, bad.reason) for bad in rejects]
            == [(bad.line, bad.field, bad.reason) for bad in slow.rejects],
            "both ways refuse the same rows",
        )
        # The order of rows within a block is not kept: a reading has no place.
        check(sorted(map(repr, fast.to_pylist())) == sorted(map(repr, slow.readings.to_pylist())), "both ways agree")
        for row in fast.to_pylist():
            for name in ("p_a", "p_tie", "stated_p_a"):
                check(row[name] is None or 0 <= row[name] <= 1, f"{name} is a probability")
        for bad in rejects:
            _writable(bad)

    refused(run)


def yamls(data: bytes) -> None:
    """Recipes, templates, rubrics, groups of annotators and cards."""

    path = on_disk(data, "made.yaml")

    def recipe() -> None:
        found = load_recipe(path)
        found.judges(), found.exports()

    def template() -> None:
        made = load_template(path)
        check(len(made.digest) == 32, "a template has a digest")
        made.render(_QUESTION)

    for work in (recipe, template, lambda: load_rubric(path), lambda: read_groups(Path(path))):
        refused(work)
    try:
        read_card(data.decode(errors="replace"))
    except ValueError:
        pass
    try:
        read_card("---\n" + data.decode(errors="replace") + "\n---\n")
    except ValueError:
        pass


_QUESTION = Question("0" * 32, Order.AB, (Message("user", "Why?"),), "Because.", "I don't <|im_end|> know.")


@cache
def _tokenizer_json() -> bytes:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.BPE(vocab={chr(c): i for i, c in enumerate(range(32, 127))}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    made.add_special_tokens(["<|im_start|>", "<|im_end|>", "<s>"])
    return made.to_str().encode()


def tokenizers(data: bytes) -> None:
    """What comes with a judge's model: `tokenizer_config.json`, its chat template, or `tokenizer.json` itself."""

    name, rest = split(data, "tokenizer_config.json")
    place = folder() / "model"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "tokenizer.json").write_bytes(_tokenizer_json())
    if name in {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}:
        (place / name).write_bytes(rest)

    def run() -> None:
        made = JudgeTokenizer.load(str(place))
        for template in (load_template("chat"), load_template("completion")):
            refused(lambda template=template: made.encode(template, _QUESTION))  # type: ignore[misc]
            refused(lambda template=template: made.labels(template, _QUESTION))  # type: ignore[misc]

    refused(run)


def replies(data: bytes) -> None:
    """What a server answers: a judgment that can be stored, or another try."""

    check(message(data).isprintable(), "what a server says is shown as one line")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    prompt = Prompt("0" * 32, Order.AB, b"[1]", tokens=None)
    for reply in value if isinstance(value, list) else [value]:
        try:
            meta = wire._meta(prompt, 0, reply, "", "http://127.0.0.1:9", wire.Known())
        except Transient as error:
            str(error).encode()
            continue
        try:
            made = wire._judgment(prompt, reply, meta, [7, 8], 0.1)
        except Transient as error:
            str(error).encode()
        else:
            check(made.failed is None and made.logprob_a is not None and made.logprob_b is not None, "it is a verdict")
            columns = {"prompt_tokens": [made.prompt_tokens], "cached_tokens": [made.cached_tokens]}
            for key, column in columns.items():
                pa.array(column, _JUDGMENT.field(key).type)
            check(all(-math.inf < one < 0.001 for one in (made.logprob_a, made.logprob_b) if one is not None), "can be")
        try:
            rationale = wire._rationale(prompt, reply, meta)
        except Transient:
            continue
        check(bool(rationale.text) != bool(rationale.failed), "there is a text, or why there is none")
        check(rationale.failed is not None or isinstance(reply["text"], str), "a text is one that the server wrote")


@cache
def _store() -> Any:
    store = open_store(folder() / "fuzz.duckdb")
    some = [Pair((Message("user", f"p{i}"),), f"a{i}", f"b{i}", metadata={"topic": "x", "n": i}) for i in range(3)]
    replace_input(store, [("pool", some)])
    return store


def conditions(data: bytes) -> None:
    """`--where`: a condition that can be counted, or a message."""

    text = data.decode(errors="replace")
    refused(lambda: matching(_store(), parse_condition(_store(), text)))


def bodies(data: bytes) -> None:
    """What is sent to the review page's server."""

    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    if problem := problem_of(body):
        check(is_text(problem), "what is wrong can be said")
        return
    said = [_said(one) for one in body["said"]]
    _stored([[one.pair_id, one.note] for one in said])
    pa.array([one.said_at for one in said], pa.timestamp("us", "UTC"))


def evaluations(data: bytes) -> None:
    """Evaluation sets for `curator hygiene`: a text with words, or a reject."""

    name, rest = split(data, "set.jsonl")
    path = on_disk(rest, name or "set")

    def run() -> None:
        for row in source_rows(path):
            text = row if isinstance(row, Reject) else _text(row, None)
            if isinstance(text, Reject):
                _writable(text)
                continue
            long_runs(text), language_of(text), bands_of(runs_of(text), 0.8)

    refused(run)


def states(data: bytes) -> None:
    """`.last-run.json` and `run.json` that somebody damaged: never taken for the latest run."""

    name, rest = split(data, ".last-run.json")
    out = folder() / "out"
    out.mkdir(exist_ok=True)
    (out / (name if name in {".last-run.json", "run.json"} else ".last-run.json")).write_bytes(rest)
    raw = on_disk(b"{}\n", "raw.jsonl")
    check(LastRun(LabelOptions(raw, out, out / "curator.duckdb"), []).result() is None, "a damaged state is no run")


def ingests(data: bytes) -> None:
    """The whole way of rows into a store: rows in = pairs + duplicates + rejects; what is stored is what was read."""

    name, rest = split(data, "raw.jsonl")
    path = on_disk(rest, name or "raw")
    out = folder() / "ingested"
    out.mkdir(exist_ok=True)

    def run() -> None:
        store = _store()
        found = ingest(store, LabelOptions(path, out, folder() / "fuzz.duckdb"), Progress())["pool"]
        rejects = [orjson.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]
        rows = sum(1 for _ in source_rows(path))
        check(found.rejected == len(rejects), "every reject is written")
        check(rows == found.rows + found.rejected, "rows in = rows used + rejects")
        if found.responses is None:
            check(found.rows == found.added.pairs + found.added.duplicates, "rows used = pairs + duplicates")
        again = {pair.pair_id for pair in read(source_rows(path), Reading()) if isinstance(pair, Pair)}
        kept = store.rows(
            """SELECT pair_id, prompt, response_a, response_b FROM pair
            WHERE pair_id IN (SELECT pair_id FROM input_row)"""
        )
        check({row[0] for row in kept} == again, "what is stored is what was read")
        for pair_id, prompt, a, b in kept:
            check(Pair(prompt_from_json(prompt), a, b).pair_id == pair_id, "texts come out of the store unchanged")

    refused(run)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sources": sources,
    "arrow": sources,
    "formats": formats,
    "ingests": ingests,
    "importers": importers,
    "logs": logs,
    "yamls": yamls,
    "tokenizers": tokenizers,
    "replies": replies,
    "conditions": conditions,
    "bodies": bodies,
    "evaluations": evaluations,
    "states": states,
}
