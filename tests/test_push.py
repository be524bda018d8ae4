"""`curator push`: what goes to the hub, what never does, and that no token is ever shown."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import Cli, judgments, pairs, write_rows
from tests.fake_hub_uploads import TOKEN, FakeHub

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run."""
    from curator.cli.main import run

    folder = tmp_path_factory.mktemp("push")
    raw = write_rows(folder / "raw.jsonl", pairs(60, labelled=30))
    log = write_rows(folder / "log.jsonl", judgments(60, wrong=[3]))
    assert run(["label", str(raw), "--judgments", str(log), "--alpha", "0.3"]) == 0
    return folder / "raw.curated"


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "dataset", tmp_path / "dataset"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def here(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_send_nothing_leaves_the_machine(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    assert cli("push", "me/pairs", "--dataset", dataset, "--private") == 0
    assert hub.asked == []
    assert f"{hub.url}/datasets/me/pairs, private, branch main" in cli.out
    for name, data in here(dataset).items():
        assert f"{len(data):>15,}  {name}\n" in cli.out
    assert "  pretty_name: Preference pairs labelled with curator" in cli.out
    assert cli.out.endswith("Nothing has been sent. --send sends it.\n")


@pytest.mark.parametrize("lfs", [True, False])
def test_what_is_sent_is_what_was_shown(cli: Cli, hub: FakeHub, dataset: Path, lfs: bool) -> None:
    hub.lfs = lfs
    told = ["push", "me/pairs", "--dataset", dataset, "--private", "--license", "cc-by-4.0", "--language", "en"]
    shown = cli.json(*told)
    assert (shown["sent"], shown["commit"]) == (False, None)
    sent = cli.json(*told, "--send")
    assert (cli.code, sent["sent"], sent["private"], sent["files"]) == (0, True, True, shown["files"])
    assert sent["commit"].startswith(f"{hub.url}/datasets/me/pairs/commit/")
    assert hub.repos["me/pairs"]["private"] is True
    there = hub.files("me/pairs")
    assert {name: len(data) for name, data in there.items() if name != ".gitattributes"} == sent["files"]
    card = there.pop("README.md").decode()
    assert {name: data for name, data in here(dataset).items() if name != "README.md"} == {
        name: data for name, data in there.items() if name != ".gitattributes"
    }
    header, body = card.split("---\n", 2)[1:]
    values = yaml.safe_load(header)
    assert (values["license"], values["language"]) == ("cc-by-4.0", ["en"])
    local = (dataset / "README.md").read_text().split("---\n", 2)
    assert body == local[2]
    assert {**yaml.safe_load(local[1]), "license": "cc-by-4.0", "language": ["en"]} == values


def test_a_later_push_leaves_no_rows_of_the_one_before(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 0
    files = hub.files("me/pairs")
    rows = files["data/train-00000-of-00001.parquet"]
    files |= {"data/train-00001-of-00002.parquet": rows, "axolotl.yaml": b"", "NOTES.md": b"mine"}
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 0
    assert sorted(hub.files("me/pairs")) == [".gitattributes", "NOTES.md", *sorted(here(dataset))]


def test_to_a_branch(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    assert cli("push", "me/pairs", "--dataset", dataset, "--revision", "second-try", "--send") == 0
    assert sorted(hub.files("me/pairs", "second-try")) == [".gitattributes", *sorted(here(dataset))]
    assert sorted(hub.files("me/pairs")) == [".gitattributes"]


def test_the_data_set_beside_a_store(cli: Cli, hub: FakeHub, made: Path) -> None:
    shown = cli.json("push", "me/pairs", "--db", made / "curator.duckdb")
    assert sorted(shown["files"]) == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "risk-and-coverage.svg",
        "trl-dpo.yaml",
    ]
    assert cli("push", "me/pairs") == 2
    assert cli("push", "me/pairs", "--db", made / "curator.duckdb", "--dataset", made / "dataset") == 2


@pytest.mark.parametrize(
    "name", ["run.json", "queue.jsonl", "rejects.jsonl", "curator.duckdb", ".env", "data/notes.txt", "report.html"]
)
def test_other_files_never_go(cli: Cli, hub: FakeHub, dataset: Path, name: str) -> None:
    (dataset / name).write_text("{}")
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 1
    assert f"files that are no part of the data set, and nothing goes: {name}" in cli.err
    assert hub.asked == []


def test_links_never_go(cli: Cli, hub: FakeHub, dataset: Path, made: Path) -> None:
    (dataset / "data" / "train-00001-of-00002.parquet").symlink_to(made / "curator.duckdb")
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 1
    assert "nothing goes: data/train-00001-of-00002.parquet" in cli.err
    assert hub.asked == []


def test_a_folder_that_is_no_data_set(cli: Cli, hub: FakeHub, made: Path, tmp_path: Path) -> None:
    assert cli("push", "me/pairs", "--dataset", made, "--send") == 1
    assert "is no data set: it has no README.md" in cli.err
    assert cli("push", "me/pairs", "--dataset", tmp_path / "nowhere", "--send") == 1
    assert "is no folder" in cli.err
    for card, said in (
        ("# Mine\n", "has no YAML header"), ("---\na: [\n---\n", "has a header that is not YAML"),
        ("---\ntags: [curator]\n---\n", "is no data set that curator wrote"),
    ):  # fmt: skip
        (tmp_path / "README.md").write_text(card)
        assert cli("push", "me/pairs", "--dataset", tmp_path, "--send") == 1
        assert said in cli.err
    assert hub.asked == []


def test_labels_of_a_demonstration_judge_want_a_word(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    card = dataset / "README.md"
    card.write_text(card.read_text().replace("- preference-curator\n", "- preference-curator\n- demonstration-judge\n"))
    assert cli("push", "me/pairs", "--dataset", dataset) == 1
    assert "labels of a demonstration judge" in cli.err
    assert cli("push", "me/pairs", "--dataset", dataset, "--allow-demonstration", "--send") == 0
    assert b"demonstration-judge" in hub.files("me/pairs")["README.md"]


def test_what_is_to_be_private_is_not_shown_to_all(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    hub.add("me/pairs")
    assert cli("push", "me/pairs", "--dataset", dataset, "--private", "--send") == 1
    assert "is there and public" in cli.err
    assert hub.files("me/pairs") == {}
    hub.add("me/secret", private=True)
    assert cli("push", "me/secret", "--dataset", dataset, "--send") == 0
    assert "(private)" in cli.out, "a repository stays what it is"


def test_what_somebody_else_wrote_is_not_written_over(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    mine = {"README.md": b"---\ntags:\n- curator\n---\n", "data/train-00000-of-00001.parquet": b"mine"}
    hub.add("me/pairs", mine)
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 1
    assert "holds what curator did not write" in cli.err
    assert hub.files("me/pairs") == mine


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "needs a token that may write, in the environment variable HF_TOKEN"),
     ("hf_of_somebody_else_entirely", "401"), ("hf_with a\nbreak", "holds characters that no token has")],
)  # fmt: skip
def test_a_wrong_token_is_said_and_not_shown(
    cli: Cli, hub: FakeHub, dataset: Path, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 1
    assert said in cli.err
    assert not token or token not in cli.out + cli.err
    assert "me/pairs" not in hub.repos


@pytest.mark.parametrize("status", [403, 500])
def test_a_hub_that_refuses(cli: Cli, hub: FakeHub, dataset: Path, status: int) -> None:
    """The double repeats the token in its reply, as a careless proxy might."""
    hub.status = status
    assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 1
    assert str(status) in cli.err
    assert "not today" in cli.err
    assert TOKEN not in cli.out + cli.err


def test_no_network(cli: Cli, hub: FakeHub, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", nobody)
        assert cli("push", "me/pairs", "--dataset", dataset, "--send") == 1
    assert f"the hub at {nobody}: ConnectError" in cli.err
    assert TOKEN not in cli.err


@pytest.mark.parametrize("repo", ["pairs", "a/b/c", "me/..", "me/a--b", "me/pairs.git", "me/x\x1b[31m"])
def test_names_that_no_repository_has(cli: Cli, hub: FakeHub, dataset: Path, repo: str) -> None:
    assert cli("push", repo, "--dataset", dataset, "--send") == 1
    assert cli.err.startswith("Error: ")
    assert "\x1b" not in cli.err
    assert hub.asked == []


def test_what_the_hub_says_of_the_card_is_passed_on(cli: Cli, hub: FakeHub, dataset: Path) -> None:
    assert cli("push", "me/pairs", "--dataset", dataset, "--license", "not-a-license", "--send") == 1
    assert '"license" must be one of' in cli.err
    assert sorted(hub.files("me/pairs")) == [".gitattributes"]
    assert cli("push", "me/pairs", "--dataset", dataset, "--license", "MIT: yes") == 2
    assert cli("push", "me/pairs", "--dataset", dataset, "--language", "english") == 2
