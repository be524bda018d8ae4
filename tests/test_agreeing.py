"""`curator agreement` over whole stores: people, judges, groups of people, and a data set for each group."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import beta, bootstrap

from curator.pair import Verdict
from curator.resources import first_error
from curator.steps.agreeing import folder_names
from curator.store import open_store
from curator.store.labels import Label, add_labels
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

Rows = list[dict[str, Any]]

CODES = {"a": 0, "b": 1, "tie": 2}


def agreement(cli: Cli, db: Path, *more: object) -> dict[str, Any]:
    result = cli.json("agreement", "--db", db, *more)
    assert cli.code == 0
    assert first_error("agreement", result) is None
    return result


def sql(cli: Cli, db: Path, query: str) -> Rows:
    cli("sql", query, "--db", db, "--json")
    return [json.loads(line) for line in cli.out.splitlines()]


# ------------------------------------------------------------------------------------------------ real pairs


def test_real_people_and_judges(shared_data: Callable[[str], Path], cli: Cli, tmp_path: Path) -> None:
    """The 480 pairs with three votes, and one published judge, against figures worked out here in another way."""
    rows = read_rows(shared_data("prd_vicuna80.jsonl"))
    fields = ("id", "prompt", "response_a", "response_b")
    votes = [{**{key: row[key] for key in fields}, "label": vote} for row in rows for vote in row["annotators"]]
    raw, log = write_rows(tmp_path / "raw.jsonl", votes), shared_data("prd_vicuna80.judgements.jsonl")
    cli("label", raw, "--judgments", log, "--judge", "gpt4")
    db = tmp_path / "raw.curated" / "curator.duckdb"
    found = agreement(cli, db)
    people, (judge,) = found["people"], found["judges"]

    three = [row["annotators"] for row in rows if len(row["annotators"]) > 1]
    shares = [np.mean([x == y for x, y in combinations(said, 2)]) for said in three]
    assert people["pairs"] == len(three) == 480
    assert people["agreement"] == pytest.approx(np.mean(shares))
    same = sum(shares)
    assert people["low"] == pytest.approx(beta.ppf(0.025, same, 480 - same + 1))
    assert people["high"] == pytest.approx(beta.ppf(0.975, same + 1, 480 - same))
    coded = np.array([[CODES[vote] for vote in said] for said in three]).T

    def alpha(*columns: np.ndarray) -> float:
        return float(krippendorff.alpha(np.array(columns), level_of_measurement="nominal"))

    assert people["alpha"] == pytest.approx(alpha(*coded))
    drawn = bootstrap(
        tuple(coded), alpha, paired=True, vectorized=False, n_resamples=600, method="percentile", rng=1
    ).confidence_interval
    assert (people["alpha_low"], people["alpha_high"]) == pytest.approx(tuple(drawn), abs=0.012)

    second = next(one for one in found["annotators"] if one["annotator"] == "raw.jsonl#2")
    assert second["agreement"] == pytest.approx(np.mean([(said[0] == said[1]) / 2 + (said[2] == said[1]) / 2
                                                         for said in three]))  # fmt: skip
    assert (second["labels"], second["ties"]) == (480, sum(said[1] == "tie" for said in three))
    assert (second["left"], second["seconds"], second["weight"]) == (None, None, None), "a file does not say"

    said: dict[str, list[float]] = {}
    for reply in read_rows(log):
        if reply["judge"] == "gpt4":
            said.setdefault(reply["id"], []).append(reply.get("p_a", {"a": 1, "b": 0, "tie": 0.5}[reply["verdict"]]))
    judged = {name: "a" if sum(p) > 1 else "b" if sum(p) < 1 else "tie" for name, p in said.items() if len(p) == 2}
    assert judge["name"] == "gpt4"
    assert judge["pairs"] == len(judged) == 800
    each = [np.mean([vote == judged[row["id"]] for vote in row["annotators"]]) for row in rows]
    assert judge["agreement"] == pytest.approx(np.mean(each))
    assert judge["ties"] == sum(verdict == "tie" for verdict in judged.values())

    assert cli("agreement", "--db", db) == 0
    assert f"agree on {people['agreement']:.3f}" in cli.out
    assert "annotators-per-pair" not in cli.out


# ------------------------------------------------------------------------------------------------ made-up pairs


@pytest.fixture
def labelled(cli: Cli, tmp_path: Path) -> tuple[Path, list[str]]:
    """A store of 40 judged pairs without labels, and their ids in order."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(40))
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(40, wrong=[0, 1])))
    db = tmp_path / "raw.curated" / "curator.duckdb"
    return db, [row["pair_id"] for row in sql(cli, db, "SELECT pair_id FROM input ORDER BY position")]


def say(db: Path, *said: Label) -> None:
    with open_store(db) as store:
        add_labels(store, said)


def test_what_counts_and_what_does_not(labelled: tuple[Path, list[str]], cli: Cli) -> None:
    db, ids = labelled
    hostile = "\x1b[31mmallory\n"
    say(
        db,
        *(Label(one, "anna", Verdict.A, left_side="a", seconds=4.0 + i) for i, one in enumerate(ids[:10])),
        Label(ids[0], "ben", Verdict.A, left_side="a"), Label(ids[1], "ben", Verdict.B, left_side="a"),
        Label(ids[2], "ben", Verdict.BOTH_BAD, left_side="a"), Label(ids[3], "ben", Verdict.SKIP),
        Label(ids[4], "ben", Verdict.A, blind=False), Label(ids[5], hostile, Verdict.B, left_side="b"),
    )  # fmt: skip
    say(db, Label(ids[9], "anna", None), Label(ids[1], "ben", Verdict.A, left_side="a"))
    found = agreement(cli, db)
    assert found["labels"] == {
        "pairs": 9, "annotators": 3, "labels": 13, "skips": 1, "not_blind": 1, "asked_again": 0,
    }  # fmt: skip
    mallory, anna, ben = found["annotators"]
    assert (anna["annotator"], ben["annotator"]) == ("anna", "ben")
    assert (anna["labels"], anna["pairs"], anna["agreement"]) == (9, 4, 0.5), "agrees on 0 and 1; 2 is a tie, 5 is b"
    assert (anna["sided"], anna["left"], anna["seconds"]) == (9, 1.0, 8.0)
    assert anna["left_low"] == pytest.approx(0.025 ** (1 / 9)), "all nine on the left"
    assert (ben["labels"], ben["ties"], ben["skips"], ben["sided"], ben["pairs"]) == (3, 1, 1, 2, 3)
    assert (mallory["agreement"], mallory["left"]) == (0.0, 1.0)
    # The judge is wrong on pairs 0 and 1; a is right on even ones. So it says b, a, a, b, a, b, a, b, a.
    (judge,) = found["judges"]
    truth = [[0, 0], [1, 1], [1, 0], [0], [1], [0, 1], [1], [0], [1]]
    assert judge["agreement"] == pytest.approx(np.mean([np.mean(one) for one in truth]))
    cli("agreement", "--db", db)
    assert "\x1b" not in cli.out
    assert "not counted: 1 by people shown the judge's verdict" in cli.out


def test_without_a_second_label_it_says_what_to_do(labelled: tuple[Path, list[str]], cli: Cli) -> None:
    db, ids = labelled
    assert cli("agreement", "--db", db) == 0
    assert "0 by 0 annotators on 0 pairs" in cli.out
    say(db, *(Label(one, "anna", Verdict.A) for one in ids[:9]))
    assert agreement(cli, db)["people"]["agreement"] is None
    cli("agreement", "--db", db)
    assert "curator queue" in cli.out
    assert "--annotators-per-pair 2" in cli.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one: [anna]\ntwo: [ben, anna]\n", "'anna' is in the groups 'one' and 'two'"),
        ("one: [anna]\none: [ben]\n", "stands twice"),
        ("one: anna\n", "one: "),
        ("one: []\n", "one: "),
        ("one: [{anna: ben}]\n", "one.0"),
        ("{}\n", "row"),
        ("one: [!!python/object/apply:os.system [ls]]\n", "could not determine a constructor"),
        ('"\\ud800": [anna]\n', "names must be text"),
        ('one: ["\\ud800"]\n', "a name is no text"),
        ("1: [anna]\n", "names must be text"),
        ("one: [2020-01-01]\n", "names must be text"),
        ("- one\n", "row"),
    ],
)
def test_a_bad_group_file_is_an_error(text: str, message: str, cli: Cli, tmp_path: Path) -> None:
    groups = tmp_path / "groups.yaml"
    groups.write_text(text)
    assert cli("agreement", "--db", tmp_path / "none.duckdb", "--annotator-groups", groups) == 1
    assert message in cli.err
    assert cli.err.startswith("Error: ")


def test_data_sets_need_groups_and_a_free_folder(labelled: tuple[Path, list[str]], cli: Cli, tmp_path: Path) -> None:
    db, _ = labelled
    assert cli("agreement", "--db", db, "--datasets", tmp_path / "by") == 2
    groups = tmp_path / "groups.yaml"
    groups.write_text("one: [anna]\n")
    kept = tmp_path / "by" / "one" / "thesis.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert cli("agreement", "--db", db, "--annotator-groups", groups, "--datasets", tmp_path / "by") == 1
    assert "other things" in cli.err
    assert kept.read_text() == "mine"


def test_folder_names_stay_in_their_folder_and_apart() -> None:
    hostile = ["../../etc", "..", ".", "", "a/b", "a_b", "A_B", "con\x00", "\N{SNOWMAN}", "x" * 300, "-rf", "a\\b"]
    found = folder_names(hostile)
    assert found["a_b"] == "a_b"
    assert len({name.casefold() for name in found.values()}) == len(hostile)
    for name in found.values():
        assert Path(name).name == name
        assert not name.startswith(".")
        assert name.isascii()
        assert len(name) < 100
    clash = folder_names(["a/", folder_names(["a/"])["a/"]])
    assert len(set(clash.values())) == 2


# ------------------------------------------------------------------------------------------------ groups of people

PAIRS, LABELLED = 500, 250


def voted(apart: int) -> Rows:
    """Four votes on each labelled pair: two people who are right, and two who want the other on every `apart`-th."""
    rows: Rows = []
    for i, row in enumerate(pairs(PAIRS, labelled=LABELLED)):
        if row["label"] is None:
            rows.append(row)
            continue
        other = {"a": "b", "b": "a"}[row["label"]] if apart and i % apart == 0 else row["label"]
        rows += [{**row, "label": label} for label in (row["label"], row["label"], other, other)]
    return rows


FIRST, SECOND = "the first", "../second"


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    path = tmp_path / "groups.yaml"
    path.write_text(f'"{FIRST}": [raw.jsonl, raw.jsonl#2]\n"{SECOND}": [raw.jsonl#3, raw.jsonl#4, nobody]\n')
    return path


def state(cli: Cli, db: Path) -> list[Rows]:
    tables = ("decision", "calibration", "human_label", "score", "setting", "annotator_weight", "run", "audit", "draw")
    return [sql(cli, db, f"SELECT * FROM {table} ORDER BY ALL") for table in tables]


def rows_of(folder: Path) -> Rows:
    return pq.read_table(folder / "data").to_pylist()


def test_each_group_gets_its_own_data_set_and_promise(cli: Cli, tmp_path: Path, groups: Path) -> None:
    rows = voted(apart=3)
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    log = write_rows(tmp_path / "log.jsonl", judgments(PAIRS, 0.9, wrong=range(7, PAIRS, 40)))
    rule = ("--alpha", "0.15", "--guarantee", "pac", "--votes", "weighted")
    whole = cli.json("label", raw, "--judgments", log, *rule)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    before = state(cli, db)
    found = agreement(cli, db, "--annotator-groups", groups, "--datasets", tmp_path / "by")
    assert state(cli, db) == before

    (between,) = found["groups"]["between"]
    assert between["differ"]
    assert between["beyond_care"]
    assert between["difference"] == pytest.approx(np.mean([i % 3 == 0 for i in range(LABELLED)]))
    assert "really differ" in between["sentence"]
    assert [one["agreement"] for one in found["groups"]["groups"]] == [1.0, 1.0]
    assert found["groups"]["groups"][1]["absent"] == ["nobody"]

    first, second = found["datasets"]
    assert (first["annotators"], second["annotators"]) == (2, 2)
    assert Path(first["out"]).parent == Path(second["out"]).parent == tmp_path / "by"
    # What a store makes that only ever knew the first group.
    alone = write_rows(tmp_path / "alone.jsonl", (row for i, row in enumerate(rows) if i % 4 < 2 or i >= 4 * LABELLED))
    expected = cli.json("label", alone, "--judgments", log, *rule)
    for key in ("threshold", "accepted", "pool", "coverage", "promise", "dataset"):
        assert first[key] == expected[key]
    assert first["accepted"] > 200
    assert first["calibration"]["n"] == expected["calibration"]["n"] == LABELLED
    key = lambda row: row["pair_id"]  # noqa: E731
    assert sorted(rows_of(Path(first["out"])), key=key) == sorted(
        rows_of(tmp_path / "alone.curated" / "dataset"), key=key
    )
    # The judge shares the taste of the first group: for the second no promise can be kept, nothing is auto-labelled.
    assert (second["threshold"], second["accepted"], second["dataset"]) == (None, 0, {"auto": 0, "human": LABELLED})
    wanted = {row["prompt"]: row for row in rows[3 : 4 * LABELLED : 4]}
    for row in rows_of(Path(second["out"])):
        vote = wanted[row["prompt"][0]["content"]]
        assert row["chosen"][0]["content"] == vote[f"response_{vote['label']}"]
    assert whole["accepted"] != first["accepted"]

    card = (Path(first["out"]) / "README.md").read_text()
    assert "one group of annotators, the first (2 of them with labels here)" in card
    assert first["promise"] in card
    assert "one group of annotators" not in (tmp_path / "raw.curated" / "dataset" / "README.md").read_text()
    cli("agreement", "--db", db, "--annotator-groups", groups, "--datasets", tmp_path / "by")
    assert f"0 auto labels, {LABELLED} human labels of {SECOND}" in cli.out
    assert state(cli, db) == before


def test_groups_that_agree_show_no_sign(cli: Cli, tmp_path: Path, groups: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", voted(apart=0))
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(PAIRS)))
    found = agreement(cli, tmp_path / "raw.curated" / "curator.duckdb", "--annotator-groups", groups)
    (between,) = found["groups"]["between"]
    assert (between["differ"], between["difference"]) == (False, 0.0)
    assert between["sentence"].startswith("There is no sign that people of 'the first' and '../second' differ")
    assert found["datasets"] is None


def test_a_group_with_few_labels_gets_no_auto_labels_and_is_told_so(cli: Cli, tmp_path: Path, groups: Path) -> None:
    rows = [row for i, row in enumerate(voted(apart=0)) if i >= 4 * LABELLED or i % 4 < 2 or i < 12]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(PAIRS)))
    db = tmp_path / "raw.curated" / "curator.duckdb"
    found = agreement(cli, db, "--annotator-groups", groups, "--datasets", tmp_path / "by")
    assert [one["dataset"]["auto"] for one in found["datasets"]] == [PAIRS - LABELLED, 0]
    assert found["datasets"][1]["labels_missing"] > 0
    (between,) = found["groups"]["between"]
    assert "cannot be told" in between["sentence"]
    cli("agreement", "--db", db, "--annotator-groups", groups, "--datasets", tmp_path / "by")
    assert "Too few labels of this group" in cli.out


def test_data_sets_want_a_decision(cli: Cli, tmp_path: Path, groups: Path) -> None:
    db = tmp_path / "empty.duckdb"
    with open_store(db):
        pass
    assert cli("agreement", "--db", db, "--annotator-groups", groups, "--datasets", tmp_path / "by") == 1
    assert "nothing is decided yet" in cli.err
    assert not (tmp_path / "by").exists()
