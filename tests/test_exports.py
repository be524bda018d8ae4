"""What is written, read back by the libraries that will read it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from curator.exports.base import Facts
from curator.exports.registry import EXPORTS
from curator.exports.trl import SCHEMA
from curator.exports.writing import write_export
from curator.options import Wanted
from tests.conftest import Cli, judgments, pairs, write_rows
from tests.exported import batches, example


@pytest.fixture
def out(cli: Cli, tmp_path: Path) -> Path:
    rows = pairs(60, labelled=30)
    rows[40]["prompt"] = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "What is 1 + 1?"},
    ]  # fmt: skip
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    log = write_rows(tmp_path / "log.jsonl", judgments(60, wrong=[35]))
    assert cli("label", raw, "--judgments", log) == 0
    return tmp_path / "raw.curated"


@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_the_folder(out: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(out / "dataset"), cache_dir=str(tmp_path / "cache"))
    train = loaded["train"]
    assert (list(loaded), train.num_rows) == (["train"], 60)
    assert train.column_names == SCHEMA.names
    assert train[40]["prompt"][3] == {"role": "user", "content": "What is 1 + 1?"}
    assert train[40]["chosen"] == [{"role": "assistant", "content": "first answer to 40"}]
    assert train[35]["label_source"] == "auto"
    assert train[35]["chosen"][0]["content"] == "first answer to 35", "the judge was wrong here, and that is its label"
    assert train[35]["p_chosen"] == pytest.approx(0.9)
    assert train[0]["label_source"] == "human"


@pytest.mark.filterwarnings("ignore")
def test_trl_takes_the_rows_as_they_are(out: Path) -> None:
    """TRL's own checks and chat templating, as DPOTrainer applies them, on rows with curator's extra columns."""
    pytest.importorskip("trl")
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    class Tokenizer:
        """Only what TRL asks of one: messages in, text out."""

        def apply_chat_template(self, messages, tools=None, continue_final_message=False, tokenize=True,
                                add_generation_prompt=False, **_):  # type: ignore[no-untyped-def]  # fmt: skip
            text = "".join(f"<{turn['role']}>{turn['content']}" for turn in messages)
            return text + ("<assistant>" if add_generation_prompt else "")

    for row in pq.read_table(out / "dataset" / "data").to_pylist():
        assert is_conversational(row)
        rendered = maybe_apply_chat_template(row, Tokenizer())
        assert rendered["prompt"].endswith("<assistant>")
        assert rendered["chosen"] == row["chosen"][0]["content"]
        assert rendered["rejected"] == row["rejected"][0]["content"]


def test_the_card_says_what_was_promised(out: Path) -> None:
    text = (out / "dataset" / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    values = yaml.safe_load(header)
    assert values["dataset_info"]["splits"] == [
        {"name": "train", "num_bytes": values["dataset_info"]["dataset_size"], "num_examples": 60}
    ]
    assert [feature["name"] for feature in values["dataset_info"]["features"]] == SCHEMA.names
    assert "at most 0.1 of the pairs accepted in this batch" in body
    assert "30 labelled by a judge, 30 by people" in body


def test_an_empty_data_set_keeps_its_types(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(20))
    log = write_rows(tmp_path / "log.jsonl", judgments(20))
    assert cli("label", raw, "--judgments", log) == 4
    table = pq.read_table(tmp_path / "raw.curated" / "dataset" / "data" / "train-00000-of-00001.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == 0


def test_shards_hold_every_row_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.exports.writing.SHARD_ROWS", 10)
    monkeypatch.setattr("curator.exports.writing.GROUP_ROWS", 4)
    rows = [example(i, split="test" if i % 10 == 3 else "train") for i in range(41)]
    written = write_export(
        tmp_path / "d", EXPORTS["trl"], batches(rows, 7), Wanted(test=0.1),
        lambda rows: Facts(), lambda found: f"{found.size}",
    )  # fmt: skip
    assert written.splits == {"train": 37, "test": 4}
    files = sorted((tmp_path / "d" / "data").iterdir())
    names = [f"train-0000{i}-of-00004.parquet" for i in range(4)]
    assert [file.name for file in files] == ["test-00000-of-00001.parquet", *names]
    found = [[row["pair_id"] for row in pq.read_table(file).to_pylist()] for file in files]
    assert [int(pair, 16) for pair in found[0]] == [3, 13, 23, 33]
    assert [int(pair, 16) for part in found[1:] for pair in part] == [i for i in range(41) if i % 10 != 3]
    assert [len(part) for part in found[1:]] == [10, 10, 10, 7]
    groups = pq.ParquetFile(files[1]).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [4, 4, 2]
    assert int((tmp_path / "d" / "README.md").read_text()) == sum(file.stat().st_size for file in files)


def test_equal_stores_give_equal_bytes(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pieces in which DuckDB hands out the rows, and whichever thread is first."""
    monkeypatch.setattr("curator.exports.writing.GROUP_ROWS", 1_000)
    raw = write_rows(tmp_path / "raw.jsonl", pairs(30_000, labelled=20_000))
    log = write_rows(tmp_path / "log.jsonl", judgments(30_000))
    assert cli("label", raw, "--judgments", log) == 0
    db = tmp_path / "raw.curated" / "curator.duckdb"
    written = []
    for name in ("one", "two", "three"):
        assert cli("export", "--db", db, "--out", tmp_path / name) == 0
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        written.append([(path.name, path.read_bytes()) for path in files])
    assert written[0] == written[1] == written[2]
    table = pq.read_table(tmp_path / "one" / "data")
    assert [row[0]["content"] for row in table["chosen"].to_pylist()] == [
        f"{'first' if i % 2 == 0 else 'second'} answer to {i}" for i in range(30_000)
    ]
    parts = pq.ParquetFile(next((tmp_path / "one" / "data").iterdir())).metadata
    assert {parts.row_group(i).num_rows for i in range(parts.num_row_groups)} == {1_000}
