"""Two real SGLang servers: named one by one, behind an sglang-router, and asked from the nodes of a Ray cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tests.conftest import ROOT, read_rows, write_rows
from tests.counting import Counting, counted
from tests.sglang_cpu import server

pytestmark = pytest.mark.sglang

ANY = ("--no-probe", "--min-label-mass", "0", "--alpha", "0.6")
OUTPUTS = ("dataset/data/train-00000-of-00001.parquet", "dataset/README.md", "queue.jsonl", "rejects.jsonl")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 short real pairs, several a prompt, half of them labelled."""
    path = ROOT.parent / "shared" / "data" / "prd_vicuna80.jsonl"
    if not path.is_file():
        pytest.skip(f"real pairs are not at hand: {path} is missing")
    rows = sorted(read_rows(path), key=lambda row: len(row["prompt"] + row["response_a"] + row["response_b"]))[:200]
    return write_rows(
        tmp_path_factory.mktemp("raw") / "raw.jsonl",
        ({**row, "label": row["label"] if i % 2 else None} for i, row in enumerate(rows)),
    )


@pytest.fixture(scope="module")
def alone(raw: Path, tiny_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one server makes of it: what every other way must come to."""
    out = tmp_path_factory.mktemp("alone") / "out"
    done = label(raw, out, "--judge-url", tiny_url)
    assert done.returncode in {0, 4}, done.stderr
    return out


def command(raw: Path, out: Path, *judge: str) -> list[str]:
    return [sys.executable, "-m", "curator", "label", str(raw), "--out", str(out), *ANY, *judge]


def label(raw: Path, out: Path, *judge: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(raw, out, *judge), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def assert_same(out: Path, other: Path) -> None:
    for name in OUTPUTS:
        assert (out / name).read_bytes() == (other / name).read_bytes(), name
    one, two = (json.loads((folder / "run.json").read_text()) for folder in (out, other))
    same = ("pairs", "judged", "failed", "accepted", "threshold", "calibration", "dataset", "promise", "tokens")
    assert {key: one[key] for key in same} == {key: two[key] for key in same}
    assert one["judge"]["judge_id"] == two["judge"]["judge_id"]


def beginnings(counting: Counting) -> Counter[tuple[int, ...]]:
    """How many prompts begin alike: with the rubric and the first words of one conversation."""
    return Counter(tuple(ids[:300]) for ids in counting.seen)


def test_two_servers_share_the_prompts(raw: Path, alone: Path, tiny_url: str, second_url: str, tmp_path: Path) -> None:
    with counted(tiny_url) as (one, one_url), counted(second_url) as (two, two_url):
        done = label(raw, tmp_path / "out", "--judge-url", one_url, "--judge-url", two_url)
    assert done.returncode in {0, 4}, done.stderr
    assert_same(tmp_path / "out", alone)
    assert one.prompts + two.prompts == 400
    assert min(one.prompts, two.prompts) > 60
    # Dealt one by one, some .63 of the questions would meet most of their own; at the end, idle servers help out.
    together = sum((beginnings(one) | beginnings(two)).values())
    assert together > 0.7 * 400, "the pairs of a prompt stay together"
    print(f"\n{together} of 400 questions went where most of their prompt did")


def test_a_router_before_two_servers(
    raw: Path, alone: Path, models: dict[str, Path], tiny_url: str, second_url: str, tmp_path: Path
) -> None:
    with (
        counted(tiny_url) as (one, one_url),
        counted(second_url) as (two, two_url),
        server.route([one_url, two_url], "--policy", "round_robin") as url,
    ):
        done = label(raw, tmp_path / "out", "--judge-url", url, "--tokenizer", str(models["tiny"]))
    assert done.returncode in {0, 4}, done.stderr
    assert one.prompts + two.prompts == 400
    assert min(one.prompts, two.prompts) > 60
    # A router does not say of what type the weights are, nor how long a prompt may be: by that it is another judge.
    ids = [json.loads((out / "run.json").read_text())["judge"] for out in (tmp_path / "out", alone)]
    assert ids[0]["settings"]["dtype"] is None
    assert ids[0]["settings"]["label_tokens"] == ids[1]["settings"]["label_tokens"]
    assert (tmp_path / "out" / OUTPUTS[0]).read_bytes() == (alone / OUTPUTS[0]).read_bytes()
    assert (tmp_path / "out" / "queue.jsonl").read_bytes() == (alone / "queue.jsonl").read_bytes()


def test_a_real_server_is_killed_and_comes_back(
    raw: Path, alone: Path, models: dict[str, Path], tiny_url: str, tmp_path: Path
) -> None:
    """The other one goes on meanwhile; nothing is lost, and nothing is judged otherwise."""
    out = tmp_path / "out"
    with server.serve(models["tiny"], extra=server.REPEATABLE) as leaving, (tmp_path / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command(raw, out, "--judge-url", tiny_url, "--judge-url", leaving, "--in-flight", "1", "--batch", "4"),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
        _until_stored(out, process, tmp_path / "stderr")
    # It is gone now, and comes back at the same address while the other one works.
    with server.serve(models["tiny"], extra=server.REPEATABLE, port=int(leaving.rpartition(":")[2])):
        assert process.wait(300) in {0, 4}, (tmp_path / "stderr").read_text()
    assert_same(out, alone)


def _until_stored(out: Path, process: subprocess.Popen[bytes], errors: Path) -> None:
    """Wait until judging has begun."""
    end = time.monotonic() + 60
    while b"judgments: 0 cached" not in errors.read_bytes():
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.7)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray cluster of two nodes, which are processes of this machine."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'preference-curator[ray]'")
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    settings = ("--num-cpus=2", "--object-store-memory=200000000", "--disable-usage-stats")
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}

    def start(*arguments: str) -> None:
        done = subprocess.run(
            [*ray, "start", *arguments, *settings], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    start("--head", "--node-ip-address=127.0.0.1", "--port=6399", "--include-dashboard=false")
    try:
        start("--address=127.0.0.1:6399")
        yield "127.0.0.1:6399"
    finally:
        subprocess.run([*ray, "stop", "--force"], env=environment, capture_output=True, check=False)


def test_ray_comes_to_the_same_byte_for_byte(
    raw: Path, alone: Path, cluster: str, tiny_url: str, second_url: str, tmp_path: Path
) -> None:
    with counted(tiny_url) as (one, one_url), counted(second_url) as (two, two_url):
        done = label(raw, tmp_path / "out", "--judge-url", one_url, "--judge-url", two_url, "--ray", cluster)
    assert done.returncode in {0, 4}, done.stderr
    assert_same(tmp_path / "out", alone)
    assert one.prompts + two.prompts == 400
    assert min(one.prompts, two.prompts) > 60
    assert not (tmp_path / "out" / "ray").exists(), "shards that are stored are of no use"


def test_a_ray_worker_that_is_killed_costs_its_batch(
    raw: Path, alone: Path, cluster: str, tiny_url: str, second_url: str, tmp_path: Path
) -> None:
    from curator.judges.cluster import SHARD

    out = tmp_path / "out"
    with (
        counted(tiny_url) as (one, one_url),
        counted(second_url) as (two, two_url),
        (tmp_path / "stderr").open("wb") as errors,
    ):
        process = subprocess.Popen(
            command(raw, out, "--judge-url", one_url, "--judge-url", two_url, "--ray", cluster),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
        end = time.monotonic() + 120
        while one.answered + two.answered < 100:
            assert process.poll() is None, (tmp_path / "stderr").read_text()
            assert time.monotonic() < end
            time.sleep(0.01)
        killed = _kill_a_worker()
        assert process.wait(300) in {0, 4}, (tmp_path / "stderr").read_text()
    assert killed
    assert_same(out, alone)
    assert 400 <= one.prompts + two.prompts <= 400 + SHARD
    print(f"\na worker was killed; {one.prompts + two.prompts} prompts were asked for 400 judgments")


def _kill_a_worker() -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = entry.read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::") and b"Worker" in name and b"IDLE" not in name:
            os.kill(int(entry.parent.name), signal.SIGKILL)
            return True
    return False


def test_shards_of_a_killed_driver_are_taken_over(
    raw: Path, alone: Path, cluster: str, tiny_url: str, tmp_path: Path
) -> None:
    """What workers had finished when the driver was killed is not asked again."""
    out = tmp_path / "out"
    with counted(tiny_url) as (counting, url):
        process = subprocess.Popen(
            command(raw, out, "--judge-url", url, "--ray", cluster),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 120
        while not list((out / "ray").glob("*/judgments/*.parquet")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
        process.wait()
        time.sleep(3)
        left = sum(
            parquet.read_metadata(file).num_rows for file in (out / "ray").glob("*/judgments/*.parquet")
        )  # shards are of two sizes, and either may be done first
        asked = counting.prompts
        done = label(raw, out, "--judge-url", url, "--ray", cluster)
        assert done.returncode in {0, 4}, done.stderr
    assert left
    assert counting.prompts - asked == 400 - left
    assert_same(out, alone)
    print(f"\n{left} judgments were left; {asked} prompts were asked before the kill, {counting.prompts - asked} after")
