"""Without a network all works that needs none, and nobody is told anything: no telemetry, of ours or of a library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cli

# Every address that is asked for is kept, and those that are not of this machine are refused, as without a network.
WATCHED = """
import json, sys
from pathlib import Path

asked = []

def hook(event, arguments):
    if event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"}:
        where = arguments[0] if event.startswith("socket.get") else arguments[1]
        host = where[0] if isinstance(where, tuple) else where
        if host not in {"127.0.0.1", "localhost", "::1", None} and not str(host).startswith(("/", "\\0")):
            asked.append(str(host))
            raise OSError(101, "Network is unreachable")

sys.addaudithook(hook)
from curator.cli.main import run
from tests.conftest import pairs, write_rows
from tests.fake_sglang import FakeSGLang

rows = [{**row, "response_a": f"quality {i % 7}", "response_b": f"quality {i % 5 + 0.5}"}
        for i, row in enumerate(pairs(30, labelled=10))]
raw = write_rows(Path("raw.jsonl"), rows)
write_rows(Path("log.jsonl"), [])
codes = {}
with FakeSGLang() as server:
    url = f"http://127.0.0.1:{server.port}"
    db = ["--db", "out/curator.duckdb"]
    for line in (
        ["label", "raw.jsonl", "--judge-url", url, "--no-probe", "--min-label-mass", "0", "--out", "out",
         "--export", "trl", "--export", "axolotl"],
        ["doctor", "--judge-url", url, "--retry-seconds", "0"], ["plan", "raw.jsonl", "--cost", "--parameters", "14B"],
        ["calibrate", *db, "--sweep"], ["export", *db, "--to", "llamafactory", "--out", "factory"], ["report", *db],
        ["queue", *db, "--to", "argilla", "--out", "argilla"], ["queue", *db, "--to", "html", "--out", "html"],
        ["hygiene", *db], ["status", *db], ["audit", *db], ["agreement", *db], ["recipes"],
        ["sql", "SELECT count(*) FROM pair", *db], ["push", "me/pairs", *db],
    ):
        codes[line[0]] = run(line)
print("\\n" + json.dumps({"codes": codes, "asked": asked}))
"""


def watched(folder: Path, code: str = WATCHED) -> dict[str, Any]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_commands_ask_nobody_else(tmp_path: Path) -> None:
    found = watched(tmp_path)
    assert found["asked"] == []
    # The double calls no answer of the doctor good: its pairs have no quality.
    codes = {name: code for name, code in found["codes"].items() if code and name not in {"doctor", "label"}}
    assert codes == {}
    assert found["codes"]["label"] in {0, 4}
    assert len(found["codes"]) == 14


def test_the_watch_sees_what_is_asked(tmp_path: Path) -> None:
    code = WATCHED.partition("from curator.cli")[0] + (
        "import urllib.request\n"
        "try:\n    urllib.request.urlopen('http://example.invalid')\n"
        "except OSError:\n    print(json.dumps({'asked': asked}))\n"
    )
    assert watched(tmp_path, code)["asked"] == ["example.invalid"]


def test_the_hub_without_a_network_is_said_soon(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "curator", "label", "org/name", "--out", str(tmp_path / "out")],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "org/name: nothing here is called so, and the hub at http://127.0.0.1:9 cannot be reached" in done.stderr
    assert time.monotonic() - start < 20, "tried once, not for half a minute"
