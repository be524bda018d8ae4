"""Real pairs go in, come out in every form and go in again; every format that is listed has a file that is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curator.cli.options import EXPORTS
from curator.errors import InputError
from curator.exports.registry import RANKING
from curator.formats import FORMATS
from curator.formats.read import Seen, read
from curator.options import Reading
from curator.pair import Pair
from curator.sources import source_rows
from tests.conftest import ROOT, Cli, read_rows, write_rows

GOLDEN = ROOT / "tests" / "golden" / "formats"
DATA = ("rmbench", "hhh", "pandalm", "prd_lfqa", "llmbar")
RECORDED = {"llmbar": ("llmbar.voteshare.judgements.jsonl", "GPT-4")}
SOME = 80
"""Rows of each file: enough of every kind, and quick."""
ONE_WAY = {"trl-kto"}
"""Rows are single responses, which curator does not read as pairs."""

RAW = {
    "HH-RLHF": "hh_rlhf", "UltraFeedback": "ultrafeedback", "ultrafeedback_binarized": "ultrafeedback_binarized",
    "argilla / distilabel": "argilla", "Chatbot Arena": "chatbot_arena", "Kaggle lmsys-arena": "kaggle_arena",
    "mt_bench_human_judgments": "mt_bench", "HelpSteer3": "helpsteer3",
    "HelpSteer2, ratings": "helpsteer2_ratings", "HelpSteer2, preference": "helpsteer2_preference",
    "Nectar": "nectar", "PKU-SafeRLHF": "pku_saferlhf", "Skywork-Reward": "skywork", "WebGPT": "webgpt",
    "SHP": "shp", "RewardBench": "rewardbench", "RewardBench 2": "rewardbench2", "AlpacaEval": "alpaca_eval",
    "Jung": "jung",
}  # fmt: skip
WRITTEN = {
    "TRL preference, conversational": "trl", "TRL preference, implicit": "trl-implicit",
    "TRL RewardTrainer": "trl-reward", "TRL KTO": "trl-kto", "OpenRLHF": "openrlhf", "axolotl": "axolotl",
    "LLaMA-Factory": "llamafactory",
}  # fmt: skip


@pytest.mark.parametrize("name", RAW.values(), ids=RAW)
def test_every_raw_format_has_a_file_that_is_told_and_read(name: str) -> None:
    reading = Reading(criterion="safer" if FORMATS[name].criteria and not FORMATS[name].default_criterion else None)
    seen = Seen()
    found = list(read(source_rows(str(GOLDEN / f"{name}.jsonl")), reading, seen))
    assert found
    assert any(isinstance(one, Pair) for one in found)
    assert seen.format
    assert seen.format.name == name


def test_judgments_without_texts_are_told_and_refused() -> None:
    """The row "MT-bench LLM pairs" of the table."""
    with pytest.raises(InputError, match="hold no texts"):
        list(read(source_rows(str(GOLDEN / "mt_bench_pairs.jsonl")), Reading()))


@pytest.mark.parametrize("to", WRITTEN.values(), ids=WRITTEN)
def test_every_export_has_a_file_that_was_written(to: str) -> None:
    assert read_rows(GOLDEN / "exports" / f"{to}.jsonl")
    assert to in EXPORTS


def told(row: dict[str, Any]) -> tuple[str, ...]:
    """A raw row as text: prompt, a, b."""
    return (row["prompt"], row["response_a"], row["response_b"])


def again(folder: Path) -> list[Pair]:
    """An export read as raw rows."""
    found = list(read(source_rows(str(folder / "data")), Reading()))
    pairs = [one for one in found if isinstance(one, Pair)]
    assert len(pairs) == len(found), "no row of an export is a reject"
    return pairs


@pytest.fixture
def labelled(cli: Cli, tmp_path: Path, shared_data: Callable[[str], Path]) -> Callable[[str], list[dict[str, Any]]]:
    """Labels some rows of a file of real pairs, every other one with its label, by recorded or made-up judgments."""

    def label(name: str) -> list[dict[str, Any]]:
        every = read_rows(shared_data(f"{name}.jsonl"))
        rows = [{**row, "annotators": []} for row in every[:: -(-len(every) // SOME)]]
        made = [
            {"id": row["id"], "judge": "made up", "order": order, "p_a": 0.1 if row["label"] == "b" else 0.9}
            for row in rows
            for order in ("ab", "ba")
        ]
        log, judge = RECORDED.get(name, (None, "made up"))
        log = shared_data(log) if log else write_rows(tmp_path / "log.jsonl", made)
        rows = [{**row, "label": None if number % 2 else row["label"]} for number, row in enumerate(rows)]
        raw = write_rows(tmp_path / "raw.jsonl", rows)
        run = cli.json("label", raw, "--judgments", log, "--judge", judge, "--alpha", "0.2", "--out", tmp_path / "out")
        assert run["rows"] == len(rows) == run["pairs"] + run["duplicates"] + run["rejected"]
        assert run["accepted"]
        return rows

    return label


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DATA)
def test_real_pairs_come_out_in_every_form_and_go_in_again(
    name: str, labelled: Callable[[str], list[dict[str, Any]]], cli: Cli, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = labelled(name)
    said = {told(row): row["label"] for row in reversed(rows)}
    db = tmp_path / "out" / "curator.duckdb"
    for to in EXPORTS:
        out = tmp_path / to
        choice = () if to == RANKING else ("--split", "0.25")
        made = cli.json("export", "--db", db, "--to", to, *choice, "--out", out)
        assert cli.code == 0
        loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
        assert {split: len(found) for split, found in loaded.items()} == made["splits"]
        if to in ONE_WAY:
            with pytest.raises(InputError, match="no known format has the fields"):
                again(out)
            continue
        pairs = again(out)
        if to == RANKING:
            for pair in pairs:
                assert not pair.votes or pair.metadata["label_source"] == "human", "a judge's order is no label"
            continue
        assert len(pairs) == made["auto"] + made["human"] > 0
        if to == "axolotl":
            assert "no column says which labels are the judge's" in (out / "README.md").read_text()
        else:
            assert made["human"] == sum(len(pair.votes) for pair in pairs), f"{to}: what a judge said is no label"
            for pair in pairs:
                label = said[pair.prompt[-1].content, pair.response_a, pair.response_b]
                assert [vote.verdict.value for vote in pair.votes] == ([] if label is None else [label])
                assert ("auto_label" in pair.metadata) == (label is None)
        train, test = ({prompt(row) for row in loaded[split]} for split in ("train", "test"))
        assert not train & test


def prompt(row: dict[str, Any]) -> str:
    """The prompt of an export's row, also where it stands inside the responses."""
    return json.dumps(row.get("prompt") or row.get("conversations") or row["chosen"][:-1])


def test_every_form_takes_every_choice(
    labelled: Callable[[str], list[dict[str, Any]]], cli: Cli, tmp_path: Path
) -> None:
    labelled("llmbar")
    for to in set(EXPORTS) - {RANKING}:
        export = ("export", "--db", tmp_path / "out" / "curator.duckdb", "--to", to, "--out", tmp_path / to)
        whole = cli.json(*export)
        for only, other in (("auto", "human"), ("human", "auto")):
            made = cli.json(*export, "--only", only)
            assert (made[only], made[other], made["left_out"]) == (whole[only], 0, {f"not {only}": whole[other]})
        for choice, reason in ((("--where", "words_a < 50"), "not where the condition holds"),
                               (("--min-strength", "1.5"), "weak")):  # fmt: skip
            made = cli.json(*export, *choice)
            assert made["left_out"][reason] + made["auto"] + made["human"] == whole["auto"] + whole["human"]
        made = cli.json(*export, "--columns", "minimal")
        assert made["splits"] == whole["splits"]
        if to in {"trl", "trl-implicit", "trl-reward", "openrlhf", "llamafactory"}:
            assert "no column says which labels are the judge's" in (tmp_path / to / "README.md").read_text()
            pairs = again(tmp_path / to)
            assert len(pairs) == sum(len(pair.votes) for pair in pairs) == made["auto"] + made["human"]
