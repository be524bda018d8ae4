"""The shape of the house: what may import what, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "curator"

PURE = (
    "pair", "preference", "conformal", "prompts", "errors", "options", "planning", "prefixes", "combining", "quality",
    "sizing", "signals", "label_plan", "contradictions", "intervals", "doubts", "bias", "noise", "rendering",
    "agreement", "diversity", "pairing", "ranking", "names", "softening", "flips", "rubric", "duplicates", "languages",
    "suspicion", "sandbox",
)  # fmt: skip
PURE_MAY_IMPORT = {
    "numpy", "scipy", "krippendorff", "jinja2", "markdown_it", "nh3", "choix", "datasketch", "py3langid", "pyarrow",
    "curator",
}  # fmt: skip
EDGES = ("store", "judges", "formats", "exports", "annotation", "report")


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("name", PURE)
def test_the_core_is_pure(name: str) -> None:
    found = imports(PACKAGE / f"{name}.py")
    outside = {module.partition(".")[0] for module in found} - PURE_MAY_IMPORT
    assert outside <= sys.stdlib_module_names
    assert {module for module in found if module.startswith("curator.")} <= {f"curator.{core}" for core in PURE}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_do_not_know_each_other(edge: str) -> None:
    others = tuple(f"curator.{other}" for other in EDGES if other != edge)
    above = ("curator.pipeline", "curator.steps", "curator.cli", "curator.api")
    for path in (PACKAGE / edge).glob("*.py"):
        assert not {module for module in imports(path) if module.startswith((*others, *above))}, path


def test_steps_do_not_know_who_runs_them() -> None:
    for path in (PACKAGE / "steps").glob("*.py"):
        above = ("curator.pipeline", "curator.cli", "curator.api")
        assert not {module for module in imports(path) if module.startswith(above)}, path


def test_only_its_command_knows_the_review_server() -> None:
    for path in PACKAGE.rglob("*.py"):
        if PACKAGE / "review" not in path.parents and path != PACKAGE / "cli" / "review_command.py":
            assert not {module for module in imports(path) if module.startswith("curator.review")}, path
    for path in (PACKAGE / "review").glob("*.py"):
        above = ("curator.store", "curator.judges", "curator.pipeline", "curator.cli", "curator.api", "duckdb")
        assert not {module for module in imports(path) if module.startswith(above)}, path


def test_only_the_store_knows_duckdb() -> None:
    for path in PACKAGE.rglob("*.py"):
        if PACKAGE / "store" not in path.parents:
            assert "duckdb" not in imports(path), path


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["label", "--help"], ["review", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    heavy = (
        "torch",
        "transformers",
        "datasets",
        "pandas",
        "matplotlib",
        "duckdb",
        "pyarrow",
        "numpy",
        "aiohttp",
        "scipy",
    )
    code = f"import sys; from curator.cli.main import run; run({arguments!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {name.partition(".")[0] for name in done.stderr.split()} & set(heavy)


def test_importing_curator_loads_nothing_heavy_and_offers_its_names() -> None:
    code = "import sys, curator; print(*sys.modules); assert callable(curator.label); print(curator.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded, names = done.stdout.splitlines()
    assert not {"duckdb", "torch", "numpy", "click"} & set(loaded.split())
    assert names == "['__version__', 'label']"


def test_what_few_runs_need_is_loaded_by_these_alone() -> None:
    code = "import sys, curator.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    rare = {"choix", "scipy.stats", "matplotlib", "datasketch", "py3langid", "krippendorff", "datasets", "torch"}
    assert not rare & set(done.stdout.split())


def test_no_module_has_outgrown_its_room() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_recipes_are_data_and_tests_mirror_modules() -> None:
    assert not list((ROOT / "recipes").rglob("*.py"))
    assert not list((ROOT / "schemas").rglob("*.py"))
