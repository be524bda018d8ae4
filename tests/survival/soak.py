"""Half an hour of judging from a server that fails now and then: is memory flat, is nothing lost, nothing asked twice?

    python -m tests.survival soak                 half an hour; draws tests/survival/soak.svg
    python -m tests.survival soak --minutes 2     less

A judge server in a process of its own says what it says about a prompt by what stands in it (tests/fake_sglang.py), and
meets two requests in a hundred with a fault that another try may mend. `curator label`, in its own process, is asked
for more pairs than it can judge in that time, and gets a SIGTERM at the end of it. What it and the processes it starts
hold is looked at every few seconds. Then each judgment in the store is compared with what the server says. Needs Linux
(/proc), and up to 3 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from scipy.stats import theilslopes
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from curator.store import open_store
from tests.fake_sglang import BIAS, MASS, FakeSGLang
from tests.test_tokenizer import CHATML, Model, save

ROOT = Path(__file__).parents[2]
PLOT = Path(__file__).with_name("soak.svg")

WORDS = 380
"""In a response; each is a token."""

DELAY, AT_ONCE = 0.2, 4
"""Seconds a request takes the server, and how many it serves at a time: 320 prompts a second."""

PAIRS_A_MINUTE = 10_000
"""More than that server can judge."""

EVERY = 5.0
"""Seconds between two looks at the processes, at the most."""

SHARE = 0.02
FAULTS = (
    "429", "429 1", "500", "502", "503", "503 1", "504", "reset", "half", "html", "truncated", "fewer", "more", "NaN",
    "Infinity", "-Infinity", "null", "positive", "too-much", "no-label", "no-positions", "no-meta", "miscounted",
    "abort", "abort-bare", "strings", "hang 3", "trickle",
)  # fmt: skip
HARMLESS = {"hang 3", "trickle"}
"""Slow replies that are right."""

# ------------------------------------------------------------------------------------------------ the pairs, the model


def words(rng: np.random.Generator) -> list[str]:
    letters = rng.integers(97, 123, (2_000, 3), dtype=np.uint8)
    return [bytes(word).decode() for word in letters]


def tokenizer(folder: Path) -> Path:
    """A byte-level BPE of these words, with ChatML."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    text = " ".join(words(np.random.default_rng(1)))
    bpe.train_from_iterator(
        [text] * 20 + ["A response of quality, an answer of quality 0. Which answer is better, A or B?"] * 200,
        trainers.BpeTrainer(
            vocab_size=8_000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special,
            show_progress=False,
        ),
    )  # fmt: skip
    folder.mkdir()
    return save(Model(json.loads(bpe.to_str()), CHATML), folder)


def write_pairs(path: Path, count: int) -> None:
    """Two pairs a prompt, every twentieth labelled by what its quality says, one in ten of them wrong."""
    rng = np.random.default_rng(1)
    pool = words(rng) * 3
    text = [" ".join(pool[at : at + WORDS]) for at in range(2_000)]
    with path.open("w") as file:
        for i in range(count):
            (one, two), (good, bad) = rng.integers(0, len(text), 2), rng.integers(0, 400, 2) / 100
            label = "ab"[int((good < bad) != (rng.random() < 0.1))] if i % 20 == 0 else None
            row = {
                "id": f"p{i}", "prompt": f"Question {i // 2}", "label": label,
                "response_a": f"{i} {text[one]} quality {good}", "response_b": f"{text[two]} quality {bad}",
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")


# -------------------------------------------------------------------------------------------------------- the server


class Failing(FakeSGLang):
    """The double of a judge, which keeps nothing of what it is asked, and fails now and then."""

    def __init__(self, folder: Path, share: float) -> None:
        codec = Tokenizer.from_file(str(folder / "tokenizer.json"))
        mark = codec.encode(" quality").ids[0]

        def decode(ids: Sequence[int]) -> str:
            """Only what the answer goes by: decoding all would cost more than all the rest."""
            places = [place for place, token in enumerate(ids) if token == mark]
            return " ".join(codec.decode(list(ids[place : place + 8])) for place in places)

        super().__init__(
            encode=lambda text: codec.encode(text, add_special_tokens=False).ids, decode=decode, context=8_192,
            delay=DELAY, at_once=AT_ONCE,
        )  # fmt: skip
        self.bodies, self.headers = deque(maxlen=1), deque(maxlen=1)  # type: ignore[assignment]
        self._share, self._random = share, random.Random(1)
        self.seen: dict[str, Any] = {"requests": 0, "prompts": 0, "tokens": 0, "right": 0, "faults": Counter()}
        self.pages["/soak"] = self.seen

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        prompts = body["input_ids"]
        fault = self._random.choice(FAULTS) if self._random.random() < self._share else None
        if fault is not None:
            self.seen["faults"][fault] += 1
            self.misbehave(fault)
        self.seen["requests"] += 1
        self.seen["prompts"] += len(prompts)
        self.seen["tokens"] += sum(map(len, prompts))
        response = await super()._answer(request, body)
        if fault is None or fault in HARMLESS:
            self.seen["right"] += len(prompts)
        return response


def serve(folder: Path, share: float) -> None:
    with Failing(folder, share) as server:
        print(server.url, flush=True)
        signal.pause()


@contextmanager
def served(folder: Path, share: float) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.survival.soak", "--serve", str(folder), "--share", str(share)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def seen(url: str) -> dict[str, Any]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url + "/soak", timeout=60) as reply:
        values: dict[str, Any] = json.load(reply)
    return values


# ---------------------------------------------------------------------------------------------------------- the looks


@dataclass(frozen=True)
class Look:
    """What a process and those it started hold: MiB, and numbers.

    `own`: what only they hold (USS); `first`: what only the process that judges does.
    """

    seconds: float
    resident: float
    own: float
    first: float
    files: int
    threads: int
    store: float
    prompts: int


def family(pid: int) -> list[int]:
    """A process and all it started, as far as they still run."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [one for child in task.read_text().split() for one in family(int(child))]
    return found


def look(pid: int, store: Path, url: str, start: float) -> Look:
    resident = own = first = 0.0
    files = threads = 0
    for process in family(pid):
        folder = Path("/proc", str(process))
        for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes, *_ = line.split()
            resident += (name == "Rss:") * int(kilobytes) / 1024
            own += (name in {"Private_Clean:", "Private_Dirty:"}) * int(kilobytes) / 1024
        first = first or own
        files += len(list((folder / "fd").iterdir()))
        threads += len(list((folder / "task").iterdir()))
    size = sum(file.stat().st_size for file in store.parent.glob(store.name + "*") if file.is_file())
    return Look(time.monotonic() - start, resident, own, first, files, threads, size / 2**20, seen(url)["prompts"])


def watched(process: subprocess.Popen[bytes], errors: Path, store: Path, url: str, minutes: float) -> list[Look]:
    """Look while it judges; ask it to stop when the time is over."""
    while b"judgments: 0 cached" not in errors.read_bytes():
        if process.poll() is not None:
            raise SystemExit(errors.read_text())
        time.sleep(0.2)
    start, looks = time.monotonic(), list[Look]()
    pause = min(EVERY, minutes)
    while process.poll() is None and time.monotonic() - start < 60 * minutes:
        try:
            looks.append(look(process.pid, store, url, start))
        except (FileNotFoundError, ProcessLookupError):  # it ends, or one that it started does
            pass
        time.sleep(pause)
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    return looks


# --------------------------------------------------------------------------------------------------------- the checks


def compared(path: Path) -> dict[str, Any]:
    """The judgments in the store beside what the server says about their pairs."""
    with open_store(path) as store:
        (row,) = store.records(
            """WITH told AS (
                SELECT j.*, regexp_extract(response_a, 'quality ([0-9.]+)$', 1)::DOUBLE
                    - regexp_extract(response_b, 'quality ([0-9.]+)$', 1)::DOUBLE
                    + CASE pair_order WHEN 'ab' THEN $bias ELSE -$bias END AS truth
                FROM judgment j JOIN pair USING (pair_id)
            )
            SELECT count(*) AS judgments, count(DISTINCT (pair_id, pair_order)) AS different,
                count(*) FILTER (status = 'failed') AS failed, count(DISTINCT judge_id) AS judges,
                count(*) FILTER (
                    status = 'ok' AND (abs(logprob_a - logprob_b - truth) > 1e-9 OR abs(label_mass - $mass) > 1e-9)
                ) AS wrong,
                sum(prompt_tokens)::BIGINT AS tokens
            FROM told""",
            {"bias": BIAS, "mass": MASS},
        )
    return row


@dataclass(frozen=True)
class Trend:
    """The second half of the looks: middle, and what the robust line through them (Theil, Sen) gains over that time."""

    name: str
    middle: float
    gain: float
    most: float

    @property
    def flat(self) -> bool:
        return self.gain <= self.most


def trends(looks: Sequence[Look]) -> list[Trend]:
    """Memory may gain a twentieth, and files and threads one, in the second half of the time."""
    half = [one for one in looks if one.seconds >= looks[-1].seconds / 2]
    at = np.array([one.seconds for one in half])
    found = []
    rules: dict[str, Callable[[float], float]] = {
        "resident": lambda middle: middle / 20, "own": lambda middle: middle / 20,
        "files": lambda _: 1.0, "threads": lambda _: 1.0,
    }  # fmt: skip
    for name, most in rules.items():
        values = np.array([getattr(one, name) for one in half], dtype=float)
        middle = float(np.median(values))
        found.append(Trend(name, middle, float(theilslopes(values, at).slope * (at[-1] - at[0])), most(middle)))
    return found


@dataclass(frozen=True)
class Soak:
    """What one run came to."""

    code: int
    seconds: float
    lines: int
    told: dict[str, Any]
    stored: dict[str, Any]
    looks: list[Look]
    trends: list[Trend]

    def objections(self) -> list[str]:
        """What a run that survives has none of."""
        stored, told = self.stored, self.told
        found = {
            f"exit code {self.code}": self.code not in {0, 4, 130},
            f"{stored['wrong']} judgments are not what the server said": stored["wrong"],
            f"{stored['failed']} judgments failed": stored["failed"],
            f"{stored['judgments'] - stored['different']} judged twice": stored["judgments"] != stored["different"],
            f"{told['right']} right replies, {stored['judgments']} judgments": told["right"] != stored["judgments"],
            "nothing was judged": not stored["judgments"],
            f"{self.lines} lines on standard error": self.lines > 20 + self.seconds / 10,
        }
        found |= {f"{one.name} grow by {one.gain:.1f} (at most {one.most:.1f})": not one.flat for one in self.trends}
        return [what for what, so in found.items() if so]

    def summary(self) -> str:
        told, stored, faults = self.told, self.stored, sum(self.told["faults"].values())
        harmless = sum(count for name, count in told["faults"].items() if name in HARMLESS)
        rows = {
            "time judging": f"{self.seconds / 60:.1f} minutes",
            "pairs, judgments": f"{stored['judgments'] / 2:,.0f}, {stored['judgments']:,}",
            "pairs/s": f"{stored['judgments'] / 2 / self.seconds:,.0f}",
            "prompt tokens sent (of judgments)": f"{told['tokens']:,} ({stored['tokens']:,})",
            "requests, faults": f"{told['requests']:,}, {faults:,} ({faults / told['requests']:.1%})",
            "of which slow but right": f"{harmless:,}",
            "prompts asked again": f"{told['prompts'] - told['right']:,}",
            "judgments lost, twice, wrong, failed": ", ".join(
                f"{value:,}"
                for value in (
                    told["right"] - stored["judgments"], stored["judgments"] - stored["different"], stored["wrong"],
                    stored["failed"],
                )
            ),
            "store at the end": f"{self.looks[-1].store:,.0f} MiB",
            "lines on standard error, exit code": f"{self.lines}, {self.code}",
        }  # fmt: skip
        for one in self.trends:
            unit = " MiB" if one.name in {"resident", "own"} else ""
            rows[f"{one.name}, second half"] = (
                f"{one.middle:,.1f}{unit}, gaining {one.gain:+,.2f}{unit} (flat: at most {one.most:,.1f})"
            )
        lines = [f"| {name} | {value} |" for name, value in rows.items()]
        kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(told["faults"].items()))
        return "\n".join(["| soak | |", "|---|---|", *lines, "", f"Faults: {kinds}"])


def soak(folder: Path, minutes: float, pairs: int, share: float = SHARE, memory: str = "256MiB") -> Soak:
    """Judge for so long, or until all pairs are judged, and look what came of it."""
    model, raw, out = tokenizer(folder / "model"), folder / "raw.jsonl", folder / "out"
    write_pairs(raw, pairs)
    errors = folder / "stderr"
    environment = {key: value for key, value in os.environ.items() if key != "SGLANG_API_KEY"}
    with served(model, share) as url, errors.open("wb") as file:
        command = [
            sys.executable, "-m", "curator", "label", str(raw), "--out", str(out), "--judge-url", url, "--no-probe",
            "--tokenizer", str(model), "--alpha", "0.2",
        ]  # fmt: skip
        with subprocess.Popen(
            command, cwd=ROOT, env=environment | {"CURATOR_MEMORY": memory}, stdout=subprocess.DEVNULL, stderr=file
        ) as process:
            try:
                looks = watched(process, errors, out / "curator.duckdb", url, minutes)
            finally:
                process.kill()
        told = seen(url)
    lines = len(errors.read_text().splitlines())
    looks = [one for one in looks if one.prompts < told["prompts"]]  # it does other things once all are judged
    stored = compared(out / "curator.duckdb")
    return Soak(process.returncode, looks[-1].seconds, lines, told, stored, looks, trends(looks))


def plot(looks: Sequence[Look]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "curator", "font.size": 11})
    from matplotlib import pyplot as plt

    names = [field.name for field in fields(Look)]
    of = dict(zip(names, np.array([astuple(one) for one in looks], dtype=float).T, strict=True))
    minutes = of["seconds"] / 60
    figure, (memory, handles, pace) = plt.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
    memory.plot(minutes, of["resident"], label="resident (RSS)")
    memory.plot(minutes, of["own"], label="own (USS)")
    memory.plot(minutes, of["store"], "--", color="0.6", label="the store's file")
    memory.set(ylabel="MiB", ylim=(0, None))
    handles.plot(minutes, of["files"], label="open files")
    handles.plot(minutes, of["threads"], label="threads")
    handles.set(ylabel="number", ylim=(0, None))
    every = max(1, len(looks) // 90)
    at, prompts = minutes[::every], of["prompts"][::every]
    pace.plot(at[1:], np.diff(prompts) / np.diff(at) / 120, label="pairs a second")
    pace.set(xlabel="minutes of judging, 2% of the requests failing", ylabel="pairs/s", ylim=(0, None))
    for axis in (memory, handles, pace):
        axis.legend(frameon=False, loc="lower right")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pairs", type=int, help="at the most; else as many as could be judged in that time")
    parser.add_argument("--share", type=float, default=SHARE, help="of the requests that fail")
    parser.add_argument("--memory", default="256MiB", help="CURATOR_MEMORY: the store's own cache fills up to it first")
    parser.add_argument("--looks", type=Path, help="a file for all that was seen, as JSON")
    parser.add_argument("--no-plot", action="store_true", help="leave the picture as it is")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve, chosen.share)
        return
    pairs = chosen.pairs or max(2_000, int(PAIRS_A_MINUTE * chosen.minutes))
    with tempfile.TemporaryDirectory(prefix="curator-soak-") as folder:
        result = soak(Path(folder), chosen.minutes, pairs, chosen.share, chosen.memory)
    print(result.summary(), flush=True)
    if chosen.looks is not None:
        chosen.looks.write_text(json.dumps([asdict(one) for one in result.looks]))
    if not chosen.no_plot:
        plot(result.looks)
    if objections := result.objections():
        sys.exit("not survived: " + "; ".join(objections))


if __name__ == "__main__":
    main()
