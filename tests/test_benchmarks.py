"""The benchmarks that need other machines at least run, and their columns fit together."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def gpu_benchmark(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.gpu", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_gpu_benchmark_runs_on_a_cpu() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    shape = ("--device", "cpu", "--layers", "2", "--hidden", "64")
    title, _, *table = gpu_benchmark(*shape).splitlines()
    # Two layers of four 64 x 64 matrices, three of 64 x 192, and two norms of 64.
    assert f"({2 * (4 * 64**2 + 3 * 64 * 192 + 2 * 64):,} parameters in the layers)" in title
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [row[:2] for row in rows] == [
        ["what", "size"], ["---", "---"], ["bf16 matrix product", "256 x 256"], ["bf16 matrix product", "512 x 512"],
        ["in process, transformers", "64 tokens"], ["in process, transformers", "128 tokens"],
    ]  # fmt: skip
    rate = max(float(row[2].split()[0]) for row in rows[2:4]) * 1e12
    for row in rows[4:]:
        speed, floor = (float(cell.split()[0].replace(",", "")) for cell in row[2:4])
        assert floor == pytest.approx(rate / (2 * 106_752), rel=0.01)
        assert float(row[4].rstrip("%")) == pytest.approx(100 * speed / floor, abs=0.1)
        assert speed > 0


def test_without_a_gpu_it_says_so() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu_benchmark().startswith("no GPU here: nothing is measured")
