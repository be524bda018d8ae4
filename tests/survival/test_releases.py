"""What is released is the same to the byte, wherever and whenever it is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUILD = """
import os, sys
os.umask(int(sys.argv[2], 8))
from hatchling.build import build_sdist, build_wheel
print(build_wheel(sys.argv[1]), build_sdist(sys.argv[1]))
"""

SHIPPED = ("curator", "recipes", "schemas", "tests", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml")


def built(python: Path, folder: Path, mask: str, **env: str) -> dict[str, str]:
    """Hash of each file that is built from a copy of the project in a folder."""
    folder.mkdir(parents=True)
    for name in SHIPPED:
        ours = ROOT / name
        if ours.is_dir():
            shutil.copytree(ours, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ours, folder / name)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~int(mask, 8))
        os.utime(path, (1_000_000_000 + len(mask) * len(path.name),) * 2)
    out = folder / "out"
    command = [str(python), "-c", BUILD, str(out), mask]
    subprocess.run(command, cwd=folder, env={"PATH": os.environ["PATH"], **env}, check=True, capture_output=True)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


@pytest.mark.survival
def test_wheel_and_sdist_are_the_same_to_the_byte(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "hatchling>=1.27,<2"]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip("hatchling cannot be had")
    first = built(python, tmp_path / "one", "022", TZ="UTC", LC_ALL="C", PYTHONHASHSEED="1")
    again = built(python, tmp_path / "deep" / "er" / "two", "077", TZ="Asia/Kathmandu", LC_ALL="C.UTF-8", HOME="/")
    assert [Path(name).suffix for name in first] == [".whl", ".gz"]
    assert again == first
    dated = built(python, tmp_path / "three", "022", SOURCE_DATE_EPOCH="1700000000")
    assert set(dated.values()).isdisjoint(first.values()), "the date of a release can be set"
    with zipfile.ZipFile(tmp_path / "one" / "out" / next(iter(first))) as wheel:
        names = wheel.namelist()
        assert {Path(name).parts[0].split("-")[0] for name in names} == {"curator", "preference_curator"}
        modes = {entry.external_attr >> 16 & 0o777 for entry in wheel.infolist()}
    assert modes <= {0o644, 0o755}
