"""How much of a bare loop curator reaches: the same prompts in the same requests, and nothing checked or stored.

    python -m tests.benchmarks.client --tokenizer DIR [--model DIR] [--pairs 4000] [--repeat 3]

Servers: a stub that takes 5 ms a request, one request after another as a GPU would; one that answers each request
after 5 ms, however many there are; one that answers at once; and, with --model, a real SGLang server on this CPU.
Two bare loops: one has every request ready as bytes before it starts; the other makes the prompts as it goes, with
curator's own prompter. The first shows what a server could take, the second what the checks, the store and the
adapting cost. Pairs: real ones from ../shared/data, or the quick-start's where those are not at hand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import aiohttp
import orjson

from curator.judges.ahead import in_runs
from curator.judges.prompting import SAMPLE, OnOverlong, Prompt, TokenPrompter
from curator.judges.sglang import BATCH
from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import Message, Order
from curator.prompts import Question
from curator.recipes import load_template
from tests.benchmarks.neighbours.pairs import usable
from tests.benchmarks.stub import ROOT, serving
from tests.sglang_cpu import server

DATA = ROOT.parent / "shared" / "data"
IN_FLIGHT = 4


def rows(count: int) -> list[dict[str, str]]:
    if DATA.is_dir():
        found = [row for _, row in islice(usable(DATA), count)]
    else:
        text = (ROOT / "recipes" / "quickstart" / "pairs.jsonl").read_text(encoding="utf-8")
        found = [json.loads(line) for line in text.splitlines()][:count]
    # As curator deals them: the pairs of a prompt are neighbours.
    order: dict[str, int] = {}
    chosen = [{key: row[key] for key in ("prompt", "response_a", "response_b")} for row in found]
    return sorted(chosen, key=lambda row: order.setdefault(row["prompt"], len(order)))


def questions(pairs: list[dict[str, str]]) -> Iterator[Question]:
    for number, pair in enumerate(pairs):
        conversation, a, b = (Message("user", pair["prompt"]),), pair["response_a"], pair["response_b"]
        yield Question(str(number), Order.AB, conversation, a, b)
        yield Question(str(number), Order.BA, conversation, b, a)


def bodies(prompter: TokenPrompter, pairs: list[dict[str, str]]) -> Iterator[bytes]:
    """The requests that curator sends."""
    for run in in_runs(questions(pairs), BATCH):
        for start in range(0, len(run), BATCH):
            yield body(prompter, [prompter.prompt(question) for question in run[start : start + BATCH]])


def body(prompter: TokenPrompter, prompts: list[Prompt]) -> bytes:
    return (
        b'{"input_ids":[%b],"sampling_params":{"max_new_tokens":0,"temperature":0},"return_logprob":true,'
        b'"token_ids_logprob":%b}'
    ) % (b",".join(prompt.content for prompt in prompts), orjson.dumps(list(prompter.labels)))


async def bare(url: str, requests: Iterable[bytes]) -> float:
    """Seconds to send requests, a few at a time, and read what they are answered."""
    source = iter(requests)
    async with aiohttp.ClientSession() as session:

        async def send() -> None:
            for data in source:
                async with session.post(
                    url + "/generate", data=data, headers={"Content-Type": "application/json"}
                ) as reply:
                    orjson.loads(await reply.read())

        start = time.monotonic()
        await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
        return time.monotonic() - start


def curator(raw: Path, url: str, tokenizer: str) -> tuple[float, float]:
    """Seconds of judging, and CPU seconds of the whole command."""
    with tempfile.TemporaryDirectory() as out:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "curator", "label", str(raw), "--judge-url", url, "--out", out, "--no-probe",
             "--min-label-mass", "0", "--tokenizer", tokenizer, "--json"],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(done.stdout)
    assert result["failed"] == 0, done.stderr
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result["judging_seconds"], cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="folder of the judge's tokenizer (SmolLM2's)")
    parser.add_argument("--model", type=Path, help="folder of a model for a real SGLang server on this CPU")
    parser.add_argument("--pairs", type=int, default=4_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    pairs = rows(options.pairs)
    prompter = TokenPrompter(
        load_template("chat"), JudgeTokenizer.load(options.tokenizer), 8_000, OnOverlong.TRUNCATE, SAMPLE
    )
    ready = list(bodies(prompter, pairs))
    print(f"{len(pairs):,} real pairs, {2 * len(pairs):,} prompts in {len(ready):,} requests; best of {options.repeat}")
    print("\n| server | prompts/s: ready-made | made as it goes | curator | of ready-made | of made | a CPU-second |")
    print("|---|---|---|---|---|---|---|")
    servers = [
        ("stub, 5 ms a request, one after another", ("0.005", True)),
        ("stub, each request after 5 ms", ("0.005", False)),
        ("stub, at once", ("0", False)),
    ]
    if options.model is not None:
        servers.append((f"SGLang on this CPU, {options.model.name} model", None))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.jsonl"
        raw.write_text("".join(json.dumps(row) + "\n" for row in pairs), encoding="utf-8")
        for name, stub in servers:
            with ExitStack() as stack:
                if stub is None:
                    # Without its cache, or the second to ask would find everything answered.
                    flags = ("--disable-radix-cache", f"--context-length={8_000}")
                    url = stack.enter_context(server.serve(options.model, extra=flags))
                else:
                    url = stack.enter_context(serving(float(stub[0]), stub[1], "--no-tokenize"))
                runs = []
                for _ in range(options.repeat):  # in turn, so that a busy moment meets all alike
                    one = asyncio.run(bare(url, ready))
                    two = asyncio.run(bare(url, bodies(prompter, pairs)))
                    prompter = TokenPrompter(
                        load_template("chat"), JudgeTokenizer.load(options.tokenizer), 8_000, OnOverlong.TRUNCATE,
                        SAMPLE,
                    )  # fmt: skip
                    runs.append((one, two, *curator(raw, url, options.tokenizer)))
            best = [min(column) for column in zip(*runs, strict=True)]
            speed = [2 * len(pairs) / seconds for seconds in best[:3]]
            print(
                f"| {name} | {speed[0]:,.0f} | {speed[1]:,.0f} | {speed[2]:,.0f} | {speed[2] / speed[0]:.2f} | "
                f"{speed[2] / speed[1]:.2f} | {2 * len(pairs) / best[3]:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
