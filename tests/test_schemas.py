"""Everything curator writes matches its schema, and every schema is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow.parquet as pq
import pytest

from curator.formats import FORMATS
from curator.resources import first_error, folder, read_yaml, validator
from tests.conftest import ROOT, Cli, judgments, pairs, read_rows, write_rows

SCHEMAS = sorted(path.name.removesuffix(".schema.json") for path in folder("schemas").iterdir())


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    schema = json.loads((folder("schemas") / f"{name}.schema.json").read_text())
    jsonschema_rs.meta.validate(schema)
    assert schema["$id"] == f"{name}.schema.json"
    assert schema["title"]


@pytest.mark.parametrize("labelled", [0, 30])
def test_what_a_run_writes_matches(cli: Cli, tmp_path: Path, labelled: int) -> None:
    rows: list[dict[str, Any]] = pairs(60, labelled=labelled)
    raw = write_rows(tmp_path / "raw.jsonl", [*rows, {"prompt": "no responses"}])
    log = write_rows(tmp_path / "log.jsonl", judgments(55, wrong=[40, 41], p_right=1.0))
    cli("label", raw, "--judgments", log)
    out = tmp_path / "raw.curated"
    assert first_error("run", json.loads((out / "run.json").read_text())) is None
    queue, rejects = read_rows(out / "queue.jsonl"), read_rows(out / "rejects.jsonl")
    table = pq.read_table(out / "dataset" / "data").to_pylist()
    assert (bool(queue), len(rejects), bool(table)) == (True, 1, labelled > 0)
    for schema, found in (("queue", queue), ("reject", rejects), ("dataset", table)):
        for row in found:
            assert first_error(schema, row) is None


def test_shipped_recipes_and_templates_match() -> None:
    for path in folder("recipes").glob("*.yaml"):
        assert read_yaml(path, "recipe")["name"] == path.stem
    for kind in ("template", "rubric"):
        for path in (folder("recipes") / f"{kind}s").glob("*.yaml"):
            assert read_yaml(path, kind)["name"] == path.stem


def test_every_format_has_a_schema() -> None:
    for name, entry in FORMATS.items():
        assert entry.name == name
        validator(entry.schema)


def test_the_quick_start_data_is_what_it_says() -> None:
    rows = read_rows(ROOT / "recipes" / "quickstart" / "pairs.jsonl")
    answers = {row["id"]: row["label"] for row in read_rows(ROOT / "recipes" / "quickstart" / "answers.jsonl")}
    assert len(rows) >= 300
    assert all(first_error("pair", row) is None for row in rows)
    assert sum(row["label"] is None for row in rows) >= len(rows) / 2
    assert answers.keys() == {row["id"] for row in rows}
    assert set(answers.values()) == {"a", "b"}
    assert all(row["label"] in {None, answers[row["id"]]} for row in rows)
    assert {"facts", "arithmetic", "instruction", "tone", "code"} == {row["category"] for row in rows}


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"prompt": "p", "response_a": "x"}, "response_b", "is missing"),
        ({"prompt": "", "response_a": "x", "response_b": "y"}, "prompt", "is empty"),
        ({"prompt": "p", "response_a": " \n", "response_b": "y"}, "response_a", "is empty"),
        ({"prompt": "p", "response_a": 3, "response_b": "y"}, "response_a", 'is not of type "string"'),
        ({"prompt": 3, "response_a": "x", "response_b": "y"}, "prompt", "has none of the shapes allowed there"),
        ({"prompt": [], "response_a": "x", "response_b": "y"}, "prompt", "has less than 1 item"),
        ({"prompt": [{"role": "user"}], "response_a": "x", "response_b": "y"}, "prompt.0.content", "is missing"),
        (
            {"prompt": "p", "response_a": "x", "response_b": "y", "label": "A"},
            "label",
            'must be one of ["a","b","tie",null]',
        ),
    ],
)
def test_a_bad_row_is_told_where_and_why(row: dict[str, Any], field: str, reason: str) -> None:
    assert first_error("pair", row) == (field, reason)
