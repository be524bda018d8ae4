"""The data set card: what the hub reads of it, and what it tells people."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
import yaml
from markdown_it import MarkdownIt

from curator.exports.card import PICTURE, dataset_card
from curator.exports.header import DEMONSTRATION, About, Contents, Split, described, read_card
from curator.report.drawing import standalone
from tests import reports
from tests.conftest import Cli, judgments, pairs, write_rows

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("prompt", MESSAGES), ("p", pa.float64()), ("small", pa.float32()), ("n", pa.int32()), ("yes", pa.bool_()),
        ("tags", pa.list_(pa.string())), ("grid", pa.list_(pa.list_(pa.float32()))), ("long", pa.large_string()),
        ("both", pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))])), ("longs", pa.large_list(pa.string())),
        ("talks", pa.list_(pa.struct([("turns", MESSAGES), ("one", pa.struct([("x", pa.bool_())]))]))),
        ("nothing", pa.null()),
    ]
)  # fmt: skip


def contents(**changes: Any) -> Contents:
    given = {
        "schema": SCHEMA, "meanings": {name: f"what {name} means" for name in SCHEMA.names},
        "splits": {"train": Split(700, 9_000), "test": Split(26, 400)}, "size": 5_000,
        "sources": {"auto": 421, "human": 305},
    }  # fmt: skip
    return Contents(**{**given, **changes})


def header(card: str) -> dict[str, Any]:
    return read_card(card)[0]


def test_the_features_are_those_of_the_datasets_library() -> None:
    datasets = pytest.importorskip("datasets")
    found = header(dataset_card(reports.result(), contents()))["dataset_info"]["features"]
    assert found == datasets.Features.from_arrow_schema(SCHEMA)._to_yaml_list()
    assert datasets.Features._from_yaml_list(found) == datasets.Features.from_arrow_schema(SCHEMA)


def test_the_header_has_splits_sizes_and_files() -> None:
    made = header(dataset_card(reports.result(), contents()))
    assert made["dataset_info"]["splits"] == [
        {"name": "train", "num_bytes": 9_000, "num_examples": 700},
        {"name": "test", "num_bytes": 400, "num_examples": 26},
    ]  # fmt: skip
    assert (made["dataset_info"]["download_size"], made["dataset_info"]["dataset_size"]) == (5_000, 9_400)
    files = [{"split": "train", "path": "data/train-*"}, {"split": "test", "path": "data/test-*"}]
    assert made["configs"] == [{"config_name": "default", "data_files": files}]
    assert made["tags"] == ["preference", "dpo", "trl", "preference-curator", "auto-labels"]
    assert list(made)[:2] == ["pretty_name", "tags"]


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (9_999_999, "1M<n<10M"), (10_000_000, "10M<n<100M")],
)
def test_how_large_it_is(rows: int, name: str) -> None:
    made = header(dataset_card(reports.result(), contents(splits={"train": Split(rows, 0)})))
    assert made["size_categories"] == [name]


def test_a_demonstration_judge_is_a_tag_where_it_labelled_something() -> None:
    judge = {**reports.result()["judge"], "demonstration": True}
    assert DEMONSTRATION in header(dataset_card(reports.result(judge=judge), contents()))["tags"]
    none = contents(sources={"auto": 0, "human": 726})
    assert DEMONSTRATION not in header(dataset_card(reports.result(judge=judge), none))["tags"]


def test_what_the_owner_says_can_be_said_at_once_or_later() -> None:
    about = About("cc-by-4.0", ("en", "zh-Hans"), "Größere Paare: ja")
    at_once = dataset_card(reports.result(), contents(), about)
    assert read_card(at_once)[0].items() >= {
        "license": "cc-by-4.0", "language": ["en", "zh-Hans"], "pretty_name": "Größere Paare: ja"
    }.items()  # fmt: skip
    later = described(dataset_card(reports.result(), contents()), about)
    assert read_card(later) == read_card(at_once)
    assert described(later, About()) == later


@pytest.mark.parametrize(
    ("license_", "language", "name"),
    [("MIT", (), None), ("mit\nx: y", (), None), (None, ("english",), None), (None, (), "two\nlines"), (None, (), " ")],
)
def test_what_the_hub_would_not_take_is_refused(license_: str | None, language: tuple[str, ...], name: str) -> None:
    with pytest.raises(ValueError, match=r"a (license|language|name) is"):
        About(license_, language, name)


def test_the_body_says_how_it_was_made_and_what_is_not_promised() -> None:
    card = dataset_card(reports.result(guarantee="scope"), contents(), picture="What it shows (1%).")
    assert f"![What it shows (1%).]({PICTURE})" in card
    assert "| template | chat, hash ab12 |" in card
    assert "| rule | `scope`, alpha 0.1, delta 0.1, ties: error |" in card
    assert "| `grid` | what grid means |" in card
    limits = card.partition("## What is not promised\n")[2]
    assert "- The error among the auto labels. scope bounds how often a pair is accepted and wrong." in limits
    assert "305 labels of people" in limits
    assert "by themselves" not in limits
    some = dataset_card(reports.result(), contents(sources={"auto": 400, "human": 0}))
    assert "- The error among the 400 auto labels here by themselves. The promise is about all 421" in some
    assert "scope bounds" not in some


def test_the_promise_of_a_group_is_whole() -> None:
    long = "With probability at least 0.9, " + "this and that holds, " * 20 + "and no more (pac)."
    groups = [{**reports.full_result()["groups"][0], "promise": long}]
    assert long in dataset_card(reports.full_result(groups=groups), contents())


@pytest.mark.parametrize("several", [True, False])
def test_names_that_try_to_be_markup_are_text(several: bool) -> None:
    """As Markdown, the card has our headings, our one picture and no HTML, whatever judges and groups are called."""
    evil = "x | y\n\n# mine ![p](http://evil/p.png) <script>alert(1)</script> [l](http://evil) `c` ---\n---\n"
    result = reports.full_result(promise=f"Within {evil!r}: {evil}", group_by=evil)
    result["judge"]["name"] = evil
    if not several:
        result |= {"panel": None, "judges": result["judges"][:1]}
    for one in (*result["judges"], *result["groups"], *result["doubts"]):
        for key in {"name", "group", "promise", "template", "text"} & one.keys():
            one[key] = evil
    card = dataset_card(result, contents(), picture="fine")
    values, body = read_card(card)
    assert values["pretty_name"] == "Preference pairs labelled with curator"
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    inline = [child for token in tokens for child in token.children or []]
    assert [child.attrs["src"] for child in inline if child.type == "image"] == [PICTURE]
    assert not [child for child in inline if child.type in {"link_open", "html_inline"}]
    assert not [token for token in tokens if token.type == "html_block"]
    titles = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert titles == [
        "Preference pairs labelled with curator", "The promise", "The audit", "Doubts", "How the labels were made",
        "Columns", "What is not promised",
    ]  # fmt: skip


def test_a_type_without_a_name_is_an_error() -> None:
    schema = pa.schema([("when", pa.timestamp("us"))])
    with pytest.raises(ValueError, match="no name for the type timestamp"):
        dataset_card(reports.result(), contents(schema=schema, meanings={"when": ""}))


@pytest.mark.parametrize("card", ["", "# no header", "---\nnever: ends\n", "---\n- a list\n---\n", "---\na: [\n---\n"])
def test_a_card_without_a_header_is_none(card: str) -> None:
    with pytest.raises(ValueError, match="header"):
        read_card(card)


def test_the_picture_stands_by_itself() -> None:
    made = standalone(reports.figures()["alpha"])
    root = ElementTree.fromstring(made)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert [child.tag.rpartition("}")[2] for child in root][:3] == ["title", "desc", "rect"]
    assert root[0].text == "Coverage and risk over alpha"
    assert root[2].attrib == {"width": root.attrib["width"], "height": root.attrib["height"], "fill": "#ffffff"}
    assert b"var(--" not in made
    assert b"#0b66b3" in made


def test_a_run_writes_both_and_again_the_same_bytes(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(80, labelled=40))
    log = write_rows(tmp_path / "log.jsonl", judgments(80, wrong=[3]))
    assert cli("label", raw, "--judgments", log, "--alpha", "0.3") == 0
    out, again = tmp_path / "raw.curated", tmp_path / "again"
    assert cli("export", "--db", out / "curator.duckdb", "--out", again, "--license", "mit", "--language", "de") == 0
    assert (again / PICTURE).read_bytes() == (out / "dataset" / PICTURE).read_bytes()
    text = (again / "README.md").read_text()
    assert text == described((out / "dataset" / "README.md").read_text(), About("mit", ("de",)))
    values = yaml.safe_load(text.split("---\n")[1])
    assert (values["license"], values["language"]) == ("mit", ["de"])
    assert "at the chosen alpha 0.3 it is 100%. Of the labelled pairs, 40 reach the threshold there" in text
    assert cli("export", "--db", out / "curator.duckdb", "--out", again, "--license", "MY OWN") == 2


def test_nothing_accepted_nothing_drawn(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(20))
    log = write_rows(tmp_path / "log.jsonl", judgments(20))
    assert cli("label", raw, "--judgments", log) == 4
    folder = tmp_path / "raw.curated" / "dataset"
    assert not (folder / PICTURE).exists()
    assert "![" not in (folder / "README.md").read_text()


def test_the_card_counts_the_suspects() -> None:
    said = "4 pairs of which a response talks to the judge: people decide, none is auto-labelled"
    assert said in dataset_card(reports.result(), contents())
    assert "talks to the judge:" not in dataset_card({**reports.result(), "suspects": None}, contents())
