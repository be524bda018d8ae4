"""All benchmarks in turn, each a Markdown table of ratios measured in one run on this machine; about half an hour.

    python -m tests.benchmarks --tokenizer DIR [--model DIR]

DIR: a judge's tokenizer and a small model for the real SGLang server, as tests/sglang_cpu/models.py writes them. What
is not at hand (a GPU, the SGLang environment, the neighbouring tools) is said and left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.benchmarks.stub import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--model")
    options = parser.parse_args()
    model = ["--model", options.model] if options.model else []
    commands = [
        ["client", "--tokenizer", options.tokenizer],
        *([["client", "--tokenizer", options.tokenizer, *model, "--pairs", "250"]] if model else []),
        ["neighbours", "run", "--tokenizer", options.tokenizer],
        ["prefix", *([options.model] if options.model else [])],
        ["large"],
        ["people"],
        ["pac"],
        ["gpu"],
    ]
    for name, *arguments in commands:
        print(f"\n## {' '.join([name, *arguments])}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *arguments], check=False, cwd=ROOT)


if __name__ == "__main__":
    main()
