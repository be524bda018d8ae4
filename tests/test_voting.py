"""How several labels of one pair become one, through whole runs."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curator.agreement import PRIOR
from curator.options import Rule, Votes
from curator.pair import Verdict
from curator.steps.voting import resolve_votes
from curator.store import Store, open_store
from curator.store.agreement import resolution
from curator.store.labels import Label, add_labels
from tests.conftest import Cli, judgments, pairs, write_rows

PAIRS, LABELLED = 400, 240
ANSWERS = ("a", "b", "tie")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A raw file whose labelled pairs have two or three votes: the second errs on every eighth, the third more."""
    rng, rows = np.random.default_rng(11), []
    for i, row in enumerate(pairs(PAIRS, labelled=LABELLED)):
        if row["label"] is None:
            rows.append(row)
            continue
        wrong = {"a": "b", "b": "a"}[row["label"]]
        votes = [row["label"], wrong if i % 8 == 0 else row["label"]]
        votes += [rng.choice([row["label"], wrong, "tie"], p=[0.6, 0.2, 0.2])] if i % 3 == 0 else []
        rows += [{**row, "label": str(vote)} for vote in votes]
    write_rows(tmp_path / "raw.jsonl", rows)
    write_rows(tmp_path / "log.jsonl", judgments(PAIRS, 0.9, wrong=range(5, PAIRS, 20)))
    return tmp_path


def label(cli: Cli, folder: Path, *more: object) -> dict[str, Any]:
    return cli.json("label", folder / "raw.jsonl", "--judgments", folder / "log.jsonl", "--alpha", "0.25", *more)


def sql(cli: Cli, folder: Path, query: str) -> list[dict[str, Any]]:
    cli("sql", query, "--db", folder / "raw.curated" / "curator.duckdb", "--json")
    return [json.loads(line) for line in cli.out.splitlines()]


def said(cli: Cli, folder: Path) -> dict[str, dict[str, str]]:
    """What each annotator said, by pair."""
    found: dict[str, dict[str, str]] = {}
    for row in sql(cli, folder, "SELECT pair_id, annotator, verdict FROM human_label"):
        found.setdefault(row["pair_id"], {})[row["annotator"]] = row["verdict"]
    return found


def weights(votes: dict[str, dict[str, str]]) -> dict[str, float]:
    shares: dict[str, list[float]] = {}
    for words in votes.values():
        for name, word in words.items():
            others = [other for who, other in words.items() if who != name]
            if others:
                shares.setdefault(name, []).append(others.count(word) / len(others))
    mean = np.mean([share for each in shares.values() for share in each])
    return {name: (sum(each) + PRIOR * mean) / (len(each) + PRIOR) for name, each in shares.items()}


def resolved(words: dict[str, str], policy: str, weight: dict[str, float]) -> str:
    if policy == "strict":
        return next(iter(words.values())) if len(set(words.values())) == 1 else "tie"
    counts: Counter[str] = Counter()
    for name, word in words.items():
        counts[word] += weight[name] if policy == "weighted" else 1
    best = [word for word, count in counts.items() if count == max(counts.values())]
    return best[0] if len(best) == 1 else "tie"


@pytest.mark.parametrize("policy", ["majority", "strict", "weighted"])
def test_a_run_resolves_votes_as_it_is_told(cli: Cli, folder: Path, policy: str) -> None:
    result = label(cli, folder, "--votes", policy)
    votes = said(cli, folder)
    weight = weights(votes)
    assert len({f"{value:.6f}" for value in weight.values()}) == 3
    expected = {pair_id: resolved(words, policy, weight) for pair_id, words in votes.items()}
    for view in ("label", "first_label", "blind_label", "calibration_label"):
        got = {row["pair_id"]: row["verdict"] for row in sql(cli, folder, f"SELECT pair_id, verdict FROM {view}")}
        assert got == expected, view
    assert result["votes"] == policy
    assert result["dataset"]["human"] == sum(verdict != "tie" for verdict in expected.values())
    stored = {row["annotator"]: row["weight"] for row in sql(cli, folder, "SELECT * FROM annotator_weight")}
    if policy == "weighted":
        assert {name: float(value) for name, value in stored.items() if name} == pytest.approx(weight, abs=1e-6)
    else:
        assert stored == {}
    card = (folder / "raw.curated" / "dataset" / "README.md").read_text()
    assert f"| several labels of a pair | {policy} |" in card
    assert ("Several labels of one pair were resolved" in card) == (policy != "majority")
    assert ("not exact" in card) == (policy == "weighted"), "the promise is not said to be more than it is"
    cli("label", folder / "raw.jsonl", "--judgments", folder / "log.jsonl", "--alpha", "0.25", "--votes", policy)
    assert (f"({policy})" in cli.out) == (policy != "majority")


def test_the_choices_differ_and_the_same_one_again_changes_nothing(cli: Cli, folder: Path) -> None:
    majority = label(cli, folder)
    strict = label(cli, folder, "--votes", "strict")
    assert strict["calibration"]["errors"] > majority["calibration"]["errors"], "more ties, and they are errors"
    again = label(cli, folder, "--votes", "strict")
    assert again["calibration"] == strict["calibration"]
    assert sql(cli, folder, "SELECT max(calibration_id) AS n FROM calibration") == [{"n": 2}]
    back = label(cli, folder)
    assert back["calibration"]["errors"] == majority["calibration"]["errors"]
    chosen = [one for one in back["doubts"] if "setting" in one["text"]]
    assert chosen, "another resolution was decided on with the same labels, and that is noted"


def test_looking_at_another_resolution_does_not_set_it(cli: Cli, folder: Path) -> None:
    label(cli, folder)
    db = folder / "raw.curated" / "curator.duckdb"
    verdicts = sql(cli, folder, "SELECT * FROM label ORDER BY pair_id")
    for what in ("--sweep", "--compare"):
        usual, strict = (cli.json("calibrate", "--db", db, what, "--votes", votes) for votes in ("majority", "strict"))
        assert (usual["votes"], strict["votes"]) == ("majority", "strict")
        assert usual != {**strict, "votes": "majority"}
        assert sql(cli, folder, "SELECT * FROM label ORDER BY pair_id") == verdicts
    decided = cli.json("calibrate", "--db", db, "--votes", "strict", "--alpha", "0.25")
    assert decided["votes"] == "strict"
    assert sql(cli, folder, "SELECT * FROM label ORDER BY pair_id") != verdicts


@pytest.fixture
def store(tmp_path: Path, cli: Cli) -> Store:
    """A store of 27 pairs, and three annotators who say everything that three can say."""
    raw = write_rows(tmp_path / "few.jsonl", pairs(27))
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(27)))
    return open_store(tmp_path / "few.curated" / "curator.duckdb")


def test_every_combination_of_three_words(store: Store) -> None:
    with store:
        ids = [row[0] for row in store.rows("SELECT pair_id FROM input ORDER BY position")]
        words = {Verdict.A: "a", Verdict.BOTH_BAD: "tie", Verdict.SKIP: None}
        said = list(product(words, repeat=3))
        add_labels(store, [Label(one, name, verdict) for one, verdicts in zip(ids, said, strict=True)
                           for name, verdict in zip("xyz", verdicts, strict=True)])  # fmt: skip
        for policy in Votes:
            resolve_votes(store, policy)
            assert resolution(store) == policy
            found = dict(store.rows("SELECT pair_id, verdict FROM label"))
            for one, verdicts in zip(ids, said, strict=True):
                spoke = [words[verdict] for verdict in verdicts if words[verdict]]
                sides, ties = spoke.count("a"), spoke.count("tie")
                if not spoke:
                    assert found[one] == "skip"
                elif policy is Votes.STRICT:
                    assert found[one] == ("a" if not ties else "tie")
                elif policy is Votes.MAJORITY:
                    assert found[one] == ("a" if sides > ties else "tie")
                elif sides != ties or sides == len(spoke):
                    assert found[one] == ("a" if sides > ties else "tie"), "no one weighs as much as two"


def test_weights_are_those_of_the_labels_at_a_decision(store: Store) -> None:
    with store:
        ids = [row[0] for row in store.rows("SELECT pair_id FROM input ORDER BY position")]
        told = [Label(one, name, Verdict.A) for one in ids[:20] for name in ("anna", "ben")]
        told += [Label(one, "carl", Verdict.B) for one in ids[:20]]
        add_labels(store, told)
        resolve_votes(store, Votes.WEIGHTED)
        known = dict(store.rows("SELECT annotator, weight::DOUBLE FROM annotator_weight"))
        mean = 1 / 3
        assert known["anna"] == known["ben"] == pytest.approx((20 * 0.5 + PRIOR * mean) / (20 + PRIOR), abs=1e-6)
        assert known["carl"] == pytest.approx(PRIOR * mean / (20 + PRIOR), abs=1e-6)
        assert known[None] == pytest.approx(mean, abs=1e-6)
        # Somebody new has the mean until the next decision: more than carl, less than anna.
        new = [Label(ids[20], "dora", Verdict.A), Label(ids[20], "carl", Verdict.B)]
        new += [Label(ids[21], "dora", Verdict.A), Label(ids[21], "anna", Verdict.B)]
        add_labels(store, new)
        found = dict(store.rows("SELECT pair_id, verdict FROM label"))
        assert (found[ids[20]], found[ids[21]]) == ("a", "b")
        # What people said who had seen the judge's verdict weighs, but tells nothing about weights.
        before = dict(store.rows("SELECT annotator, weight FROM annotator_weight"))
        resolve_votes(store, Votes.WEIGHTED)
        settled = dict(store.rows("SELECT annotator, weight FROM annotator_weight"))
        assert settled != before
        add_labels(store, [Label(one, "carl", Verdict.A, blind=False) for one in ids[22:]])
        add_labels(store, [Label(one, "anna", Verdict.A, blind=False) for one in ids[22:]])
        resolve_votes(store, Votes.WEIGHTED)
        assert dict(store.rows("SELECT annotator, weight FROM annotator_weight")) == settled
        resolve_votes(store, Votes.MAJORITY)
        assert store.rows("SELECT * FROM annotator_weight") == []


def test_the_rule_of_a_decision_is_kept_whole(cli: Cli, folder: Path) -> None:
    from fractions import Fraction

    from curator.conformal import Guarantee
    from curator.options import Ties
    from curator.signals import Signal
    from curator.steps.deciding import latest_rule

    asked = ("--guarantee", "pac", "--delta", "0.07", "--ties", "exclude", "--votes", "weighted", "--group-by", "topic",
             "--group-min", "30", "--score", "agreement", "--min-label-mass", "0.125")  # fmt: skip
    label(cli, folder, *asked)
    with open_store(folder / "raw.curated" / "curator.duckdb") as store:
        assert latest_rule(store) == Rule(
            Guarantee.PAC, Fraction(1, 4), Fraction(7, 100), Ties.EXCLUDE, 0.125, "topic", 30, Signal.AGREEMENT,
            Votes.WEIGHTED,
        )  # fmt: skip
