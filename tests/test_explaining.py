"""Rationales are asked for once a verdict is stored, about what is accepted, and each once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator.errors import RecipeError
from curator.judges.wire import RATIONALE_TOKENS
from curator.pair import Message, Order
from curator.prompts import Question, rationale_template
from curator.recipes import load_template
from curator.store import open_store
from tests.conftest import Cli, read_rows, write_rows
from tests.fake_sglang import FakeSGLang


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Pairs of which a or b has the higher quality in turn; the first 40 are labelled."""
    rows = []
    for i in range(60):
        texts = [f"answer {i}, quality {3 + i / 100}", f"another {i}, quality -3"]
        a, b = texts if i % 2 == 0 else texts[::-1]
        label = "ab"[i % 2] if i < 40 else None
        rows.append({"id": f"p{i}", "prompt": f"prompt {i}", "response_a": a, "response_b": b, "label": label})
    return write_rows(tmp_path / "raw.jsonl", rows)


def said(db: Path) -> dict[str, str]:
    """Rationales by the text that was preferred."""
    with open_store(db) as store:
        return dict(
            store.rows(
                "SELECT if(label = 'a', response_a, response_b), rationale FROM rationale JOIN pair USING (pair_id)"
            )
        )


def test_each_accepted_pair_gets_one(raw: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with FakeSGLang() as server:
        arguments = ("label", raw, "--judge-url", server.url, "--out", out, "--no-probe")
        plain = cli.json(*arguments)
        assert (plain["accepted"], plain["rationales"]) == (20, None)
        judged = server.prompts
        result = cli.json(*arguments, "--rationale")
        assert result["rationales"] == {"written": 20, "cached": 0, "failed": 0, "reason": None}
        assert result["judgments"]["asked"] == 0, "the verdicts are those from before"
        assert server.prompts == judged + 20
        assert {body["sampling_params"]["max_new_tokens"] for body in server.bodies[-2:]} == {RATIONALE_TOKENS}
        prompts = [text for body in server.bodies[-2:] for text in body["text"]]
        assert all("first reading has found response A better" in text for text in prompts)
        rows = pq.read_table(out / "dataset" / "data").to_pylist()
        assert {row["rationale"] is None for row in rows if row["label_source"] == "human"} == {True}
        auto = [row for row in rows if row["label_source"] == "auto"]
        assert len(auto) == 20
        for row in auto:
            assert row["rationale"].startswith(f"It has {row['chosen'][0]['content'].rpartition(' ')[2]}")
        assert "| `rationale` |" in (out / "dataset" / "README.md").read_text()
        found = said(out / "curator.duckdb")
        assert found[f"answer 40, quality {3 + 0.4}"] == "It has 3.4, the other -3."
        assert len(found) == 20, "the preferred response is shown first, whichever side it is on"
        assert all(text.startswith("answer") for text in found)
        again = cli.json(*arguments, "--rationale")
        assert again["rationales"] == {"written": 0, "cached": 20, "failed": 0, "reason": None}
        assert server.prompts == judged + 20
        (tmp_path / "out" / "run.json").unlink()
        assert cli.json(*arguments, "--rationale")["rationales"]["cached"] == 20
        assert cli(*arguments, "--rationale") == 0
        assert "rationales   0 written, 20 known" in cli.out


def test_a_judge_that_writes_nothing_is_asked_again_another_time(raw: Path, cli: Cli, tmp_path: Path) -> None:
    rows = read_rows(raw)
    rows[50]["response_a"] = "quality 0.13"
    rows[50]["response_b"] = "quality -9"
    rows[52]["response_a"] = "quality 0.77"
    rows[52]["response_b"] = "quality -9"
    write_rows(raw, rows)
    with FakeSGLang() as server:
        arguments = ("label", raw, "--judge-url", server.url, "--out", tmp_path / "out", "--no-probe", "--rationale")
        first = cli.json(*arguments)
        assert first["rationales"] == {"written": 19, "cached": 0, "failed": 1, "reason": "the judge wrote nothing"}
        again = cli.json(*arguments, "--alpha", "0.11")
        assert again["rationales"] == {"written": 0, "cached": 19, "failed": 1, "reason": "the judge wrote nothing"}
    found = said(tmp_path / "out" / "curator.duckdb")
    assert found["quality 0.77"] == "It has 0.77, the other -9. [...]", "what was cut off is marked"


def test_faults_of_a_server_are_met_as_with_verdicts(raw: Path, cli: Cli, tmp_path: Path) -> None:
    with FakeSGLang() as server:
        arguments = ("label", raw, "--judge-url", server.url, "--out", tmp_path / "out", "--no-probe")
        assert cli(*arguments) == 0
        server.misbehave("503", "html", "truncated")
        result = cli.json(*arguments, "--rationale")
        assert result["rationales"]["written"] == 20


@pytest.mark.parametrize("judge", [(), ("--judgments",)])
def test_a_judge_that_cannot_write_is_refused_before_anything_is_read(
    raw: Path, cli: Cli, tmp_path: Path, judge: tuple[str, ...]
) -> None:
    log = write_rows(tmp_path / "log.jsonl", [{"id": "p0", "judge": "j", "order": "ab", "p_a": 0.5}])
    assert cli("label", raw, *judge, *(log for _ in judge), "--rationale") == 1
    assert "--rationale needs a judge that can write" in cli.err
    assert not (tmp_path / "raw.curated").exists()
    with FakeSGLang() as server:
        assert cli("label", raw, "--judge-url", server.url, "--template", "completion", "--rationale") == 1
        assert "'completion' cannot ask for a rationale" in cli.err


def test_the_question_stands_behind_what_was_judged() -> None:
    template = load_template("chat")
    why = rationale_template(template)
    question = Question("", Order.AB, (Message("user", "{{ 1 + 1 }}"),), "{{ label }}", "b")
    judged, asked = template.render(question), why.render(question)
    assert judged[0] == asked[0]
    assert asked[1].content.startswith(judged[1].content)
    assert "{{ 1 + 1 }}" in asked[1].content
    assert template.digest != why.digest
    with pytest.raises(RecipeError, match="chat template"):
        rationale_template(load_template("completion"))


@pytest.mark.sglang
def test_a_real_server_writes(shared_data: Callable[[str], Path], tiny_url: str, cli: Cli, tmp_path: Path) -> None:
    rows = [{**row, "label": row["label"] if i < 12 else None} for i, row in
            enumerate(read_rows(shared_data("prd_vicuna80.jsonl"))[:16])]  # fmt: skip
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    result = cli.json(
        "label", raw, "--judge-url", tiny_url, "--no-probe", "--min-label-mass", "0", "--alpha", "0.9", "--rationale"
    )
    assert result["accepted"] > 0
    assert result["rationales"]["written"] + result["rationales"]["failed"] == result["accepted"]
    assert result["rationales"]["written"] > 0
    found = said(tmp_path / "raw.curated" / "curator.duckdb")
    assert len({text for text in found.values() if text.strip()}) == len(set(found.values()))
