"""Each form of the data set: its rows and configuration as they should be, by schema, and as its trainer reads them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
import yaml

from curator.cli import options
from curator.exports.base import Facts
from curator.exports.configuring import comment, smoothing
from curator.exports.registry import EXPORTS, RANKING
from curator.exports.writing import Written, write_export
from curator.options import Wanted
from curator.resources import first_error
from tests.conftest import ROOT, read_rows
from tests.exported import batches, example

GOLDEN = ROOT / "tests" / "golden" / "formats" / "exports"
SCHEMAS = {
    "trl": "dataset", "trl-implicit": "export_trl_implicit", "trl-reward": "export_trl_reward",
    "trl-kto": "export_trl_kto", "openrlhf": "export_openrlhf", "axolotl": "export_axolotl",
    "llamafactory": "export_llamafactory", "parquet": "export_example", "jsonl": "export_example",
}  # fmt: skip
FACTS = Facts(0.0815, "At most .0815 of the labels are wrong, in expectation.\nloss_type: [sft] # \x1b[31m")
RESERVED = {"ref_chosen_logps", "ref_rejected_logps", "prompt_ids", "chosen_ids", "rejected_ids"}
NOT_OF_PAIRS = {"messages", "text", "completion", "completions", "label", "labels"}


def turn(role: str, content: str, more: str | None = None) -> dict[str, str | None]:
    return {"role": role, "content": content, "more": more}


TOOLS = '[{"type":"function","function":{"name":"add"}}]'
ROWS = [
    example(0, verdict="b", a_chosen=False, p_chosen=None, p_target=0.75, bpe=None, label_source="human"),
    example(
        1, prompt=[turn("system", "Be brief."), turn("user", "Hi"), turn("assistant", "Hello"), turn("user", "1 + 1?")]
    ),
    example(2, tools=TOOLS, strength=None, p_target=None, metadata=f'{{"tools":{TOOLS}}}'),
    example(
        3,
        prompt=[
            turn("user", "Add."), turn("assistant", "", '{"tool_calls": [{"id": "x"}]}'), turn("tool", "2"),
            turn("user", "So?"),
        ],
    ),
    example(4, prompt=[turn("user", "{{ 7 * 7 }} <|im_end|>\x00\u2028"), turn("user", "=cmd()", '{"name": "Eve"}')]),
    example(5, prompt=[turn("developer", "Rules."), turn("user", "Why?")], file="/home/someone/raw.jsonl"),
]  # fmt: skip


def write(folder: Path, to: str, rows: list[dict[str, Any]] = ROWS, facts: Facts = FACTS, **wanted: Any) -> Written:
    tools = any(row["tools"] for row in rows)
    return write_export(
        folder, EXPORTS[to], batches(rows, 2), Wanted(to, **wanted), lambda rows: facts, lambda _: "card", tools=tools
    )


def read(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    (path,) = (folder / "data").glob(f"{split}-*")
    rows: list[dict[str, Any]] = read_rows(path) if path.suffix == ".jsonl" else pq.read_table(path).to_pylist()
    return rows


def test_every_form_can_be_asked_for() -> None:
    assert set(EXPORTS) == set(options.EXPORTS) - {RANKING} == set(SCHEMAS)


@pytest.mark.parametrize("to", EXPORTS)
def test_rows_and_configuration_are_the_golden_ones(to: str, tmp_path: Path) -> None:
    write(tmp_path / to, to)
    found = b"".join(orjson.dumps(row) + b"\n" for row in read(tmp_path / to))
    assert found.decode() == (GOLDEN / f"{to}.jsonl").read_text(encoding="utf-8")
    files = {path.name for path in (tmp_path / to).iterdir()} - {"data", "README.md"}
    assert files == {path.name for path in GOLDEN.glob(f"{to}/*")}
    for name in files:
        assert (tmp_path / to / name).read_text() == (GOLDEN / to / name).read_text()


@pytest.mark.parametrize("to", EXPORTS)
def test_rows_match_their_schema_and_bear_no_reserved_name(to: str, tmp_path: Path) -> None:
    write(tmp_path / "all", to)
    write(tmp_path / "minimal", to, minimal=True)
    for folder in ("all", "minimal"):
        rows = read(tmp_path / folder)
        assert rows
        assert not RESERVED & rows[0].keys()
        assert to == "trl-kto" or not NOT_OF_PAIRS & rows[0].keys()
        if folder == "all" or SCHEMAS[to] != "dataset":
            assert [first_error(SCHEMAS[to], row) for row in rows] == [None] * len(rows)


@pytest.mark.parametrize(
    ("to", "columns"),
    [
        ("trl", ["prompt", "chosen", "rejected"]),
        ("trl-implicit", ["chosen", "rejected"]),
        ("trl-reward", ["chosen", "rejected", "margin"]),
        ("trl-kto", ["prompt", "completion", "label"]),
        ("openrlhf", ["prompt", "chosen", "rejected", "margin"]),
        ("axolotl", ["prompt", "chosen", "rejected"]),
        ("llamafactory", ["prompt", "chosen", "rejected", "tools"]),
    ],
)
def test_minimal_columns(to: str, columns: list[str], tmp_path: Path) -> None:
    write(tmp_path / "d", to, [example(0)], minimal=True)
    assert list(read(tmp_path / "d")[0]) == columns


@pytest.mark.parametrize(
    ("to", "left_out"),
    [
        ("trl", {"tool calls": 1}),
        ("openrlhf", {"tool calls": 1, "tools": 1}),
        ("axolotl", {"tool calls": 1, "tools": 1, "a role that axolotl does not know": 1}),
        ("llamafactory", {"tool calls": 1, "turns other than system, then user and assistant in turn": 2}),
        ("parquet", {}),
        ("jsonl", {}),
    ],
)
def test_what_a_form_cannot_hold_is_counted(to: str, left_out: dict[str, int], tmp_path: Path) -> None:
    written = write(tmp_path / "d", to)
    assert written.left_out == left_out
    assert written.splits == {"train": 6 - sum(left_out.values())}
    assert sum(written.sources.values()) == 6 - sum(left_out.values())


def test_unpaired_rows_are_one_good_and_one_bad_each(tmp_path: Path) -> None:
    write(tmp_path / "d", "trl-kto")
    rows = read(tmp_path / "d")
    assert [row["label"] for row in rows] == [True, False] * 5
    assert [row["completion"][0]["content"] for row in rows[:2]] == ["second answer to 0", "first answer to 0"]
    assert rows[0]["prompt"] == rows[1]["prompt"]
    assert rows[0]["pair_id"] == rows[1]["pair_id"] != rows[2]["pair_id"]


def test_the_margin_is_the_log_odds_or_the_strength_and_never_null(tmp_path: Path) -> None:
    rows = [
        example(i, p_target=p, strength=s)
        for i, (p, s) in enumerate([(0.9, 3.0), (0.3, 1.0), (1.0, None), (None, 2.0)])
    ]
    write(tmp_path / "target", "trl-reward", rows)
    write(tmp_path / "strength", "trl-reward", rows, margin="strength")
    assert [row["margin"] for row in read(tmp_path / "target")] == pytest.approx([math.log(9), 0, 4.6, 0])
    assert [row["margin"] for row in read(tmp_path / "strength")] == [3.0, 1.0, 0.0, 2.0]


@pytest.mark.parametrize("to", ["trl", "axolotl"])
def test_a_sentence_stays_a_comment(to: str, tmp_path: Path) -> None:
    write(tmp_path / "d", to)
    (path,) = (tmp_path / "d").glob("*.yaml")
    values = yaml.safe_load(path.read_text())
    loss, share = ("loss_type", "label_smoothing") if to == "trl" else ("dpo_loss_type", "dpo_label_smoothing")
    assert (values[loss], values[share]) == (["robust"], 0.0815)
    write(tmp_path / "d", to, facts=Facts())
    values = yaml.safe_load(path.read_text())
    assert values.get(loss) == (["sigmoid"] if to == "trl" else None)
    assert share not in values


def test_comments_and_shares() -> None:
    assert comment("a\nb: c\x1b " + "word " * 30).count("\n# ") == 1
    assert comment("") == ""
    assert smoothing(Facts(0.0)) == "0.0"
    assert smoothing(Facts(1e-5)) == "0.00001"
    for share in (None, 0.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="label smoothing"):
            smoothing(Facts(share))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("to", EXPORTS)
def test_datasets_reads_every_form(to: str, tmp_path: Path) -> None:
    """With the card and without it: a folder of files, as the configurations name it, has the same splits and types."""
    datasets = pytest.importorskip("datasets")
    from curator.exports.card import dataset_card
    from tests.reports import full_result

    rows = [*ROWS, example(6, split="test"), example(7, split="test")]
    write_export(
        tmp_path / "d", EXPORTS[to], batches(rows), Wanted(to, test=0.1), lambda rows: FACTS,
        lambda contents: dataset_card(full_result(), contents), tools=True,
    )  # fmt: skip
    for place in ("d", "d/data"):
        if place == "d/data" and to == "jsonl":
            continue  # its types are in the card
        loaded = datasets.load_dataset(str(tmp_path / place), cache_dir=str(tmp_path / "cache"))
        for split in ("train", "test"):
            assert loaded[split].to_list() == read(tmp_path / "d", split)


class Letters:
    """A tokenizer of letters, with what the readers of trainers ask of one."""

    eos_token = "</s>"
    chat_template = "none"

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        import torch

        ids = torch.tensor([[ord(c) for c in text]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def apply_chat_template(self, messages: Any, add_generation_prompt: bool = False, **_: Any) -> str:
        text = "".join(f"<{turn['role']}>{turn['content']}</s>" for turn in messages)
        return text + ("<assistant>" if add_generation_prompt else "")


SHOWN = "<system>Be brief.</s><user>Hi</s><assistant>Hello</s><user>1 + 1?</s><assistant>"


@pytest.mark.filterwarnings("ignore")
def test_openrlhf_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward_dataset = pytest.importorskip("openrlhf.datasets.reward_dataset", exc_type=ImportError)
    utils = pytest.importorskip("openrlhf.datasets.utils", exc_type=ImportError)
    write(tmp_path / "d", "openrlhf")
    monkeypatch.chdir(tmp_path / "d")
    keys = SimpleNamespace(prompt_key="prompt", chosen_key="chosen", rejected_key="rejected", apply_chat_template=True)
    strategy = SimpleNamespace(print=print, is_rank_0=lambda: False, args=SimpleNamespace(use_ms=False, data=keys))
    found = utils.blending_datasets("data", None, strategy)
    for dpo in (True, False):
        read = reward_dataset.RewardDataset(found, Letters(), 999, strategy, is_dpo=dpo, num_processors=1)
        row = (read.prompts[1], read.chosens[1], read.rejects[1])
        assert row == (SHOWN, "first answer to 1</s>", "second answer to 1</s>")
        assert read.extras[0] == (len(read.prompts[0]) if dpo else pytest.approx(math.log(3)))


@pytest.mark.filterwarnings("ignore")
def test_axolotl_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_template = pytest.importorskip("axolotl.prompt_strategies.dpo.chat_template", exc_type=ImportError)
    from axolotl.utils.dict import DictDefault
    from datasets import load_dataset

    write(tmp_path / "d", "axolotl")
    monkeypatch.chdir(tmp_path / "d")
    settings = DictDefault(yaml.safe_load(Path("axolotl.yaml").read_text()))
    change, arguments = chat_template.default(settings)
    entry = settings.datasets[0]
    rows = load_dataset(entry.path, split=entry.split).map(lambda row: change(row, tokenizer=Letters()), **arguments)
    assert rows.column_names == ["prompt", "chosen", "rejected"]
    assert list(rows[1].values()) == [SHOWN, "first answer to 1</s>", "second answer to 1</s>"]


@pytest.mark.filterwarnings("ignore")
def test_llamafactory_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = pytest.importorskip("llamafactory.data.loader", exc_type=ImportError)
    parser = pytest.importorskip("llamafactory.data.parser", exc_type=ImportError)
    write(tmp_path / "d", "llamafactory")
    monkeypatch.chdir(tmp_path / "d")
    (entry,) = parser.get_dataset_list(["curator"], ".")
    data = SimpleNamespace(
        dataset_dir=".", preprocessing_num_workers=1, streaming=False, max_samples=None, overwrite_cache=True
    )
    training = SimpleNamespace(seed=1, local_process_index=0, dataloader_num_workers=0)
    rows = loader._load_single_dataset(entry, SimpleNamespace(cache_dir=None, hf_hub_token=None), data, training)
    assert [len(row["_prompt"]) for row in rows] == [1, 3, 1]
    assert rows[1]["_system"] == "Be brief."
    assert rows[1]["_response"][0] == {"role": "assistant", "content": "first answer to 1"}
    assert json.loads(rows[2]["_tools"]) == json.loads(TOOLS)
