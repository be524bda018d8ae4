"""What the configuration files of several trainers say alike."""

from __future__ import annotations

import textwrap

from curator.exports.base import Facts

EXAMPLE_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"


def comment(sentence: str) -> str:
    """A sentence as comment lines, of YAML or a shell; whatever it holds, it stays a comment."""
    kept = " ".join("".join(c if c.isprintable() else " " for c in sentence).split())
    return "".join(f"# {line}\n" for line in textwrap.wrap(kept, 100))


def smoothing(facts: Facts) -> str:
    """The share of wrong labels as every reader of numbers reads it.

    Raises:
        ValueError: it is no share below one half; no loss takes such a one.
    """
    if facts.label_smoothing is None or not 0 <= facts.label_smoothing < 0.5:
        raise ValueError(f"label smoothing is a share in [0, 0.5), not {facts.label_smoothing}")
    return f"{facts.label_smoothing:.6f}".rstrip("0").rstrip(".") if facts.label_smoothing else "0.0"
