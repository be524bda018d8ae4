"""Prompts made ahead, in a thread and in processes, are the prompts that would be made one by one."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curator.errors import RecipeError
from curator.judges import ahead
from curator.judges.ahead import in_runs, prompts_ahead
from curator.judges.maker import MakerGone
from curator.judges.prompting import SAMPLE, OnOverlong, Prompt, TextPrompter, TokenPrompter
from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import Message, Order
from curator.prompts import Kind, Question, Template
from curator.recipes import load_template
from tests.conftest import ROOT, pairs, write_rows
from tests.fake_sglang import FakeSGLang
from tests.test_tokenizer import chatml, save

CHAT = load_template("chat")


@pytest.fixture(scope="module")
def prompter(tmp_path_factory: pytest.TempPathFactory) -> TokenPrompter:
    folder = save(chatml(), tmp_path_factory.mktemp("tokenizer"))
    return TokenPrompter(CHAT, JudgeTokenizer.load(str(folder)), 2_000, OnOverlong.TRUNCATE, SAMPLE)


def questions(count: int) -> list[Question]:
    return [
        Question(f"p{i}", Order.AB, (Message("user", f"prompt {i // 3}"),), f"answer {i} " * (i % 200), "other")
        for i in range(count)
    ]


def dealt(asked: list[Question]) -> list[Question]:
    return [question for run in in_runs(asked, 8) for question in run]


def made(prompter: TokenPrompter | TextPrompter, asked: list[Question]) -> list[Prompt]:
    async def gather() -> list[Prompt]:
        return [prompt async for run in prompts_ahead(prompter, asked, 8) for prompt in run]

    return asyncio.run(asyncio.wait_for(gather(), 60))


def test_a_prompter_can_be_sent_to_another_process(prompter: TokenPrompter) -> None:
    prompter.prompt(SAMPLE)  # with everything in it that it keeps
    again = pickle.loads(pickle.dumps(prompter))
    assert again.prompt(SAMPLE) == prompter.prompt(SAMPLE)
    assert (again.labels, again.settings) == (prompter.labels, prompter.settings)
    text = TextPrompter(CHAT, "<", "|", ">", (1, 2))
    text.prompt(SAMPLE)
    assert pickle.loads(pickle.dumps(text)).prompt(SAMPLE) == text.prompt(SAMPLE)


@pytest.mark.parametrize("processes_from", [10**9, 0])
def test_prompts_come_in_order_and_are_the_same(
    prompter: TokenPrompter, monkeypatch: pytest.MonkeyPatch, processes_from: int
) -> None:
    monkeypatch.setattr(ahead, "PROCESSES_FROM", processes_from)
    asked = questions(600)
    assert made(prompter, asked) == [prompter.prompt(question) for question in dealt(asked)]


def test_a_process_that_is_killed_is_done_without(prompter: TokenPrompter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PROCESSES_FROM", 0)
    asked = [*questions(150)] * 20

    async def gather() -> list[Prompt]:
        found = []
        killed = False
        async for run in prompts_ahead(prompter, asked, 8):
            found += run
            await asyncio.sleep(0)
            if len(found) > 800 and not killed:
                for pid in _makers(os.getpid()):
                    killed = True
                    os.kill(pid, signal.SIGKILL)
        assert killed
        return found

    found = asyncio.run(asyncio.wait_for(gather(), 60))
    once = {question.pair_id: prompter.prompt(question) for question in asked}
    assert found == [once[question.pair_id] for question in dealt(asked)]


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def _makers(parent: int) -> list[int]:
    return [pid for pid in _children(parent) if b"curator.judges.maker" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_questions_that_fail_end_the_run_and_leave_no_process(
    prompter: TokenPrompter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "PROCESSES_FROM", 0)

    def broken() -> Iterator[Question]:
        yield from questions(200)
        raise OSError("the store is gone")

    async def gather() -> None:
        async for _ in prompts_ahead(prompter, broken(), 8):
            pass

    with pytest.raises(OSError, match="the store is gone"):
        asyncio.run(asyncio.wait_for(gather(), 60))
    end = time.monotonic() + 10
    while _makers(os.getpid()):
        assert time.monotonic() < end
        time.sleep(0.1)


SCRIPT = """
import curator, sys
from curator.errors import RecipeError
from curator.judges import ahead
ahead.PROCESSES_FROM = 0
result = curator.label(sys.argv[1], judge_url=sys.argv[2], template="chat", out=sys.argv[3], probe=False)
print(result["judged"])
"""


def _raw(tmp_path: Path, count: int) -> Path:
    rows = pairs(count)
    for i, row in enumerate(rows):
        row["response_a"] += f" quality {i % 3}"
        row["response_b"] += " quality 1"
    return write_rows(tmp_path / "raw.jsonl", rows)


def test_a_script_without_a_guard_can_label(tmp_path: Path) -> None:
    """Processes that import the caller's script again would run it again: these do not."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with FakeSGLang() as server:
        done = subprocess.run(
            [sys.executable, str(script), str(_raw(tmp_path, 200)), server.url, str(tmp_path / "out")],
            capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "200\n"


def test_processes_do_not_outlive_a_killed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from curator.judges import ahead\nahead.PROCESSES_FROM = 0\n"
        + ("import sys; from curator.cli.main import main; main(sys.argv[1:])\n"),
        encoding="utf-8",
    )
    with FakeSGLang(delay=0.05) as server:
        command = [sys.executable, str(script), "label", str(_raw(tmp_path, 2_000)), "--judge-url", server.url,
                   "--no-probe", "--out", str(tmp_path / "out"), "--in-flight", "1"]  # fmt: skip
        with (tmp_path / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            end = time.monotonic() + 60
            while not (makers := _makers(process.pid)) or server.prompts < 100:
                assert process.poll() is None, (tmp_path / "stderr").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=30)
        end = time.monotonic() + 30
        while any(_command(pid) for pid in makers):
            assert time.monotonic() < end
            time.sleep(0.2)


def test_ctrl_c_in_a_terminal_drains_with_processes(tmp_path: Path) -> None:
    """A terminal sends its signal to all processes of a run: those that make prompts leave it to the one that asks."""
    script = tmp_path / "script.py"
    script.write_text(
        "from curator.judges import ahead\nahead.PROCESSES_FROM = 0\n"
        + ("import sys; from curator.cli.main import main; main(sys.argv[1:])\n"),
        encoding="utf-8",
    )
    with FakeSGLang(delay=0.2) as server:
        command = [sys.executable, str(script), "label", str(_raw(tmp_path, 2_000)), "--judge-url", server.url,
                   "--no-probe", "--out", str(tmp_path / "out")]  # fmt: skip
        with (tmp_path / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            end = time.monotonic() + 60
            while not _makers(process.pid) or server.prompts < 100:
                assert process.poll() is None, (tmp_path / "stderr").read_text()
                assert time.monotonic() < end
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
    said = (tmp_path / "stderr").read_text()
    assert process.returncode == 130, said
    assert "finishing what is in flight" in said
    assert "Traceback" not in said


def test_the_event_loop_is_free_while_prompts_are_made(prompter: TokenPrompter) -> None:
    """Long texts take their time in a thread, and replies are taken in meanwhile."""
    asked = [Question(f"p{i}", Order.AB, (Message("user", "q"),), f"word {i} " * 60_000, "x") for i in range(4)]
    gaps: list[float] = []

    async def gather() -> None:
        async def tick() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.001)
                gaps.append(time.monotonic() - before)

        ticking = asyncio.create_task(tick())
        async for _ in prompts_ahead(prompter, asked, 1):
            pass
        ticking.cancel()

    asyncio.run(gather())
    assert len(gaps) > 20
    assert threading.active_count() < 50


class Dying:
    """A maker whose process ends while it works."""

    async def make(self, run: list[Question]) -> list[Prompt]:
        await asyncio.sleep(0.05)
        raise MakerGone("killed")

    async def stop(self) -> None: ...


def test_nobody_waits_for_ever_when_the_last_process_dies_and_the_next_does_not_come_up(
    prompter: TokenPrompter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when memory is short: one is up and dies, another is still starting and fails."""
    starts = iter([0.0, 0.2])

    async def start(_prompter: TokenPrompter) -> Dying:
        if (seconds := next(starts)) == 0:
            return Dying()
        await asyncio.sleep(seconds)
        raise MakerGone("no memory")

    monkeypatch.setattr(ahead, "PROCESSES_FROM", 0)
    monkeypatch.setattr(ahead, "_cores", lambda: 3)
    monkeypatch.setattr(ahead.Maker, "start", start)
    asked = questions(400)
    assert [prompt.pair_id for prompt in made(prompter, asked)] == [question.pair_id for question in dealt(asked)]


def test_an_error_of_the_prompter_comes_back_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PROCESSES_FROM", 0)
    template = Template("t", Kind.CHAT, ("A", "B"), user="{{ conversation[2].content }}")
    broken = TextPrompter(template, "<", "|", ">", (1, 2))
    with pytest.raises(RecipeError, match="template 't'"):
        made(broken, questions(2_000))
