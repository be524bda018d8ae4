"""Fixtures that several test modules share."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from curator.cli.main import run
from tests.sglang_cpu import server

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

# Started in the background of a script, the tests would hand on that Ctrl-C is ignored to every command they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else is no fault of what is tested.
settings.register_profile("curator", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("curator")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a file of real pairs, which lie beside the project and are never part of it."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"real pairs are not at hand: {path} is missing")
        return path

    return find


class Cli:
    """Runs `curator` in this process: the exit code, standard output and standard error of the latest call."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        code = run([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *arguments: object) -> dict[str, Any]:
        """The object that a command prints with --json; its exit code is kept in `code`."""
        self.code = self(*arguments, "--json")
        value: dict[str, Any] = json.loads(self.out)
        return value


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def without_votes(row: dict[str, Any]) -> dict[str, Any]:
    """A row of real pairs with its own label, which need not be what most of its votes say."""
    return {key: value for key, value in row.items() if key != "annotators"}


def pairs(count: int, labelled: int = 0, *, same_prompt: bool = False) -> list[dict[str, Any]]:
    """Made-up rows whose better response is a for even numbers; the first `labelled` say so."""
    return [
        {
            "id": f"p{i}",
            "prompt": "one prompt" if same_prompt else f"prompt {i}",
            "response_a": f"first answer to {i}",
            "response_b": f"second answer to {i}",
            "label": "ab"[i % 2] if i < labelled else None,
            "topic": "made up",
        }
        for i in range(count)
    ]


def judgments(count: int, p_right: float = 0.9, wrong: Iterable[int] = (), judge: str = "j") -> list[dict[str, Any]]:
    """A judge's log about `pairs`: right with probability `p_right` in both orders, except where it is `wrong`."""
    mistaken = set(wrong)
    rows = []
    for i in range(count):
        p = p_right if (i % 2 == 0) != (i in mistaken) else 1 - p_right
        rows += [{"id": f"p{i}", "judge": judge, "order": order, "p_a": p} for order in ("ab", "ba")]
    return rows


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SmolLM2 and a 2-layer model of random weights with its tokenizer, as Hugging Face folders."""
    if server.python_path() is None:
        reason = f"no SGLang environment at {server.home()}: run tests/sglang_cpu/install.sh"
        if os.environ.get("CURATOR_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("models")
    server.run(server.HERE / "models.py", "smollm2", folder / "smollm2")
    server.run(server.HERE / "models.py", "tiny", folder / "tiny", folder / "smollm2")
    return {"smollm2": folder / "smollm2", "tiny": folder / "tiny"}


@pytest.fixture(scope="session")
def tiny_url(models: dict[str, Path]) -> Iterator[str]:
    """A real SGLang server of the tiny model, whose replies are the same to the last bit whenever it is asked."""
    with server.serve(models["tiny"], extra=server.REPEATABLE) as url:
        yield url


@pytest.fixture(scope="session")
def second_url(models: dict[str, Path]) -> Iterator[str]:
    """Another one of the same model."""
    with server.serve(models["tiny"], extra=server.REPEATABLE) as url:
        yield url
