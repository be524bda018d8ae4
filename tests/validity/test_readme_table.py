"""The table of README.md is what the simulation prints: `pytest -m validity -s` shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator.conformal import Guarantee
from tests.validity.simulation import ALPHA, BATCH, ROWS, simulate

pytestmark = pytest.mark.validity

HEAD = """\
| judge | labels | `fdr` coverage | wrong/accepted (promise: .1) | `pac` coverage | draws over alpha (.1) \
| `scope` coverage | accepted and wrong (.1) | wrong/accepted (no promise) |
|---|---|---|---|---|---|---|---|---|"""


PART = {"a hard group, its own rule": "100 of 500", "small groups, pooled": "120 of 500"}
"""Where a rule sees some of the labelled rows only: about how many."""


def table() -> str:
    lines = [HEAD]
    for name, n in ROWS:
        fdr, pac, scope = (simulate(name, n, BATCH, rule) for rule in Guarantee)
        figures = (
            fdr.accepted.mean(), fdr.fdp.mean(), pac.accepted.mean(), (pac.risk > ALPHA).mean(),
            scope.accepted.mean(), scope.wrong.mean(), scope.wrong.mean() / scope.coverage.mean(),
        )  # fmt: skip
        lines.append(f"| {name} | {PART.get(name, n)} | " + " | ".join(f"{value:.3f}" for value in figures) + " |")
    return "\n".join(lines)


def test_readme_shows_the_table_that_is_printed() -> None:
    printed = table()
    print(f"\n\n{printed}")
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert printed in readme
