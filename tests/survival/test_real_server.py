"""The only real SGLang server of a run is killed in the middle, and comes back: as itself, or as another judge."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT, pairs, write_rows
from tests.sglang_cpu import server
from tests.test_several_servers import assert_same, command, label

pytestmark = [pytest.mark.sglang, pytest.mark.survival]


def kill(url: str) -> None:
    """End a server and all that it has started, at once."""
    port = f"--port={url.rpartition(':')[2]}".encode()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            here = port in entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if here:
            for pid in server.members(int(entry.parent.name)):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def judging(raw: Path, out: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has stored judgments and has not finished."""
    out.mkdir()
    with (out / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command(raw, out, "--judge-url", url, "--in-flight", "1", "--batch", "4"),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
        try:
            end = time.monotonic() + 120
            while b"judgments: 0 cached" not in (out / "stderr").read_bytes():
                assert process.poll() is None, (out / "stderr").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            time.sleep(1)
            assert process.poll() is None, (out / "stderr").read_text()
            yield process
        finally:
            process.kill()


def test_it_comes_back(models: dict[str, Path], tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(400, labelled=40))
    other = Path(shutil.copytree(models["tiny"], tmp_path / "other"))
    disturbed, undisturbed, refused = (tmp_path / name for name in ("disturbed", "undisturbed", "refused"))
    with server.serve(models["tiny"], extra=server.REPEATABLE) as url:
        port = int(url.rpartition(":")[2])
        run = judging(raw, disturbed, url)
        process = run.__enter__()
        kill(url)
    try:
        with server.serve(models["tiny"], extra=server.REPEATABLE, port=port) as url:
            assert process.wait(200) in {0, 4}, (disturbed / "stderr").read_text()
            assert label(raw, undisturbed, "--judge-url", url).returncode in {0, 4}
            assert_same(disturbed, undisturbed)
            again = judging(raw, refused, url)
            process = again.__enter__()
            kill(url)
    finally:
        run.__exit__(None, None, None)
    try:
        with server.serve(other, extra=server.REPEATABLE, port=port):
            assert process.wait(120) == 1
    finally:
        again.__exit__(None, None, None)
    assert "another judge" in (refused / "stderr").read_text()
