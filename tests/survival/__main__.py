"""The longest of these runs, one command each: `python -m tests.survival NAME --help`."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "fuzz": "Feed files that a coverage-guided fuzzer makes to everything that reads them.",
    "injections": "Count how often a response that talks to the judge turns its verdict.",
    "kills": "Kill every command at random moments, and compare what comes of it with a run nobody killed.",
    "soak": "Judge from a server that fails now and then, for as long as told, and draw memory and handles.",
}
"""Each is a module of this folder with a `main()` that reads the command line."""

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit("".join(f"{name:12} {what}\n" for name, what in COMMANDS.items()))
    name = sys.argv.pop(1)
    sys.argv[0] = f"tests.survival {name}"
    importlib.import_module(f"tests.survival.{name}").main()
