"""The comparison with other tools asks all of them the same, and counts no run in which a verdict is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curator.pair import Order
from tests.benchmarks.neighbours import measure, pairs, tools
from tests.benchmarks.neighbours.measure import Failed, Setting
from tests.conftest import read_rows, write_rows


@pytest.fixture
def data(shared_data: Callable[[str], Path], tmp_path: Path) -> Path:
    """Two small files of real pairs; two rows stand in both, one of them swapped, and one has no response."""
    rows = read_rows(shared_data("prd_vicuna80.jsonl"))[:6]
    swapped = {**rows[1], "response_a": rows[1]["response_b"], "response_b": rows[1]["response_a"]}
    folder = tmp_path / "data"
    folder.mkdir()
    for name in pairs.FILES:
        write_rows(folder / f"{name}.jsonl", [])
    write_rows(folder / "prd_vicuna80.jsonl", [*rows[:3], {**rows[3], "response_a": ""}])
    write_rows(folder / "pandalm.jsonl", [rows[0], swapped, *rows[4:]])
    return folder


@pytest.fixture
def setting(data: Path, tmp_path: Path) -> Setting:
    pairs.write(data, tmp_path, 100)
    return Setting(tmp_path, 10, 0.0, False, None, None)


def verdicts(prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": row["id"], "order": row["order"], "verdict": "A", "p_first": 0.75} for row in prompts]


def test_every_usable_pair_is_asked_about_once_in_both_orders(setting: Setting) -> None:
    rows, prompts = read_rows(setting.folder / "pairs.jsonl"), read_rows(setting.folder / "prompts.jsonl")
    assert len(rows) == 5
    assert [prompt["order"] for prompt in prompts] == [order.value for _ in rows for order in Order]
    for row, ab, ba in zip(rows, prompts[::2], prompts[1::2], strict=True):
        assert ab["id"] == ba["id"]
        assert (ab["output_1"], ab["output_2"]) == (row["response_a"], row["response_b"])
        assert (ba["output_1"], ba["output_2"]) == (row["response_b"], row["response_a"])


def test_a_tool_with_a_template_of_its_own_asks_the_same_text(setting: Setting) -> None:
    template = json.loads((setting.folder / "template.json").read_text())
    for prompt in read_rows(setting.folder / "prompts.jsonl"):
        filled = [{"role": turn["role"], "content": turn["content"].format_map(prompt)} for turn in template]
        assert filled == prompt["messages"]


def test_curator_is_measured_on_all_pairs(setting: Setting) -> None:
    found = measure.curator(setting, ["--batch", "4"], tokenizer=None)
    assert found.requests == 3
    assert 0 < found.judging < found.whole
    with pytest.raises(Failed, match="of 12 prompts, curator asked 10 and judged 10"):
        measure.curator(Setting(setting.folder, 12, 0.0, False, None, None), ["--batch", "4"], tokenizer=None)


def test_missing_and_contradictory_verdicts_are_no_measurement(setting: Setting, tmp_path: Path) -> None:
    prompts, out = setting.folder / "prompts.jsonl", tmp_path / "verdicts.jsonl"
    good = verdicts(read_rows(prompts))
    measure.check(prompts, write_rows(out, good))
    with pytest.raises(Failed, match="9 different verdicts, 9 in all, on 10 prompts"):
        measure.check(prompts, write_rows(out, good[1:]))
    with pytest.raises(Failed, match="10 different verdicts, 11 in all, on 10 prompts"):
        measure.check(prompts, write_rows(out, [*good, good[0]]))
    with pytest.raises(Failed, match="a verdict that its probability does not give"):
        measure.check(prompts, write_rows(out, [*good[1:], {**good[0], "p_first": 0.25}]))


@pytest.mark.benchmark
@pytest.mark.parametrize("tool", tools.TOOLS, ids=lambda tool: tool.name)
def test_a_tool_that_is_installed_answers_everything(tool: tools.Tool, setting: Setting) -> None:
    home = tools.default_home()
    if tools.version(tool, home) is None:
        pytest.skip(f"not installed: python -m tests.benchmarks.neighbours install ({home})")
    found = measure.tool(tool, home, setting, 4)
    assert found.requests == 10
    assert 0 < found.judging <= found.own <= found.whole
