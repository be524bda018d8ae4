"""Several judges through the command line: one score of them, a cascade, groups, and what is said of each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curator.pair import JudgeInfo
from curator.steps.scoring import told_apart
from curator.store import open_store
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows
from tests.sglang_cpu import server

PAIRS, LABELLED = 400, 200


def log_odds(seed: int, worth: float) -> list[float]:
    """A judge's log-odds about `pairs`, whose better response is a for even numbers."""
    random = np.random.default_rng(seed)
    return [(worth if i % 2 == 0 else -worth) + random.normal() for i in range(PAIRS)]


def readings(name: str, odds: list[float]) -> list[dict[str, Any]]:
    return [
        {"id": f"p{i}", "judge": name, "order": order, "p_a": 1 / (1 + math.exp(-value))}
        for i, value in enumerate(odds)
        for order in ("ab", "ba")
    ]


SMALL, LARGE = log_odds(1, 0.8), log_odds(2, 1.2)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    rows = pairs(PAIRS, LABELLED)
    for i, row in enumerate(rows):
        # Groups do not depend on which response is better; the last is small, and some rows have none.
        row["domain"] = ["math", "chat"][i // 2 % 2] if i >= 12 else "rare" if i >= 4 else None
    return write_rows(tmp_path / "raw.jsonl", rows)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "log.jsonl", readings("small", SMALL) + readings("large", LARGE))


def both(raw: Path, log: Path, *more: object) -> tuple[object, ...]:
    return ("label", raw, "--judgments", log, "--judge", "small", "--judge", "large", *more)


def stored(folder: Path) -> dict[str, float]:
    """The log-odds of each pair, by the row's id."""
    with open_store(folder / "curator.duckdb") as store:
        rows = store.rows("SELECT source_id, log_odds FROM score JOIN input_row USING (pair_id)")
    return dict(rows)


def test_the_mean_of_two_judges_is_calibrated(raw: Path, log: Path, cli: Cli) -> None:
    got = cli.json(*both(raw, log))
    assert cli.code == 0
    score = stored(raw.with_suffix(".curated"))
    expected = [(small + large) / 2 for small, large in zip(SMALL, LARGE, strict=True)]
    assert [score[f"p{i}"] for i in range(PAIRS)] == pytest.approx(expected)
    one, two = got["judges"]
    assert (one["name"], two["name"], got["judge"]["name"]) == ("small", "large", "small + large")
    assert one["read"] == two["judged"] == PAIRS
    right = [(value > 0) == (i % 2 == 0) for i, value in enumerate(SMALL[:LABELLED])]
    assert one["accuracy"] == pytest.approx(np.mean(right))
    assert one["accuracy"] < two["accuracy"] < got["judge"]["accuracy"]
    assert one["coverage"] < got["judge"]["coverage"] == got["coverage"]
    assert got["panel"] == {"combine": "log-odds", "missing": "abstain", "weights": None, "cascade": None}
    assert cli(*both(raw, log)) == 0
    assert "together" in cli.out
    assert "small + large" in cli.out


def test_probabilities_instead(raw: Path, log: Path, cli: Cli) -> None:
    cli.json(*both(raw, log, "--combine", "probability"))
    p = sum(1 / (1 + math.exp(-odds[7])) for odds in (SMALL, LARGE)) / 2
    assert stored(raw.with_suffix(".curated"))["p7"] == pytest.approx(math.log(p / (1 - p)))


def test_judges_of_two_logs(raw: Path, tmp_path: Path, cli: Cli) -> None:
    logs = [write_rows(tmp_path / f"{name}.jsonl", readings(name, odds)) for name, odds in
            (("small", SMALL), ("large", LARGE))]  # fmt: skip
    got = cli.json("label", raw, "--judgments", logs[0], "--judgments", logs[1])
    assert [judge["name"] for judge in got["judges"]] == ["small", "large"]
    again = cli.json("label", raw, "--judgments", logs[0], "--judgments", logs[1], "--alpha", "0.05")
    assert again["judgments"] == {"cached": 4 * PAIRS, "asked": 0, "retried": 0}


def test_one_judge_twice_is_refused(raw: Path, log: Path, cli: Cli) -> None:
    assert cli("label", raw, "--judgments", log, "--judge", "small", "--judge", "small") == 1
    assert "two votes of one judge are one vote" in cli.err


def test_one_judge_cannot_cascade(raw: Path, log: Path, cli: Cli) -> None:
    assert cli("label", raw, "--judgments", log, "--judge", "small", "--cascade", "0.9") == 1
    assert "is the only judge" in cli.err


@pytest.mark.parametrize(("missing", "judged"), [("abstain", PAIRS - 40), ("mean", PAIRS)])
def test_a_judge_that_failed_on_some_pairs(raw: Path, tmp_path: Path, missing: str, judged: int, cli: Cli) -> None:
    log = write_rows(tmp_path / "log.jsonl", readings("small", SMALL) + readings("large", LARGE)[80:])
    got = cli.json(*both(raw, log, "--missing", missing))
    assert cli.code == (3 if missing == "abstain" else 0)
    assert got["judged"] == judged
    assert got["failed"] == PAIRS - judged
    assert (stored(raw.with_suffix(".curated")).get("p3") == pytest.approx(SMALL[3])) == (missing == "mean")


@pytest.mark.parametrize(
    ("answers", "calibration", "pool"),
    [(slice(400), [200, 200], [0, 200]), (slice(80, None), [160, 200], [200, 200]), (slice(380, 420), None, None)],
)
def test_a_judge_that_answered_calibration_rows_and_pool_unevenly(
    raw: Path, tmp_path: Path, answers: slice, calibration: list[int], pool: list[int], cli: Cli
) -> None:
    """Where the others speak for it: the last answered 10 pairs of each, which is even."""
    log = write_rows(tmp_path / "log.jsonl", readings("small", SMALL) + readings("large", LARGE)[answers])

    def uneven(*more: str) -> list[dict[str, Any]]:
        found = cli.json(*both(raw, log, *more))
        return [one["figures"] for one in found["doubts"] if one["name"] == "uneven answers"]

    assert uneven() == []
    found = uneven("--missing", "mean")
    if calibration is None:
        assert found == []
    else:
        assert [(one["judge"], one["calibration"], one["pool"]) for one in found] == [("large", calibration, pool)]
        assert found[0]["p"] < 1e-9
        assert cli(*both(raw, log, "--missing", "mean")) == 0
        assert "note the judge large answered" in " ".join(cli.out.split())


def test_a_field_that_has_changed_since_the_pairs_were_first_read(raw: Path, log: Path, cli: Cli) -> None:
    cli(*both(raw, log))
    rows = [{**row, "domain": "new" if row["domain"] == "math" else "chat"} for row in read_rows(raw)]
    got = cli.json(*both(write_rows(raw, rows), log, "--group-by", "domain"))
    assert [one["group"] for one in got["groups"]] == ["chat", "new"]
    assert [one["n"] for one in got["groups"]] == [106, 94]


def test_a_judge_that_failed_everywhere(raw: Path, tmp_path: Path, cli: Cli) -> None:
    rows = [
        {"id": f"p{i}", "judge": "broken", "order": order, "failed": True}
        for i in range(PAIRS)
        for order in ("ab", "ba")
    ]
    log = write_rows(tmp_path / "broken.jsonl", [*rows, *judgments(PAIRS, judge="works")])
    assert cli("label", raw, "--judgments", log, "--judge", "broken") != 0
    assert f"not judged   {PAIRS:,} of {PAIRS:,} pairs: {2 * PAIRS} x the log has no verdict" in cli.out
    got = cli.json("label", raw, "--judgments", log, "--judge", "broken", "--judge", "works", "--missing", "mean")
    assert (got["judged"], [judge["judged"] for judge in got["judges"]]) == (PAIRS, [0, PAIRS])


def test_recalibrating_gives_what_labelling_gave(raw: Path, log: Path, cli: Cli) -> None:
    first = cli.json(*both(raw, log, "--cascade", "0.9", "--group-by", "domain"))
    db = raw.with_suffix(".curated") / "curator.duckdb"
    again = cli.json("calibrate", "--db", db, "--group-by", "domain")
    assert {name: first[name] for name in again} == again


# ------------------------------------------------------------------------------------------------------- cascades


def test_the_large_judge_reads_the_band_only(raw: Path, log: Path, cli: Cli) -> None:
    got = cli.json(*both(raw, log, "--cascade", "0.9"))
    cut = math.log(9)
    band = [i for i, value in enumerate(SMALL) if abs(value) < cut]
    assert got["judges"][1]["read"] == got["judges"][1]["judged"] == len(band)
    assert got["judgments"]["asked"] == 2 * (PAIRS + len(band))
    assert got["panel"]["cascade"] == {
        "edge": 0.9, "fitted": False, "pairs_share": len(band) / PAIRS, "tokens_share": None,
    }  # fmt: skip
    score = stored(raw.with_suffix(".curated"))
    assert len(score) == PAIRS == got["judged"]
    for i in range(PAIRS):
        expected = (SMALL[i] + LARGE[i]) / 2 if i in band else SMALL[i]
        assert score[f"p{i}"] == pytest.approx(expected)
    assert cli(*both(raw, log, "--cascade", "0.9")) == 0
    assert f"large read the {len(band) / PAIRS:.1%} of pairs below 0.9" in cli.out


def test_a_wider_band_asks_the_rest_and_a_panel_everything(raw: Path, log: Path, cli: Cli) -> None:
    first = cli.json(*both(raw, log, "--cascade", "0.8"))
    wider = cli.json(*both(raw, log, "--cascade", "0.99"))
    assert wider["judges"][1]["read"] > first["judges"][1]["read"]
    assert wider["judgments"]["asked"] == 2 * (wider["judges"][1]["read"] - first["judges"][1]["read"])
    everything = cli.json(*both(raw, log))
    assert everything["judgments"]["cached"] + everything["judgments"]["asked"] == 4 * PAIRS
    assert everything["judges"][1]["judged"] == PAIRS
    # What the large judge has said about other pairs by now is no part of a narrower cascade.
    narrow = cli.json(*both(raw, log, "--cascade", "0.8"))
    assert narrow["judgments"]["asked"] == 0
    assert narrow["judges"][1]["read"] == first["judges"][1]["read"]
    assert narrow["threshold"] == first["threshold"]


@pytest.mark.parametrize("score", ["votes", "agreement"])
def test_signals_that_count_replies_keep_to_the_band_too(raw: Path, log: Path, score: str, cli: Cli) -> None:
    """The band is that of the averaged preference, and what was read for another run is no vote in this one."""
    first = cli.json(*both(raw, log, "--cascade", "0.9", "--score", score))
    assert cli.code == 0
    band = sum(abs(value) < math.log(9) for value in SMALL)
    assert first["judges"][1]["read"] == first["judges"][1]["judged"] == band
    cli.json(*both(raw, log))  # now the large judge has read all pairs
    again = cli.json(*both(raw, log, "--cascade", "0.9", "--score", score))
    assert (again["threshold"], again["accepted"]) == (first["threshold"], first["accepted"])
    for one, other in zip(again["judges"], first["judges"], strict=True):
        assert {**one, "bias": None} == {**other, "bias": None}


@pytest.mark.parametrize("how", ["log-odds", "probability"])
def test_judges_that_contradict_each_other_exactly_have_no_preference(
    raw: Path, tmp_path: Path, how: str, cli: Cli
) -> None:
    odds = [0.1 * (i % 40 + 1) for i in range(PAIRS)]
    log = write_rows(tmp_path / "log.jsonl", readings("small", odds) + readings("large", [-value for value in odds]))
    got = cli.json(*both(raw, log, "--combine", how, "--alpha", "0.9"))
    assert got["judged"] == PAIRS
    assert got["accepted"] == 0
    assert set(stored(raw.with_suffix(".curated")).values()) == {0.0}


def test_a_fitted_cascade_waits_for_labels_before_it_asks_the_large_judge(
    raw: Path, log: Path, tmp_path: Path, cli: Cli
) -> None:
    bare = write_rows(tmp_path / "bare.jsonl", ({**row, "label": None} for row in read_rows(raw)))
    fit = ("--cascade", "fit", "--fit-fraction", "0.4")
    got = cli.json(*both(bare, log, *fit))
    assert got["judges"][1]["read"] == 0
    assert got["labels_missing"] > 150  # more than would calibrate: two in five are fitted on
    assert cli.json(*both(raw, log, *fit))["judges"][1]["read"] > 0


def test_bare_verdicts_in_a_fitted_cascade(raw: Path, tmp_path: Path, cli: Cli) -> None:
    """A judge of bare verdicts is certain or split: only where it is split, the next one reads."""
    split = [i for i in range(PAIRS) if i % 5 == 0]
    rows = [
        {"id": f"p{i}", "judge": "small", "order": order, "verdict": first if i in split else "ab"[i % 2]}
        for i in range(PAIRS)
        for order, first in (("ab", "a"), ("ba", "b"))
    ]
    log = write_rows(tmp_path / "log.jsonl", rows + readings("large", LARGE))
    got = cli.json(*both(raw, log, "--cascade", "fit", "--fit-fraction", "0.4"))
    assert got["judges"][1]["read"] == len(split)


# -------------------------------------------------------------------------------------------------------- fitting


@pytest.mark.parametrize("fitted", [("--combine", "fitted"), ("--cascade", "fit")])
def test_rows_to_fit_on_do_not_calibrate(raw: Path, log: Path, fitted: tuple[str, str], cli: Cli) -> None:
    got = cli.json(*both(raw, log, *fitted, "--fit-fraction", "0.4"))
    rows = got["calibration"]
    assert rows["n"] + rows["fitted"] == LABELLED
    assert 50 <= rows["fitted"] <= 110
    assert got["pool"] == PAIRS - LABELLED  # nor are they among the pairs that the promise is about
    again = cli.json("calibrate", "--db", raw.with_suffix(".curated") / "curator.duckdb")
    assert again["calibration"]["fitted"] == rows["fitted"]
    assert again["panel"] == got["panel"]
    if fitted[0] == "--combine":
        assert 0 < got["panel"]["weights"][0] < got["panel"]["weights"][1]
    else:
        assert got["panel"]["cascade"]["fitted"]
        assert 0.5 < got["panel"]["cascade"]["edge"] < 1


# --------------------------------------------------------------------------------------------------------- groups


def test_the_rule_holds_within_each_group(raw: Path, log: Path, tmp_path: Path, cli: Cli) -> None:
    got = cli.json(*both(raw, log, "--group-by", "domain"))
    assert [one["group"] for one in got["groups"]] == ["chat", "math", None]
    rows = read_rows(raw)
    for one in got["groups"]:
        mine = [row for row in rows if (row["domain"] if row["domain"] in {"chat", "math"} else None) == one["group"]]
        assert one["n"] == sum(row["label"] is not None for row in mine)
        assert one["pool"] == sum(row["label"] is None for row in mine)
    others = got["groups"][2]
    assert (others["n"], others["accepted"], others["threshold"]) == (12, 0, None)
    assert got["accepted"] == sum(one["accepted"] for one in got["groups"])
    assert got["promise"].startswith("Within each group of 'domain' that has a threshold (2 of 3)")
    # Each group is decided as it would be if it were all there is.
    only = write_rows(tmp_path / "chat.jsonl", (row for row in rows if row["domain"] == "chat"))
    alone = cli.json(*both(only, log))
    assert alone["threshold"] == got["groups"][0]["threshold"]
    assert alone["accepted"] == got["groups"][0]["accepted"]
    with open_store(raw.with_suffix(".curated") / "curator.duckdb") as store:
        kept = store.rows("SELECT group_by, group_name, n, threshold FROM calibration ORDER BY group_name NULLS LAST")
    assert [row[:3] for row in kept] == [("domain", one["group"], one["n"]) for one in got["groups"]]


def test_small_groups_are_decided_together(raw: Path, log: Path, cli: Cli) -> None:
    got = cli.json(*both(raw, log, "--group-by", "domain", "--group-min", "1"))
    assert [one["group"] for one in got["groups"]] == ["chat", "math", "rare", None]
    together = cli.json(*both(raw, log, "--group-by", "domain", "--group-min", "1000"))
    assert [one["group"] for one in together["groups"]] == [None]
    assert together["groups"][0]["n"] == LABELLED
    assert together["threshold"] == cli.json(*both(raw, log))["threshold"]


def test_groups_in_summary_and_card(raw: Path, log: Path, cli: Cli) -> None:
    assert cli(*both(raw, log, "--group-by", "domain")) == 0
    assert "groups       by domain" in cli.out
    assert "(all others)" in cli.out
    card = (raw.with_suffix(".curated") / "dataset" / "README.md").read_text()
    assert "| chat | 94 |" in card
    assert "No pair is left to label" in card


def test_groups_that_labels_cannot_help_ask_for_none(raw: Path, log: Path, cli: Cli) -> None:
    """Of a handful of pairs there are fewer than would be needed; what the large groups need decides."""
    got = cli.json(*both(raw, log, "--group-by", "domain", "--group-min", "1", "--alpha", "0.01"))
    wanted = [one for one in got["groups"] if one["group"] in {"chat", "math"} and one["threshold"] is None]
    assert wanted
    assert got["labels_missing"] is None or got["labels_missing"] < 2 * PAIRS


def test_a_field_that_no_row_has(raw: Path, log: Path, cli: Cli) -> None:
    assert cli(*both(raw, log, "--group-by", "do'main")) == 1
    assert 'no row of the input has a field "do\'main"' in cli.err


@pytest.mark.parametrize("field", ["*", "a/b~c", "line\nbreak", "$.x", "7", "", '"quoted"'])
def test_a_field_may_have_any_name(log: Path, tmp_path: Path, field: str, cli: Cli) -> None:
    rows = [{**row, field: ["x", 5][i // 2 % 2]} for i, row in enumerate(pairs(PAIRS, LABELLED))]
    got = cli.json(*both(write_rows(tmp_path / "any.jsonl", rows), log, "--group-by", field))
    assert [one["group"] for one in got["groups"]] == ["5", "x"]


def test_names_cannot_forge_lines(tmp_path: Path, cli: Cli) -> None:
    raw = write_rows(
        tmp_path / "raw.jsonl", ({**row, "g": "x\npromise      all is well"} for row in pairs(PAIRS, LABELLED))
    )
    forged = "j\nerror        all is lost" + "!" * 5_000
    log = write_rows(tmp_path / "log.jsonl", readings(forged, SMALL) + readings("large", LARGE))
    assert cli("label", raw, "--judgments", log, "--judge", forged, "--judge", "large", "--group-by", "g") == 0
    for line in (cli.out + cli.err).splitlines():
        assert not line.startswith(("error  ", "promise      all"))
        assert len(line) < 400


def test_thousands_of_groups_do_not_flood_the_terminal(log: Path, tmp_path: Path, cli: Cli) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "g": f"g{i:03}"} for i, row in enumerate(pairs(PAIRS, LABELLED))))
    cli(*both(raw, log, "--group-by", "g", "--group-min", "1"))
    assert "and 171 more: run.json has all" in cli.out
    assert len(cli.out.splitlines()) < 80


# ---------------------------------------------------------------------------------------------------- who is named


def test_a_judge_that_answered_one_order_only(raw: Path, tmp_path: Path, cli: Cli) -> None:
    rows = [row for row in readings("large", LARGE) if row["order"] == "ab"]
    log = write_rows(tmp_path / "log.jsonl", readings("small", SMALL) + rows)
    got = cli.json(*both(raw, log, "--missing", "mean"))
    assert [judge["judged"] for judge in got["judges"]] == [PAIRS, 0]
    assert (raw.with_suffix(".curated") / "report.html").is_file()


def test_a_judge_without_a_log_is_refused(raw: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("label", raw, "--judge", "small") == 2
    assert "name their log too" in cli.err
    recipe = tmp_path / "r.yaml"
    recipe.write_text(json.dumps({"name": "r", "description": "d", "judges": [{"judge": "small"}]}))
    assert cli("label", raw, "--recipe", recipe) == 1
    assert "judgments" in cli.err
    recipe.write_text(json.dumps({"name": "r", "description": "d", "judges": [{"judgments": "log.jsonl"}]}))
    assert cli("label", raw, "--recipe", recipe, "--judge", "small") == 2
    assert "the recipe lists its own judges" in cli.err


def test_one_model_with_two_templates_has_two_names() -> None:
    judges = [JudgeInfo("m", "sglang", {"template": name}) for name in ("chat", "persona_reader")]
    assert told_apart([*judges, JudgeInfo("other", "sglang")]) == ["m (chat)", "m (persona_reader)", "other"]


def test_a_recipe_may_list_judges(raw: Path, log: Path, tmp_path: Path, cli: Cli) -> None:
    recipe = tmp_path / "two.yaml"
    recipe.write_text(
        json.dumps(
            {
                "name": "two", "description": "two judges of a log beside the recipe", "cascade": 0.9,
                "judges": [{"judgments": "log.jsonl", "judge": name} for name in ("small", "large")],
            }
        )
    )  # fmt: skip
    got = cli.json("label", raw, "--recipe", recipe)
    assert [judge["name"] for judge in got["judges"]] == ["small", "large"]
    assert got["panel"]["cascade"]["edge"] == 0.9
    flags = cli.json("label", raw, "--recipe", recipe, "--judgments", log, "--judge", "large", "--judge", "small")
    assert [judge["name"] for judge in flags["judges"]] == ["large", "small"]


@pytest.mark.sglang
def test_servers_of_two_models_are_two_judges(
    models: dict[str, Path], tiny_url: str, second_url: str, tmp_path: Path, cli: Cli
) -> None:
    """Three real servers, two of one model: those share its work; a template more makes each judge two."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(6, 3))
    loose = ("--no-probe", "--min-label-mass", "0")
    with server.serve(models["smollm2"]) as url:
        urls = ("--judge-url", tiny_url, "--judge-url", url, "--judge-url", second_url)
        got = cli.json("label", raw, *urls, *loose)
        assert [judge["name"] for judge in got["judges"]] == ["tiny", "smollm2"]
        assert got["judgments"]["asked"] == 24
        assert all(judge["judged"] == 6 and judge["tokens"] > 0 for judge in got["judges"])
        one = cli.json("label", raw, "--judge-url", second_url, "--template", "chat", "--template", "chat_ties", *loose)
    assert [judge["name"] for judge in one["judges"]] == ["tiny (chat)", "tiny (chat_ties)"]
    # All are known now, and no server is needed.
    again = cli.json("label", raw, *urls, *loose)
    assert again["judgments"] == {"cached": 24, "asked": 0, "retried": 0}
