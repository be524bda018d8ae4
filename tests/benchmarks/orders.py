"""In which order questions should be asked, so that a server's prefix cache computes fewest tokens.

    python -m tests.benchmarks.orders [MODEL]

The same prompts as `tests.benchmarks.prefix`, sent straight to a real SGLang server (CPU) in several orders:

- neighbours: pairs of a prompt adjacent, both orders of a pair adjacent;
- by first: the same, within a prompt by the response shown first;
- apart: by first, but dealt out over WINDOW prompts: the first question of each, then the second of each, and so on;
- apart, warm: the same, after one question alone, which puts the rubric into the cache.

What two prompts of one prefill batch share is computed twice; `apart` keeps those that share most out of one batch.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from itertools import islice, zip_longest
from pathlib import Path

import aiohttp

from curator.formats.read import read
from curator.judges.tokenizer import JudgeTokenizer
from curator.options import Reading
from curator.pair import Order, Pair
from curator.prefixes import best_prefix_cache
from curator.prompts import Question
from curator.recipes import load_template
from curator.sources import source_rows
from tests.benchmarks.prefix import DATA, FLAGS, tiny
from tests.sglang_cpu import server

BATCH, IN_FLIGHT = 16, 4
WINDOW = BATCH * IN_FLIGHT
"""Prompts among which questions are dealt out: as many as are with the server at one time."""

Prompts = list[list[int]]


def main(model: Path | None = None) -> None:
    if server.python_path() is None:
        print(f"no SGLang environment at {server.home()}: run tests/sglang_cpu/install.sh; nothing is measured")
        return
    print("| data | server | order | sent | computed | best | computed / best |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        model = model or tiny(Path(folder))
        data = {name: groups(path, count, model) for name, (path, count) in DATA.items() if path.is_file()}
        for flags in ("default", "lpm"):
            with server.serve(model, extra=FLAGS[flags]) as url:
                for name, found in data.items():
                    for order, prompts in orders(found).items():
                        best = best_prefix_cache(prompts)
                        computed = asyncio.run(ask(url, prompts, warm=order.endswith("warm")))
                        cells = (name, flags, order, f"{best.sent:,}", f"{computed:,}", f"{best.computed:,}")
                        print(f"| {' | '.join(cells)} | {computed / best.computed:.4f} |", flush=True)


def groups(path: Path, count: int, model: Path) -> list[list[tuple[str, list[int]]]]:
    """For each prompt of a file its questions, as (response shown first, token ids)."""
    tokenizer, template = JudgeTokenizer.load(str(model)), load_template("chat")
    found: dict[str, list[tuple[str, list[int]]]] = {}
    for pair in islice(read(source_rows(str(path)), Reading()), count):
        if isinstance(pair, Pair):
            for first, second in ((pair.response_a, pair.response_b), (pair.response_b, pair.response_a)):
                ids = tokenizer.encode(template, Question("", Order.AB, pair.prompt, first, second))
                found.setdefault(pair.prompt_id, []).append((first, ids))
    return list(found.values())


def orders(found: list[list[tuple[str, list[int]]]]) -> dict[str, Prompts]:
    by_first = [[ids for _, ids in sorted(group, key=lambda question: question[0])] for group in found]
    dealt = [
        ids
        for start in range(0, len(by_first), WINDOW)
        for turn in zip_longest(*by_first[start : start + WINDOW])
        for ids in turn
        if ids is not None
    ]
    return {
        "neighbours": [ids for group in found for _, ids in group],
        "by first": [ids for group in by_first for ids in group],
        "apart": dealt,
        "apart, warm": dealt,
    }


async def ask(url: str, prompts: Prompts, *, warm: bool) -> int:
    """Tokens that a server with an empty cache computes of prompts, which are asked as curator's client does."""
    batches = [prompts[i : i + BATCH] for i in range(warm, len(prompts), BATCH)]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600), raise_for_status=True) as session:
        async with session.post(f"{url}/flush_cache"):
            pass
        computed = await _computed(session, url, prompts[:1]) if warm else 0
        source = iter(batches)

        async def work() -> int:
            return sum([await _computed(session, url, batch) for batch in source])

        return computed + sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))


async def _computed(session: aiohttp.ClientSession, url: str, batch: Prompts) -> int:
    body = {
        "input_ids": batch,
        "sampling_params": {"max_new_tokens": 0, "temperature": 0},
        "return_logprob": True,
        "token_ids_logprob": [[0, 1]] * len(batch),
    }
    async with session.post(f"{url}/generate", json=body) as reply:
        found = [answer["meta_info"] for answer in await reply.json()]
    return sum(meta["prompt_tokens"] - meta["cached_tokens"] for meta in found)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
