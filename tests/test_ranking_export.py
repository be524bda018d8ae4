"""From many responses to one order of them: what people and judges say, in the store and out of it again."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from curator.errors import StoreError
from curator.exports.ranking import SCHEMA
from curator.formats.read import read
from curator.options import Reading
from curator.pair import Pair
from curator.resources import first_error
from curator.sources import source_rows
from curator.steps.ranking import export_ranking
from curator.store import open_store
from tests.conftest import Cli, write_rows

TEXTS = ["worst", "poor", "good", "best"]


def rows(count: int, *, scores: int = 0) -> list[dict[str, Any]]:
    """Prompts with the four texts in some order; the first `scores` have people's scores too."""
    chance = random.Random(7)
    made = []
    for i in range(count):
        texts = chance.sample(TEXTS, 4)
        said = [{"text": text, "model": text.upper()} for text in texts]
        marks = {"scores": [TEXTS.index(text) for text in texts]} if i < scores else {}
        made.append({"id": f"q{i}", "prompt": f"prompt {i}", "responses": said, **marks})
    return made


def odds(one: str, other: str) -> float:
    """A judge that likes the good texts better, and the less the nearer they are."""
    return 1 / (1 + np.exp(TEXTS.index(other) - TEXTS.index(one)))


def label(cli: Cli, path: Path, raw_rows: list[dict[str, Any]], unknown: frozenset[str] = frozenset()) -> Path:
    """The store of a run on rows whose pairs a log judges, but for those of some prompts."""
    raw = write_rows(path / "raw.jsonl", raw_rows)
    pairs = [pair for pair in read(source_rows(str(raw)), Reading()) if isinstance(pair, Pair)]
    log = [
        {"id": pair.source_id, "judge": "j", "order": order, "p_a": odds(pair.response_a, pair.response_b)}
        for pair in pairs
        if pair.prompt[0].content not in unknown
        for order in ("ab", "ba")
    ]
    assert cli("label", raw, "--judgments", write_rows(path / "log.jsonl", log)) in {0, 3, 4}
    return path / "raw.curated" / "curator.duckdb"


def ranked(db: Path, out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with open_store(db, create=False) as store:
        found = export_ranking(store, out)
    table = pq.read_table(out / "data")
    assert table.schema.equals(SCHEMA)
    return found, table.to_pylist()


def test_the_judge_orders_what_people_did_not(cli: Cli, tmp_path: Path) -> None:
    db = label(cli, tmp_path, rows(12, scores=3), unknown=frozenset({"prompt 11"}))
    found, made = ranked(db, tmp_path / "ranking")
    assert found == {
        "to": "ranking",
        "rows": {"auto": 8, "human": 3},
        "splits": {"train": 11},
        "left_out": {"the pairs that are known do not connect all responses": 1},
        "selection": None,
    }
    assert [row["prompt"] for row in made] == [[{"role": "user", "content": f"prompt {i}"}] for i in range(11)]
    for i, row in enumerate(made):
        assert first_error("ranking", row) is None
        assert row["responses"] == TEXTS[::-1]
        assert row["models"] == [text.upper() for text in TEXTS[::-1]]
        assert row["label_source"] == ("human" if i < 3 else "judge")
        assert (row["n_pairs"], len(set(row["pair_ids"]))) == (6, 6)
    # Four strengths in steps of one fit the judge but for the hundredth of a win.
    steps = -np.diff(made[5]["scores"])
    assert steps == pytest.approx([1, 1, 1], abs=0.05)
    assert made[0]["scores"][0] - made[0]["scores"][1] > 2, "people are certain"


def test_people_have_the_last_word(cli: Cli, tmp_path: Path) -> None:
    """One verdict against the judge moves one response; a tie and a skip are half and nothing."""
    from curator.pair import Verdict
    from curator.store.labels import Label, add_labels

    db = label(cli, tmp_path, rows(3))
    _, before = ranked(db, tmp_path / "before")
    with open_store(db, create=False) as store:
        pairs = store.records("SELECT pair_id, prompt, response_a AS a, response_b AS b FROM pair")
        of = {(p["prompt"][-12:-3].strip('"'), frozenset((p["a"], p["b"]))): p for p in pairs}
        first = [p for p in pairs if "prompt 0" in p["prompt"]]
        said = [
            Label(p["pair_id"], "ann", Verdict.A if p["a"] == "worst" else Verdict.B) for p in first
            if "worst" in (p["a"], p["b"])
        ]  # fmt: skip
        second = next(p for p in pairs if "prompt 1" in p["prompt"] and {p["a"], p["b"]} == {"best", "worst"})
        third = next(p for p in pairs if "prompt 2" in p["prompt"] and {p["a"], p["b"]} == {"best", "worst"})
        said += [Label(second["pair_id"], "ann", Verdict.BOTH_BAD), Label(third["pair_id"], "ann", Verdict.SKIP)]
        assert len(of) == 18
        assert add_labels(store, said).added == 5
    found, after = ranked(db, tmp_path / "after")
    assert found["rows"] == {"auto": 3, "human": 0}
    assert [row["label_source"] for row in after] == ["mixed", "mixed", "judge"]
    assert after[0]["responses"] == ["worst", "best", "good", "poor"]
    assert after[1]["responses"] == TEXTS[::-1]
    assert after[1]["scores"][0] < before[1]["scores"][0], "a tie of the best with the worst"
    assert after[2] == before[2]


def test_ranks_of_a_file_come_out_as_they_went_in(cli: Cli, tmp_path: Path) -> None:
    chance = random.Random(3)
    raw = []
    for i in range(5):
        answers = [{"answer": f"{i} {text}", "model": "m", "rank": rank} for rank, text in enumerate("abcdefg", 1)]
        raw.append({"prompt": f"\n\nHuman: {i}\n\nAssistant: ", "answers": chance.sample(answers, 7)})
    path = write_rows(tmp_path / "raw.jsonl", raw)
    pairs = [pair for pair in read(source_rows(str(path)), Reading()) if isinstance(pair, Pair)]
    log = [{"id": pair.pair_id, "judge": "j", "order": "both", "verdict": "tie"} for pair in pairs]
    assert cli("label", path, "--judgments", write_rows(tmp_path / "log.jsonl", log)) == 0
    _, made = ranked(tmp_path / "raw.curated" / "curator.duckdb", tmp_path / "ranking")
    assert [row["responses"] for row in made] == [[f"{i} {text}" for text in "abcdefg"] for i in range(5)]


@pytest.mark.filterwarnings("ignore")
def test_equal_stores_make_equal_bytes_and_datasets_reads_them(cli: Cli, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folders = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        db = label(cli, tmp_path / name, rows(8, scores=2))
        ranked(db, tmp_path / name / "ranking")
        folders.append(tmp_path / name / "ranking")
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) for folder in folders]
    assert files[0] == files[1] == [Path("README.md"), Path("data/train-00000-of-00001.parquet")]
    assert (folders[0] / files[0][1]).read_bytes() == (folders[1] / files[0][1]).read_bytes()
    train = datasets.load_dataset(str(folders[0]), cache_dir=str(tmp_path / "cache"))["train"]
    assert train.column_names == SCHEMA.names
    assert train[3]["responses"] == TEXTS[::-1]
    card = (folders[0] / "README.md").read_text()
    assert "Nothing is promised about these orders" in card
    assert all(f"| `{name}` |" in card for name in SCHEMA.names)


def test_every_pair_of_a_prompt_counts_once(cli: Cli, tmp_path: Path) -> None:
    """A prompt whose pairs come from several rows, sides swapped in one: all of them count."""
    raw = [
        {"id": f"{one}-{other}", "prompt": "q", "response_a": one, "response_b": other, "label": "b"}
        for one, other in [*combinations(TEXTS, 2), ("worst", "best")]
    ]
    raw.append({"id": "turned", "prompt": "q", "response_a": "best", "response_b": "worst", "label": "a"})
    path = write_rows(tmp_path / "raw.jsonl", raw)
    log = [{"id": row["id"], "judge": "j", "order": "both", "verdict": "tie"} for row in raw]
    cli("label", path, "--judgments", write_rows(tmp_path / "log.jsonl", log))
    _, (made,) = ranked(tmp_path / "raw.curated" / "curator.duckdb", tmp_path / "ranking")
    assert (made["responses"], made["n_pairs"], made["models"]) == (TEXTS[::-1], 7, [None] * 4)


def test_nothing_is_ranked_before_anything_is_judged(tmp_path: Path) -> None:
    with open_store(tmp_path / "new.duckdb") as store, pytest.raises(StoreError, match="nothing is judged yet"):
        export_ranking(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    db = label(cli, tmp_path, rows(6, scores=2))
    out = tmp_path / "ranking"
    assert cli("export", "--db", db, "--to", "ranking", "--out", out) == 0
    assert cli.out == f"{out}: 6 prompts with all responses in order, of which nothing is promised\n"
    assert pq.read_table(out / "data").column("responses").to_pylist() == [TEXTS[::-1]] * 6
    found = cli.json("export", "--db", db, "--to", "ranking", "--out", out)
    assert (found["auto"], found["human"], found["splits"], found["to"]) == (4, 2, {"train": 6}, "ranking")
    assert cli("export", "--db", db, "--to", "ranking", "--only", "human", "--out", out) == 1
    assert "orders all responses" in cli.err
    raw, log = tmp_path / "raw.jsonl", tmp_path / "log.jsonl"
    run = cli.json("label", raw, "--judgments", log, "--export", "ranking")
    assert first_error("run", run) is None
    written = tmp_path / "raw.curated" / run["exports"][1]["folder"]
    assert (written / "data" / "train-00000-of-00001.parquet").read_bytes() == (
        out / "data" / "train-00000-of-00001.parquet"
    ).read_bytes()
