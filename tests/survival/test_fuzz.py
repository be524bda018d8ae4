"""What the fuzzer found once, and what was found by hand since: read again for good, with all that must hold of it."""

from __future__ import annotations

import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import pytest

from curator.errors import CuratorError
from tests.conftest import ROOT
from tests.survival.fuzz import Tally, table
from tests.survival.making import changed, seeds
from tests.survival.targets import GOLDEN, TARGETS, Broken, check, refused

CASES = sorted(path for path in (GOLDEN / "fuzz").glob("*/*") if path.is_file())
SMALL = 60


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.name}" for path in CASES])
def test_what_was_found_stays_mended(path: Path) -> None:
    start = process_time()
    TARGETS[path.parent.name](path.read_bytes())
    assert process_time() - start < 10  # each took minutes, or would have


@pytest.mark.parametrize("target", TARGETS)
def test_files_to_begin_with_and_small_changes_to_them(target: str) -> None:
    dice, files = random.Random(f"{target} 7"), seeds(target)
    for data in files if target != "ingests" else files[:5]:
        TARGETS[target](data)
    for _ in range(SMALL if target not in {"ingests", "conditions"} else 10):
        TARGETS[target](changed(dice.choice(files), dice))


@pytest.mark.survival
@pytest.mark.parametrize("target", sorted(TARGETS.keys() - {"ingests", "conditions"}))
def test_many_changes(target: str) -> None:
    dice, files = random.Random(f"{target} 8"), seeds(target)
    end = process_time() + 2.5
    while process_time() < end:
        TARGETS[target](changed(dice.choice(files), dice))


def test_a_target_can_fail() -> None:
    with pytest.raises(Broken, match="a promise"):
        check(False, "a promise")
    with pytest.raises(ZeroDivisionError):
        refused(lambda: 1 / 0)

    def says() -> None:
        raise CuratorError("no")

    assert refused(says)
    assert not refused(lambda: None)


def test_the_table_adds_up() -> None:
    tallies = {"logs": Tally(1_200, 30, {"x", "y"}), "yamls": Tally(34, 5)}
    assert table(tallies).splitlines() == [
        "| target | executions | edges | findings |",
        "|---|---|---|---|",
        "| logs | 1,200 | 30 | 2 |",
        "| yamls | 34 | 5 | 0 |",
        "| all | 1,234 | | 2 |",
    ]


@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris is not installed")
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.survival", "fuzz", "--minutes", "0.1", "--target", "bodies"]
    done = subprocess.run([*command, "--findings", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "| bodies | " in done.stdout
    assert done.stdout.endswith("0 findings\n")
