"""Recipes: what they say is what is done, flags go before them, and where a value comes from is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from curator.cli.configuring import masked
from curator.errors import RecipeError
from curator.options import Wanted
from curator.recipes import Recipe, load_recipe, shipped
from curator.resources import first_error, folder
from curator.store import open_store
from curator.store.tasks import Readers, readers
from tests.conftest import Cli, judgments, pairs, write_rows
from tests.fake_sglang import FakeSGLang

# What each shipped recipe must come to: guarantee, alpha, delta, votes, audit; template, rubric; exports.
SHIPPED: dict[str, tuple[tuple[str, float, float, str, float], tuple[str, str | None], list[str]]] = {
    "quickstart": (("fdr", 0.1, 0.1, "majority", 0.0), ("completion", None), []),
    "scope-paper": (("scope", 0.1, 0.1, "majority", 0.0), ("chat", None), []),
    "dpo": (("fdr", 0.1, 0.1, "majority", 0.02), ("chat", None), ["trl"]),
    "robust-dpo": (("pac", 0.15, 0.05, "majority", 0.04), ("chat", None), ["trl"]),
    "kto": (("fdr", 0.05, 0.1, "majority", 0.02), ("chat", None), ["trl-kto"]),
    "reward-model": (("pac", 0.1, 0.1, "majority", 0.02), ("chat", None), ["trl-reward"]),
    "soft-labels": (("fdr", 0.2, 0.1, "majority", 0.02), ("chat", None), ["parquet"]),
    "ranked-pairs": (("fdr", 0.1, 0.1, "majority", 0.02), ("chat", None), ["ranking", "trl"]),
    "helpfulness": (("fdr", 0.1, 0.1, "majority", 0.02), ("chat", "helpfulness"), ["trl"]),
    "harmlessness": (("pac", 0.05, 0.05, "strict", 0.05), ("chat", "harmlessness"), ["trl"]),
    "code": (("fdr", 0.05, 0.1, "majority", 0.02), ("chat", "code"), ["trl"]),
    "pairwise-with-ties": (("fdr", 0.1, 0.1, "strict", 0.02), ("chat_ties", None), ["trl"]),
}

PAIRS, LABELLED = 120, 80


def quality_rows(count: int = PAIRS, labelled: int = LABELLED) -> list[dict[str, Any]]:
    """Rows about which the fake server is sure and right."""
    rows = pairs(count, labelled)
    for i, row in enumerate(rows):
        for side in "ab":
            row[f"response_{side}"] += f" quality {-4 if 'ab'[i % 2] == side else -8}"
    return rows


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "raw.jsonl", quality_rows())


def write(path: Path, **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"name": path.stem, "description": "a test", **values}
    path.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    return path


def test_every_shipped_recipe_is_known_here() -> None:
    assert shipped() == sorted(SHIPPED)
    assert shipped("rubrics") == ["apart", "code", "harmlessness", "helpfulness"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_does_what_it_says(name: str, raw: Path, cli: Cli, tmp_path: Path) -> None:
    rule, (template, rubric), exports = SHIPPED[name]
    label = ("label", raw, "--recipe", name)
    if name == "quickstart":  # its template is for a model that the double is not
        result = cli.json(*label, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(PAIRS)))
    else:
        with FakeSGLang() as server:
            result = cli.json(*label, "--judge-url", server.url, "--no-probe")
        settings = result["judge"]["settings"]
        assert (settings["template"], settings.get("rubric")) == (template, rubric)
    assert cli.code == 0, cli.err
    assert first_error("run", result) is None
    assert tuple(result[key] for key in ("guarantee", "alpha", "delta", "votes")) == rule[:4]
    assert (result["audit"] is not None) == (rule[4] > 0)
    assert (result["failed"], result["calibration"]["errors"], result["accepted"]) == (0, 0, PAIRS - LABELLED)
    assert ("accepted and its label is wrong" in result["promise"]) == (name == "scope-paper")
    found = load_recipe(name)
    assert [wanted.to for wanted in found.exports()] == exports
    written = [(one["to"], one["folder"]) for one in result["exports"]]
    assert written == [("trl", "dataset"), *((to, f"exports/{to}") for to in exports)]
    assert found.values.get("audit", 0.0) == rule[4]
    with open_store(raw.with_suffix(".curated") / "curator.duckdb") as store:
        assert readers(store) == {"helpfulness": Readers(2, 0.1), "harmlessness": Readers(2, 0.2)}.get(name, Readers())


def test_a_recipe_takes_from_another_what_it_does_not_say(tmp_path: Path) -> None:
    base = write(
        tmp_path / "deep" / "base.yaml", alpha=0.3, guarantee="pac", map={"a": "one", "b": "two"},
        exports=[{"to": "trl"}, {"to": "jsonl"}], rubric="mine.yaml",
    )  # fmt: skip
    rubric = write(base.parent / "mine.yaml", criteria=[{"name": "brief", "text": "Shorter is better."}])
    middle = write(tmp_path / "middle.yaml", extends="deep/base.yaml", alpha=0.2, map={"b": "other", "prompt": "ask"})
    top = write(
        tmp_path / "top.yaml", extends="middle.yaml",
        exports=[{"to": "trl-kto", "columns": "minimal", "split": 0.2, "only": "auto", "where": "bpe < 0.1"}],
    )  # fmt: skip
    found = load_recipe(str(top))
    assert (found.name, found.files) == ("top", (top, middle, base))
    assert found.values == {
        "alpha": 0.2,
        "guarantee": "pac",
        "map": {"a": "one", "b": "other", "prompt": "ask"},
        "rubric": str(rubric),
        "exports": [{"to": "trl-kto", "columns": "minimal", "split": 0.2, "only": "auto", "where": "bpe < 0.1"}],
    }
    assert found.origins == {
        "name": (top,), "description": (top,), "alpha": (middle,), "guarantee": (base,), "map": (base, middle),
        "rubric": (base,), "exports": (top,),
    }  # fmt: skip
    assert found.exports() == (Wanted("trl-kto", minimal=True, test=0.2, only="auto", where="bpe < 0.1"),)
    # By name is shipped, even from a recipe of the same name.
    mine = load_recipe(str(write(tmp_path / "dpo.yaml", extends="dpo", alpha=0.07)))
    assert (mine.values["alpha"], mine.values["audit"]) == (0.07, 0.02)
    assert mine.files == (tmp_path / "dpo.yaml", folder("recipes") / "dpo.yaml")


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "one.yaml", extends="two.yaml")
    write(tmp_path / "two.yaml", extends="./one.yaml")
    with pytest.raises(RecipeError, match=r"one\.yaml: a recipe cannot extend itself: .*two\.yaml > .*one\.yaml"):
        load_recipe(str(tmp_path / "one.yaml"))
    with pytest.raises(RecipeError, match="no recipe is named 'nobody'"):
        load_recipe(str(write(tmp_path / "lost.yaml", extends="nobody")))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pairs": "random:0"}, "pairs: does not match"),
        ({"exports": [{"to": "paper"}]}, r"exports\.0\.to: must be one of"),
        ({"exports": [{"columns": "minimal"}]}, r"exports\.0\.to: is missing"),
        ({"label_value": {"1": "left"}}, r"label_value\.1: must be one of"),
        ({"map": {"a=b": "x"}}, "map"),
        ({"order": "mine"}, "order: must be one of"),
        ({"overlap": 2}, "overlap"),
        ({"rubric": "nobody"}, "no rubric is named 'nobody'; there are: apart, code"),
        ({"rubric": {"name": "r", "criteria": []}}, "rubric: criteria: has less than 1 item"),
        ({"judges": [{"rubric": {"name": "r"}}]}, "rubric: criteria: is missing"),
    ],
)
def test_a_mistake_is_named(values: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=says):
        load_recipe(str(write(tmp_path / "wrong.yaml", **values)))


def test_reading_of_a_recipe_is_honoured(cli: Cli, tmp_path: Path) -> None:
    rows = [{"ask": f"p{i}", "one": "x", "other": f"y{i}", "won": str(i % 2)} for i in range(4)]
    raw = write_rows(tmp_path / "table.jsonl", rows)
    fields = {"prompt": "ask", "a": "one", "b": "other", "label": "won"}
    write(tmp_path / "mine.yaml", map=fields, label_value={"0": "a", "1": "b"}, pairs_seed="7", ignore_labels=True)
    values = cli.json("label", raw, "--recipe", tmp_path / "mine.yaml", "--show-config")["values"]
    assert values["map"]["value"] == ["prompt=ask", "a=one", "b=other", "label=won"]
    assert values["label_value"]["value"] == ["0=a", "1=b"]
    assert (values["pairs_seed"]["value"], values["ignore_labels"]["value"]) == ("7", True)
    assert {values[key]["from"] for key in ("map", "label_value", "pairs_seed", "ignore_labels")} == {"recipe"}


def test_every_value_says_where_it_comes_from(
    raw: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write(tmp_path / "base.yaml", alpha=0.3, delta=0.2, ties="exclude", votes="strict", map={"a": "x"})
    mine = write(tmp_path / "mine.yaml", extends="base.yaml", delta="0.07", map={"b": "y"}, exports=[{"to": "trl"}])
    monkeypatch.setenv("CURATOR_RECIPE", str(mine))
    monkeypatch.setenv("CURATOR_VOTES", "weighted")
    monkeypatch.setenv("CURATOR_JUDGE_URL", "http://anna:hush@host:1/x?token=hush")
    monkeypatch.setenv("SGLANG_API_KEY", "hush")
    before = sorted(tmp_path.iterdir())
    command = ("label", raw, "--ties", "error", "--sglang-args", "--tp 2 --api-key hush", "--show-config")
    found = cli.json(*command)
    assert (cli.code, sorted(tmp_path.iterdir())) == (0, before)
    assert "hush" not in cli.out
    assert (found["command"], found["recipes"]) == ("label", [str(mine), str(base)])
    values = {key: (one["value"], one["from"], one["where"]) for key, one in found["values"].items()}
    expected = {
        "raw": (str(raw), "flag", "RAW"),
        "alpha": ("0.3", "recipe", str(base)),
        "delta": ("0.07", "recipe", str(mine)),
        "ties": ("error", "flag", "--ties"),
        "votes": ("weighted", "environment", "CURATOR_VOTES"),
        "guarantee": ("fdr", "default", None),
        "probe": (True, "default", None),
        "map": (["a=x", "b=y"], "recipe", f"{base} + {mine}"),
        "judge_url": (["http://***@host:1/x?***"], "environment", "CURATOR_JUDGE_URL"),
        "sglang_args": ("--tp 2 --api-key ***", "flag", "--sglang-args"),
        "exports": ([{"to": "trl"}], "recipe", str(mine)),
        "api_key": ("***", "environment", "SGLANG_API_KEY"),
    }
    assert {key: values[key] for key in expected} == expected
    assert cli(*command) == 0
    assert "hush" not in cli.out
    lines = {line.split()[0]: line.split() for line in cli.out.splitlines()}
    assert lines["recipe"] == ["recipe", str(mine), ">", str(base)]
    assert lines["delta"] == ["delta", "0.07", "recipe", str(mine)]
    assert lines["votes"] == ["votes", "weighted", "CURATOR_VOTES"]
    assert lines["group_by"] == ["group_by", "-", "default"]


@pytest.mark.parametrize("command", ["audit", "calibrate", "doctor", "plan", "queue", "review"])
def test_other_commands_show_theirs(command: str, cli: Cli, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.yaml", alpha=0.3, order="diverse", min_label_mass=0.5, template="chat_ties")
    db = () if command == "doctor" else ("--db", tmp_path / "none.duckdb")
    out = ("--out", tmp_path / "tasks") if command == "queue" else ()
    planned = ("--labels",) if command == "plan" else ()
    assert cli(command, *db, *out, *planned, "--recipe", mine, "--show-config") == 0
    says = {
        "audit": ["min_label_mass", "0.5"], "calibrate": ["alpha", "0.3"], "doctor": ["template", "chat_ties"],
        "plan": ["template", "chat_ties"], "queue": ["order", "diverse"], "review": ["order", "diverse"],
    }  # fmt: skip
    assert [*says[command], "recipe", str(mine)] in [line.split() for line in cli.out.splitlines()]
    assert sorted(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host:30000", "http://host:30000"),
        ("https://user@host/v1", "https://***@host/v1"),
        ("http://a:b/c@d@host", "http://***@host"),
        ("raw.jsonl", "raw.jsonl"),
        ("--hf-token=abc --tokenizer-path dir", "--hf-token=*** --tokenizer-path dir"),
        ("--max-total-tokens 100", "--max-total-tokens 100"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_recipes_are_listed_and_shown(cli: Cli, tmp_path: Path) -> None:
    assert cli("recipes") == 0
    lines = cli.out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(SHIPPED)
    assert max(map(len, lines)) <= 150
    assert cli("recipes", "kto") == 0
    assert cli.out == (folder("recipes") / "kto.yaml").read_text()
    assert cli("recipes", "kto", "--resolved") == 0
    resolved = yaml.safe_load(cli.out)
    assert (resolved["alpha"], resolved["audit"], resolved["exports"]) == (
        0.05,
        0.02,
        [{"to": "trl-kto", "split": 0.1}],
    )
    mine = tmp_path / "resolved.yaml"
    mine.write_text(cli.out, encoding="utf-8")
    assert load_recipe(str(mine)).values == load_recipe("kto").values
    shown = cli.json("recipes", "kto")
    assert shown["values"] == load_recipe("kto").values
    assert [Path(path).name for path in shown["files"]] == ["kto.yaml", "dpo.yaml"]
    assert Path(shown["origins"]["audit"][0]).name == "dpo.yaml"
    assert [one["name"] for one in cli.json("recipes")["recipes"]] == sorted(SHIPPED)
    assert [one["name"] for one in cli.json("recipes", "--rubrics")["rubrics"]] == shipped("rubrics")
    assert cli("recipes", "--rubrics", "code") == 0
    assert cli.out == (folder("recipes") / "rubrics" / "code.yaml").read_text()
    assert len(cli.json("recipes", "--rubrics", "code")["criteria"]) == 4
    assert cli("recipes", "--resolved") == 2
    assert cli("recipes", "nobody") == 1
    assert "no recipe is named 'nobody'" in cli.err


def test_every_shipped_recipe_is_found_by_name_and_by_path() -> None:
    for name in SHIPPED:
        by_name, by_path = load_recipe(name), load_recipe(str(folder("recipes") / f"{name}.yaml"))
        assert isinstance(by_name, Recipe)
        assert (by_name.values, by_name.name) == (by_path.values, name)


def test_the_run_keeps_how_many_people_answer_and_writes_the_queue_in_the_order_asked_for(
    cli: Cli, tmp_path: Path
) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", quality_rows(40, 0))
    log = write_rows(tmp_path / "log.jsonl", judgments(40))
    mine = write(tmp_path / "mine.yaml", order="random", annotators_per_pair=2, overlap=0.5)
    assert cli("label", raw, "--judgments", log, "--recipe", mine) == 4
    with open_store(tmp_path / "raw.curated" / "curator.duckdb") as store:
        assert readers(store) == Readers(2, 0.5)
    result = json.loads((tmp_path / "raw.curated" / "run.json").read_text())
    assert result["queue"]["answers"] > result["queue"]["tasks"] == 40
    assert cli("label", raw, "--judgments", log, "--out", tmp_path / "one", "--overlap", "0.5") == 1
    assert "give --annotators-per-pair" in cli.err


def test_a_recipe_that_is_nested_without_end(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("name: x\ndescription: " + "[" * 5_000, encoding="utf-8")
    with pytest.raises(RecipeError, match="is nested too deeply"):
        load_recipe(str(path))
