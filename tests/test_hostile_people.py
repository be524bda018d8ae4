"""Hostile texts on their way to people and back: every tool's files, what comes back, all lines of the terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from curator.annotation.registry import TOOLS
from curator.names import annotator_name
from tests.conftest import Cli, read_rows, write_rows
from tests.hostile import HUGE, TEXTS

ALLOWED = re.compile(r"[\n\x20-\x7e\xa0-\U0010ffff]*")
TURNS = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


@pytest.fixture
def db(tmp_path: Path, cli: Cli) -> Path:
    """A store of hostile pairs, each text as prompt, as response and as field of the row, and one that is huge."""
    texts = [*TEXTS, HUGE]
    rows = [
        {
            "id": f"p{i}",
            "prompt": [{"role": "system", "content": text[:2000]}, {"role": "user", "content": text[:2000]}],
            "response_a": text + "a",
            "response_b": TEXTS[(i + 1) % len(TEXTS)] + "b",
            "group": text[:200],
        }
        for i, text in enumerate(texts)
    ]
    log = [
        {"id": f"p{i}", "judge": TEXTS[15], "order": order, "p_a": 0.5 + i / 100}
        for i in range(len(texts))
        for order in ("ab", "ba")
    ]
    raw, judgments = write_rows(tmp_path / "raw.jsonl", rows), write_rows(tmp_path / "log.jsonl", log)
    assert cli("label", raw, "--judgments", judgments, "--group-by", "group") == 4
    plain(cli)
    return tmp_path / "raw.curated" / "curator.duckdb"


def plain(cli: Cli) -> None:
    """Nothing that was printed can move the cursor, recolour, ring, or turn text around."""
    for said in (cli.out, cli.err):
        assert ALLOWED.fullmatch(said), [c for c in said if not ALLOWED.fullmatch(c)][:5]
        assert not TURNS.search(said)


@pytest.mark.parametrize("tool", TOOLS)
def test_no_tool_is_handed_anything_that_acts(tool: str, db: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "people"
    assert cli("queue", "--db", db, "--to", tool, "--out", out, "--shard-size", 10) == 0
    plain(cli)
    shards = sorted(out.glob("queue-*"))
    assert len(shards) == 3
    for path in out.rglob("*"):
        if path.is_dir():
            continue
        assert path.resolve().is_relative_to(out.resolve())
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
        assert not set(text) & {chr(c) for c in (*range(9), 11, 12, *range(14, 32))}, path
    if tool == "csv":
        texts = [path.read_bytes().decode("utf-8-sig") for path in shards]
        cells = [cell for text in texts for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
        assert cells
        assert not [cell for cell in cells if re.match(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]", cell)]
        assert max(map(len, cells)) <= 32_767


def test_hostile_names_and_notes_come_back_as_text(db: Path, cli: Cli, tmp_path: Path) -> None:
    tasks = read_rows(db.parent / "queue.jsonl")
    filled: list[dict[str, Any]] = [
        {**task, "label": "left", "annotator": text[:60], "note": text[:2000]}
        for task, text in zip(tasks, TEXTS, strict=False)
    ]
    broken = [{**filled[0], "label": text} for text in TEXTS] + [{**filled[0], "pair_id": text} for text in TEXTS]
    assert cli("import", write_rows(tmp_path / f"{TEXTS[15][:3]}filled.jsonl", filled + broken), "--db", db) == 0
    plain(cli)
    assert cli("sql", "--db", db, "SELECT annotator, note FROM human_label ORDER BY number", "--json") == 0
    said = [json.loads(line) for line in cli.out.splitlines()]
    named = [(annotator_name(row["annotator"]) or "annotator", row["note"]) for row in filled]
    assert [(row["annotator"], row["note"]) for row in said] == named
    for command in (["status"], ["audit", "--labels", "--contradictions"], ["agreement"]):
        assert cli(*command, "--db", db) == 0
        plain(cli)
    cli("sql", "--db", db, "SELECT * FROM human_label JOIN pair USING (pair_id)")
    plain(cli)


def test_what_was_sent_to_people_is_what_the_rows_said(db: Path) -> None:
    """The queue itself changes nothing: escapes are JSON's, and each text comes back to the last character."""
    tasks = read_rows(db.parent / "queue.jsonl")
    texts = {text for task in tasks for text in (task["left"], task["right"])}
    assert {text + "a" for text in (*TEXTS, HUGE)} <= texts
