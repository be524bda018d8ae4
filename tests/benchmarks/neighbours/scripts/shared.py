"""What every tool's script has in common. Standard library only: it runs in the environment of each tool."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

MODEL = "org/stub-judge"


class Job:
    """What a script is told to do, from its command line: PROMPTS URL OUT IN_FLIGHT.

    Attributes:
        prompts, rows: the file of judge prompts, and what it holds: `{"id", "order", "messages", ...}`.
        url: base URL of the judge server.
        out: where verdicts go, one JSON object a line: `{"id", "order", "verdict": "A"|"B"}`, with "p_first" where
            the tool gives log-probabilities.
        in_flight: how many requests may be under way at once.
    """

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("prompts", type=Path)
        parser.add_argument("url")
        parser.add_argument("out", type=Path)
        parser.add_argument("in_flight", type=int)
        chosen = parser.parse_args()
        self.prompts, self.url, self.out, self.in_flight = chosen.prompts, chosen.url, chosen.out, chosen.in_flight
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in chosen.prompts.read_text("utf-8").splitlines()]
        self._start = time.monotonic()

    def begin(self) -> None:
        """Everything is imported and set up: judging begins, and the server counts from here."""
        urlopen(self.url + "/stub/reset").close()
        self._start = time.monotonic()

    def end(self, verdicts: Iterable[dict[str, Any]]) -> None:
        """Write the verdicts and say how long judging took by this script's own clock."""
        with self.out.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(verdict) + "\n" for verdict in verdicts)
        print(json.dumps({"judging_seconds": time.monotonic() - self._start}), file=sys.stdout, flush=True)
