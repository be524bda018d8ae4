"""`curator plan --cost`: what it prints, and what it says to what it cannot use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import Message, Order
from curator.prompts import Question
from curator.recipes import load_template
from curator.resources import first_error
from tests.conftest import Cli, judgments, pairs, write_rows
from tests.test_tokenizer import chatml


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "raw.jsonl", pairs(60, labelled=30))


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "judge.yaml"
    text = 'name: short\nkind: completion\nlabels: ["A", "B"]\n'
    path.write_text(text + 'text: "rubric {{ conversation[0].content }} {{ first }} {{ second }} ?"\n')
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A byte-level tokenizer with a chat template, as a folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    model = chatml()
    (folder / "tokenizer.json").write_text(json.dumps(model.tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": model.chat_template, **model.special}))
    return folder


def test_every_figure_of_a_plan(raw: Path, template: Path, cli: Cli) -> None:
    result = cli.json(
        "plan", raw, "--cost", "--parameters", "7e9", "--template", template, "--gpus", 4, "--gpu-tflops", 200,
        "--price", 3,
    )  # fmt: skip
    assert cli.code == 0
    assert first_error("plan", result) is None
    cost = result["cost"]
    prompts = [
        f"rubric prompt {i} {x} answer to {i} {y} answer to {i} ?"
        for i in range(60)
        for x, y in (("first", "second"), ("second", "first"))
    ]
    sent = sum(map(len, prompts)) / 4
    assert cost["input"] == {"rows": 60, "pairs": 60, "duplicates": 0, "rejected": 0}
    assert cost["sample"] == {"pairs": 60, "prompts": 60, "whole": True}
    assert (cost["pairs"], cost["tokenizer"], cost["tokens_a_prompt_error"]) == (60, None, 0)
    assert cost["tokens_a_prompt"] == pytest.approx(sent / 120)
    assert cost["estimate_range"] == [4 / 5, 4 / 3]
    assert cost["no_cache"]["tokens"] == pytest.approx(sent)
    # "rubric prompt " once, then the trie of the numbers 0 to 59, then " first..." and " second..." share a space.
    trie = {prompt[:end] for prompt in prompts for end in range(1, len(prompt) + 1)}
    best = cost["perfect_cache"]
    assert best["tokens"] == pytest.approx(len(trie) / 4)
    assert best["flops"] == pytest.approx(2 * 7e9 * best["tokens"])
    assert best["gpu_hours"] == pytest.approx(best["flops"] / 200e12 / 3600)
    assert best["wall_hours"] == pytest.approx(best["gpu_hours"] / 4)
    assert best["price"] == pytest.approx(best["gpu_hours"] * 3)
    one = {prompt[:end] for prompt in prompts[::2] for end in range(1, len(prompt) + 1)}
    assert cost["two_orders_over_one"] == pytest.approx(len(trie) / len(one))


def test_tokens_are_those_of_the_judge(raw: Path, tokenizer: Path, cli: Cli) -> None:
    cost = cli.json("plan", raw, "--cost", "--parameters", "14B", "--tokenizer", tokenizer)["cost"]
    judge, template = JudgeTokenizer.load(str(tokenizer)), load_template("chat")
    prompts = []
    for i in range(60):
        texts = (f"first answer to {i}", f"second answer to {i}")
        for first, second in (texts, texts[::-1]):
            question = Question("", Order.AB, (Message("user", f"prompt {i}"),), first, second)
            prompts.append(tuple(judge.encode(template, question)))
    assert cost["no_cache"]["tokens"] == pytest.approx(sum(map(len, prompts)))
    assert cost["perfect_cache"]["tokens"] == pytest.approx(
        len({p[:end] for p in prompts for end in range(1, len(p) + 1)})
    )
    assert cost["estimate_range"] is None
    assert cost["tokenizer"] == str(tokenizer)


def test_the_table_shows_its_arithmetic(raw: Path, template: Path, cli: Cli) -> None:
    options = ("--template", template, "--count", "15M", "--gpus", 8, "--price", "2.50", "--sample", 20)
    assert cli("plan", raw, "--cost", "--parameters", "14B", *options) == 0
    lines = [line.split(maxsplit=1) for line in cli.out.splitlines()]
    said = {line[0]: line[1] for line in lines if line[0].isalpha()}
    assert said["input"] == "60 rows = about 60 pairs + 0 duplicates + 0 rejects"
    assert said["sample"] == "20 pairs of 20 prompts: whole prompts, drawn at random"
    assert said["prompt"].endswith("tokens, estimated: bytes / 4")
    assert said["sent"].startswith("15,000,000 pairs x 2 orders x 14")
    assert said["sent"].endswith(" M tokens")
    assert "1 GPUs" not in cli.out
    assert "GPU-hours / 8 GPUs = " in cli.out
    assert "400 TFLOP/s" in said["assumed"]
    assert "0.80 to 1.33 times these" in said["estimated"]


def test_a_store_plans_as_the_file_it_was_made_of(raw: Path, cli: Cli, tmp_path: Path) -> None:
    log = write_rows(tmp_path / "log.jsonl", judgments(60))
    cli("label", raw, "--judgments", log)
    plan = ("plan", "--cost", "--parameters", "14B")
    from_file = cli.json(*plan, raw)
    assert cli.json(*plan, "--db", tmp_path / "raw.curated" / "curator.duckdb") == from_file
    zipped = tmp_path / "raw.jsonl.gz"
    zipped.write_bytes(gzip.compress(raw.read_bytes()))
    assert cli.json(*plan, zipped) == from_file


def test_bad_rows_and_duplicates_are_counted(raw: Path, cli: Cli) -> None:
    lines = raw.read_bytes().splitlines()
    raw.write_bytes(b"\n".join([*lines, b"{broken", *lines[:7]]))
    cost = cli.json("plan", raw, "--cost", "--parameters", "14B")["cost"]
    assert cost["input"] == {"rows": 68, "pairs": 60, "duplicates": 7, "rejected": 1}
    assert cost["pairs"] == 60


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "say what to plan: --cost"),
        (("--cost",), 2, "--cost needs --parameters"),
        (("--cost", "--parameters", "13 000 000"), 2, "'13 000 000' is no number: write 14B"),
        (("--cost", "--parameters", "14"), 2, "14 billion are 14B"),
        (("--cost", "--parameters", "-7B"), 2, "'-7B' is no number"),
        (("--cost", "--parameters", "7B", "--count", "0"), 2, "no whole number from 1"),
        (("--cost", "--parameters", "7B", "--gpus", "0"), 2, "--gpus"),
        (("--cost", "--parameters", "7B", "--gpu-tflops", "0"), 2, "--gpu-tflops"),
        (("--cost", "--parameters", "7B", "--gpu-tflops", "nan"), 2, "no number to work with"),
        (("--cost", "--parameters", "7B", "--price", "-1"), 2, "--price"),
        (("--cost", "--parameters", "7B", "--sample", "0"), 2, "--sample"),
        (("--cost", "--parameters", "7B", "--template", "nope"), 1, "no template is named 'nope'"),
        (("--cost", "--parameters", "7B", "--tokenizer", "."), 1, "tokenizer.json: there is no such file"),
        (("--cost", "--parameters", "7B", "--input-format", "nope"), 1, "no raw format is named 'nope'"),
        (("--cost", "--parameters", "7B", "--db", "store.duckdb"), 2, "not both"),
    ],
)
def test_what_cannot_be_planned(raw: Path, cli: Cli, arguments: tuple[str, ...], code: int, message: str) -> None:
    assert cli("plan", raw, *arguments) == code
    assert message in cli.err
    assert cli.out == ""


def test_no_input_and_no_pairs(cli: Cli, tmp_path: Path) -> None:
    cost = ("--cost", "--parameters", "7B")
    assert cli("plan", *cost) == 2
    assert "give RAW, or --db" in cli.err
    assert cli("plan", tmp_path / "none.jsonl", *cost) == 1
    assert "No such file" in cli.err
    assert cli("plan", "--db", tmp_path / "none.duckdb", *cost) == 1
    assert "there is no store" in cli.err
    bad = write_rows(tmp_path / "bad.jsonl", [{"prompt": "p", "response_a": "x", "response_b": "x"}])
    assert cli("plan", bad, *cost) == 1
    assert "no usable pair in it" in cli.err
    assert "line 1: response_b is identical" in cli.err


def test_a_template_that_says_nothing(raw: Path, template: Path, cli: Cli) -> None:
    text = template.read_text().partition("text:")[0]
    template.write_text(text + 'text: "{% if conversation|length > 1 %}rubric{% endif %}"\n')
    assert cli("plan", raw, "--cost", "--parameters", "7B", "--template", template) == 1
    assert f"the template makes an empty judge prompt of {raw}, line 1" in cli.err


def test_a_model_without_a_chat_template_needs_a_completion_template(raw: Path, tokenizer: Path, cli: Cli) -> None:
    (tokenizer / "tokenizer_config.json").unlink()
    plan = ("plan", raw, "--cost", "--parameters", "7B", "--tokenizer", tokenizer)
    assert cli(*plan) == 1
    assert "choose a completion template" in cli.err
    assert cli(*plan, "--template", "completion") == 0
