"""A disk that is full, closed or at its limits: one message that names the file, and the same command again ends it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from curator.store import open_store
from tests.conftest import judgments, pairs, read_rows, write_rows
from tests.survival.running import Done, Runner, inside

KIB = 2**10
PAIRS = 300


class Disk:
    """A small file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mount("-t", "tmpfs", "-o", "size=200m", "tmpfs")

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(self.path)], check=True, capture_output=True, text=True)

    def leave(self, size: int) -> None:
        """Make it so small that so many bytes are free."""
        about = os.statvfs(self.path)
        self._mount("-o", f"remount,size={(about.f_blocks - about.f_bfree) * about.f_frsize + size}")

    def leave_files(self, count: int) -> None:
        about = os.statvfs(self.path)
        self._mount("-o", f"remount,nr_inodes={about.f_files - about.f_ffree + count}")

    def forbid(self) -> None:
        self._mount("-o", "remount,ro")

    def grow(self) -> None:
        self._mount("-o", "remount,rw,size=200m,nr_inodes=100k")

    def fill(self, folder: Path) -> None:
        """Empty it, and put in what is in a folder."""
        self.grow()
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(folder, self.path, dirs_exist_ok=True)

    def gone(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=False)


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    place = Path(tempfile.mkdtemp(prefix="curator-disk-"))  # not where a mount that is left would stop the next pytest
    try:
        made = Disk(place)
    except (subprocess.CalledProcessError, OSError) as error:
        reason = f"no file system can be mounted here: {getattr(error, 'stderr', '') or error}"
        if os.environ.get("CURATOR_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield made
    made.gone()
    place.rmdir()


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, a log of judgments, what `curator label` made of them, and labels to import."""
    folder = tmp_path_factory.mktemp("start")
    write_rows(folder / "raw.jsonl", pairs(PAIRS, 120))
    log = judgments(PAIRS, wrong=range(0, PAIRS, 40))
    for row in log:
        if int(row["id"][1:]) % 3 == 0 and int(row["id"][1:]) >= 120:
            row["p_a"] = 0.5
    write_rows(folder / "log.jsonl", log)
    assert inside(*label(folder)).code == 0
    tasks = read_rows(folder / "out" / "queue.jsonl")
    assert len(tasks) == 60
    write_rows(folder / "answers.jsonl", [{**task, "label": "left", "annotator": "anna"} for task in tasks])
    (folder / "groups.yaml").write_text("one: [anna, raw.jsonl]\n")
    return folder


def label(folder: Path, *more: object) -> tuple[object, ...]:
    return "label", folder / "raw.jsonl", "--judgments", folder / "log.jsonl", "--out", folder / "out", *more


def db(folder: Path) -> tuple[object, ...]:
    return "--db", folder / "out" / "curator.duckdb"


COMMANDS = {
    "label anew": label,
    "label again": lambda folder: label(folder, "--alpha", "0.2", "--export", "trl", "--export", "ranking"),
    "export trl": lambda folder: ("export", *db(folder), "--to", "trl", "--out", folder / "new"),
    "export jsonl": lambda folder: ("export", *db(folder), "--to", "jsonl", "--out", folder / "out" / "dataset"),
    "export axolotl": lambda folder: (
        "export", *db(folder), "--to", "axolotl", "--split", "0.2", "--out", folder / "new",
    ),
    "import": lambda folder: ("import", folder / "answers.jsonl", *db(folder)),
    "queue html": lambda folder: ("queue", *db(folder), "--to", "html", "--out", folder / "people"),
    "queue csv": lambda folder: ("queue", *db(folder), "--to", "csv", "--out", folder / "people"),
    "report": lambda folder: ("report", *db(folder)),
    "hygiene": lambda folder: ("hygiene", *db(folder)),
    "calibrate": lambda folder: ("calibrate", *db(folder), "--alpha", "0.15"),
    "agreement": lambda folder: (
        "agreement", *db(folder), "--annotator-groups", folder / "groups.yaml", "--datasets", folder / "groups",
    ),
}  # fmt: skip
SHORT = {"label anew": (1_000,), "export jsonl": (0,), "import": (0,)}
LONG = (0, 24, 200, 1_300)
MIDDLE = (0, 140)
FEW = (0, 36)


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file but the store and what says when it was made."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".duckdb", ".wal", "run.json", ".last-run.json"))
    }


def judged(folder: Path) -> list[tuple[object, ...]]:
    """What is in the store that a run may not lose or repeat."""
    with open_store(folder / "out" / "curator.duckdb", read_only=True) as store:
        return store.rows(
            """SELECT (SELECT count(*) FROM pair), (SELECT count(*) FROM judgment),
            (SELECT bit_xor(hash(pair_id, pair_order, logprob_a)) FROM judgment),
            (SELECT bit_xor(hash(pair_id, verdict, annotator)) FROM human_label)"""
        )


def one_message(done: Done, folder: Path) -> None:
    assert done.code == 1, done
    assert "Traceback" not in done.err
    assert [line for line in done.err.splitlines() if line.startswith("Error: ")] == [done.said]
    assert str(folder) in done.said
    assert "ake space, and run the same command again" in done.said


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple[dict[str, bytes], list[tuple[object, ...]]]]:
    return {}


def walked(
    name: str, sizes: tuple[int, ...], disk: Disk, run: Runner, start: Path, undisturbed: dict[str, object]
) -> int:
    """Run a command with ever more room; returns how often there was too little."""
    command = COMMANDS[name](disk.path)

    def begin() -> None:
        disk.fill(start)
        if name == "label anew":
            shutil.rmtree(disk.path / "out")

    if name not in undisturbed:
        begin()
        assert inside(*command).code == 0
        undisturbed[name] = outputs(disk.path), judged(disk.path)
    failed = 0
    for size in sizes:
        begin()
        before = outputs(disk.path)
        disk.leave(size * KIB)
        done = run(*command)
        if done.code:
            failed += 1
            one_message(done, disk.path)
            after = outputs(disk.path)
            assert not [path for path in after if ".partial" in path or ".spill" in path or ".old" in path]
            whole, made = undisturbed[name][0], {path: text for path, text in after.items() if before.get(path) != text}
            assert before.keys() <= after.keys()
            assert {path: whole[path] for path in made} == made, "what is not as it was is as it is to be"
        disk.grow()
        done = inside(*command)
        assert done.code == 0, (name, size, done)
        assert (outputs(disk.path), judged(disk.path)) == undisturbed[name], (name, size)
    return failed


@pytest.mark.parametrize("name", SHORT)
def test_a_full_disk_is_named_and_the_same_command_ends_it(
    name: str, disk: Disk, run: Runner, start: Path, undisturbed: dict[str, object]
) -> None:
    assert walked(name, SHORT[name], disk, run, start, undisturbed) > 0


@pytest.mark.survival
@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_is_full_at_any_point(
    name: str, disk: Disk, run: Runner, start: Path, undisturbed: dict[str, object]
) -> None:
    sizes = {"label anew": LONG, "label again": MIDDLE}.get(name, FEW)
    failed = walked(name, sizes, disk, run, start, undisturbed)
    print(f"{name}: {len(sizes)} sizes, too small {failed} times")
    assert failed > 0 or name in {"hygiene", "calibrate"}


@pytest.mark.parametrize("count", [1, *(pytest.param(count, marks=pytest.mark.survival) for count in (0, 2, 3, 5, 8))])
def test_a_disk_with_no_room_for_another_file(count: int, disk: Disk, run: Runner, start: Path) -> None:
    disk.fill(start)
    shutil.rmtree(disk.path / "out")
    disk.leave_files(count)
    done = run(*label(disk.path))
    assert (done.code, "Traceback" in done.err) == (1, False), done
    assert "No space left on device" in done.said
    assert str(disk.path) in done.said
    disk.grow()
    assert inside(*label(disk.path)).code == 0


@pytest.mark.parametrize(
    "name", ["import", *(pytest.param(name, marks=pytest.mark.survival) for name in COMMANDS if name != "import")]
)
def test_a_disk_that_may_only_be_read(name: str, disk: Disk, run: Runner, start: Path) -> None:
    disk.fill(start)
    before = outputs(disk.path)
    disk.forbid()
    done = run(*COMMANDS[name](disk.path))
    if name == "label anew":  # nothing is new, and only that this is said again would be written
        assert "Read-only file system" in done.said
    assert (done.code, "Traceback" in done.err) == (1, False), done
    assert str(disk.path) in done.said
    assert outputs(disk.path) == before
    disk.grow()
    assert inside(*COMMANDS[name](disk.path)).code == 0


@pytest.mark.parametrize(
    "size", [300_000, *(pytest.param(size, marks=pytest.mark.survival) for size in (0, 4_096, 100_000, 900_000))]
)
def test_a_limit_on_the_length_of_files(size: int, run: Runner, start: Path, tmp_path: Path) -> None:
    shutil.copytree(start, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "out")
    one_message(run(*label(tmp_path), file=size), tmp_path)
    assert inside(*label(tmp_path)).code == 0
    assert judged(tmp_path) == judged(start)


def test_few_handles_are_enough_and_too_few_are_said(run: Runner, start: Path, tmp_path: Path) -> None:
    shutil.copytree(start, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "out")
    done = run(*label(tmp_path), files=8)
    assert (done.code, "Traceback" in done.err) == (1, False), done
    assert "Too many open files" in done.said
    assert run(*label(tmp_path), files=32).code == 0
