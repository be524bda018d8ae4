"""Rubrics: whoever judges by other criteria is another judge, and criteria judged apart are several."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from curator.recipes import load_rubric
from tests.conftest import Cli, judgments, write_rows
from tests.fake_sglang import FakeSGLang
from tests.test_recipes import LABELLED, PAIRS, quality_rows, write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "raw.jsonl", quality_rows())


APART = load_rubric("apart")


def test_criteria_judged_apart_are_judges_of_their_own(raw: Path, cli: Cli) -> None:
    command = ("label", raw, "--rubric", "apart", "--no-probe")
    with FakeSGLang() as server:
        result = cli.json(*command, "--judge-url", server.url)
        texts = [text for body in server.bodies for text in body["text"]]
        again = cli.json(*command, "--judge-url", server.url, "--combine", "fitted", "--fit-fraction", "0.3")
    names = ["fake-judge, correctness", "fake-judge, instructions", "fake-judge, clarity"]
    assert [one["name"] for one in result["judges"]] == names
    assert result["judge"]["name"] == " + ".join(names)
    assert result["judgments"] == {"cached": 0, "asked": 3 * 2 * PAIRS, "retried": 0}
    assert result["accepted"] == PAIRS - LABELLED
    for one in APART.criteria:
        by = [text for text in texts if one.text in text]
        assert len(by) == 2 * PAIRS
        assert not any(other.text in text for text in by for other in APART.criteria if other is not one)
    # Weights are fitted on what is stored.
    assert again["judgments"] == {"cached": 3 * 2 * PAIRS, "asked": 0, "retried": 0}
    assert (again["panel"]["combine"], len(again["panel"]["weights"])) == ("fitted", 3)


def test_another_rubric_is_another_judge(raw: Path, cli: Cli, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", criteria=[{"name": "brief", "text": "Shorter is better.", "weight": 2}])
    values = yaml.safe_load(mine.read_text())
    with FakeSGLang() as server:
        label = ("label", raw, "--judge-url", server.url, "--no-probe")
        plain = cli.json(*label)
        first = cli.json(*label, "--rubric", mine)
        same = cli.json(*label, "--rubric", mine)
        values["criteria"][0]["weight"] = 3
        other = cli.json(*label, "--rubric", write(mine, **values))
    assert [one["judgments"]["asked"] for one in (plain, first, same, other)] == [2 * PAIRS, 2 * PAIRS, 0, 2 * PAIRS]
    assert "rubric" not in plain["judge"]["settings"]
    assert (first["judge"]["settings"]["rubric"], first["judge"]["name"]) == ("mine", "fake-judge, brief")
    assert len({one["judge"]["judge_id"] for one in (plain, first, same, other)}) == 3


def test_a_rubric_wants_a_judge_that_is_asked_and_a_template_with_room(raw: Path, cli: Cli, tmp_path: Path) -> None:
    log = write_rows(tmp_path / "log.jsonl", judgments(PAIRS))
    assert cli("label", raw, "--judgments", log, "--rubric", "code") == 2
    assert "those of --judgments have judged already" in cli.err
    # In a recipe it is for whoever is asked.
    assert cli("label", raw, "--judgments", log, "--recipe", "code") == 0
    assert cli("label", raw, "--rubric", "code", "--template", "completion") == 1
    assert "template 'completion' takes no rubric" in cli.err
    heavy = write(tmp_path / "heavy.yaml", apart=True, criteria=[{"name": "x", "text": "y", "weight": 2}])
    assert cli("label", raw, "--rubric", heavy) == 1
    assert "criteria judged apart weigh the same" in cli.err
    twice = write(tmp_path / "twice.yaml", criteria=[{"name": "x", "text": "y"}, {"name": "x", "text": "z"}])
    assert cli("label", raw, "--rubric", twice) == 1
    assert "two criteria are named 'x'" in cli.err


def test_a_plan_counts_the_rubric(raw: Path, cli: Cli) -> None:
    plan = ("plan", raw, "--cost", "--parameters", "14B")
    tokens = {
        name: cli.json(*plan, *more)["cost"]["tokens_a_prompt"]
        for name, more in {"plain": (), "rubric": ("--rubric", "code"), "recipe": ("--recipe", "code")}.items()
    }
    assert tokens["rubric"] == tokens["recipe"] != tokens["plain"]
    assert cli(*plan, "--rubric", "apart") == 2
    assert "makes 3" in cli.err


def test_what_a_recipe_says_of_one_judge_goes_before_what_it_says_for_all(cli: Cli, raw: Path, tmp_path: Path) -> None:
    with FakeSGLang() as server:
        judges = [{"urls": [server.url]}, {"urls": [server.url], "template": "persona_reader", "rubric": "code"}]
        mine = write(tmp_path / "mine.yaml", template="persona_expert", judges=judges, alpha=0.2)
        label = ("label", raw, "--recipe", mine, "--no-probe")
        with_recipe, with_flag = cli.json(*label), cli.json(*label, "--template", "chat")
    name = "fake-judge (persona_expert) + fake-judge (persona_reader, code)"
    assert with_recipe["judge"]["name"].split(" + ") == name.split(" + ")
    assert with_flag["judge"]["name"] == "fake-judge (chat) + fake-judge (chat, code)"
