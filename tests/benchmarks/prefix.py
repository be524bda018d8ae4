"""How near judging comes to the best possible prefix cache, on a real SGLang server (CPU, tests/sglang_cpu).

    python -m tests.benchmarks.prefix [MODEL]

MODEL: a folder of a small model; without it a 2-layer one of random weights is made. `curator label --judge-url` asks
about 200 real pairs of 20 prompts (where they lie beside the project) and about the quick start's 400 pairs of 400
prompts. Tokens sent and computed are those the server reports; the best possible is each distinct prefix once, and at
least the last token of every prompt. Prints one Markdown table.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.request
from itertools import islice, product
from pathlib import Path

from curator.formats.read import read
from curator.judges.tokenizer import JudgeTokenizer
from curator.options import Reading
from curator.pair import Order, Pair
from curator.prefixes import PrefixCache, best_prefix_cache
from curator.prompts import Question
from curator.recipes import load_template
from curator.sources import source_rows
from curator.store import open_store
from tests.conftest import ROOT, SHARED
from tests.sglang_cpu import server

DATA = {"vicuna80": (SHARED / "prd_vicuna80.jsonl", 200), "quickstart": (ROOT / "recipes/quickstart/pairs.jsonl", 400)}
FLAGS = {"default": [], "lpm": ["--schedule-policy=lpm"], "no cache": ["--disable-radix-cache"]}
SETTINGS = {"default": [(16, 4), (16, 1), (64, 4), (1, 1)], "lpm": [(16, 4), (64, 4)], "no cache": [(16, 4)]}
"""Prompts a request, and requests in flight, by server."""


def main(model: Path | None = None) -> None:
    if server.python_path() is None:
        print(f"no SGLang environment at {server.home()}: run tests/sglang_cpu/install.sh; nothing is measured")
        return
    print("| data | server | batch x in flight | sent | computed | best | computed / best |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = model or tiny(folder)
        files = {name: _rows(folder / f"{name}.jsonl", *source) for name, source in DATA.items() if source[0].is_file()}
        best = {name: best_possible(path, model) for name, path in files.items()}
        for flags, settings in SETTINGS.items():
            with server.serve(model, extra=FLAGS[flags]) as url:
                for (name, path), (batch, in_flight) in product(files.items(), settings):
                    out = folder / f"{name}-{flags}-{batch}-{in_flight}"
                    sent, computed = label(path, url, out, batch, in_flight)
                    if sent != best[name].sent:
                        raise RuntimeError(f"{sent:,} tokens were sent, but the prompts have {best[name].sent:,}")
                    least = best[name].computed
                    cells = (name, flags, f"{batch} x {in_flight}", f"{sent:,}", f"{computed:,}", f"{least:,}")
                    print(f"| {' | '.join(cells)} | {computed / least:.3f} |", flush=True)


def tiny(folder: Path) -> Path:
    """A 2-layer model of random weights with SmolLM2's tokenizer."""
    server.run(server.HERE / "models.py", "smollm2", folder / "smollm2")
    server.run(server.HERE / "models.py", "tiny", folder / "tiny", folder / "smollm2")
    return folder / "tiny"


def _rows(path: Path, source: Path, count: int) -> Path:
    """The first rows of a file as a file of its own."""
    with source.open(encoding="utf-8") as lines:
        path.write_text("".join(islice(lines, count)), encoding="utf-8")
    return path


def best_possible(path: Path, model: Path) -> PrefixCache:
    """What the pairs of a file cost a server that forgets nothing and is asked one prompt at a time."""
    tokenizer, template = JudgeTokenizer.load(str(model)), load_template("chat")
    distinct = {pair.pair_id: pair for pair in read(source_rows(str(path)), Reading()) if isinstance(pair, Pair)}
    return best_prefix_cache(
        [
            tokenizer.encode(template, Question(pair_id, Order.AB, pair.prompt, first, second))
            for pair_id, pair in distinct.items()
            for first, second in ((pair.response_a, pair.response_b), (pair.response_b, pair.response_a))
        ]
    )


def label(path: Path, url: str, out: Path, batch: int, in_flight: int) -> tuple[int, int]:
    """Label a file from an empty cache; tokens sent and tokens computed."""
    with urllib.request.urlopen(urllib.request.Request(f"{url}/flush_cache", method="POST"), timeout=60):
        pass
    done = subprocess.run(
        [
            sys.executable, "-m", "curator", "label", str(path), "--out", str(out), "--judge-url", url,
            "--batch", str(batch), "--in-flight", str(in_flight), "--no-probe", "--min-label-mass", "0",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in {0, 4}:  # 4: no threshold, which nobody asks of random weights
        raise RuntimeError(done.stderr)
    with open_store(out / "curator.duckdb", create=False) as store:
        sent, cached = store.one("SELECT sum(prompt_tokens), sum(cached_tokens) FROM judgment WHERE status = 'ok'")
    return int(sent), int(sent - cached)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
