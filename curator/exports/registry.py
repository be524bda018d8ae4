"""What can be exported, by the name that `--to` takes. To add a trainer, write its module and name it here."""

from __future__ import annotations

from curator.exports.axolotl import AXOLOTL
from curator.exports.base import Export
from curator.exports.llamafactory import LLAMAFACTORY
from curator.exports.openrlhf import OPENRLHF
from curator.exports.table import JSONL, PARQUET
from curator.exports.trl import TRL, TRL_IMPLICIT, TRL_KTO, TRL_REWARD

EXPORTS: dict[str, Export] = {
    "trl": TRL,
    "trl-implicit": TRL_IMPLICIT,
    "trl-reward": TRL_REWARD,
    "trl-kto": TRL_KTO,
    "openrlhf": OPENRLHF,
    "axolotl": AXOLOTL,
    "llamafactory": LLAMAFACTORY,
    "parquet": PARQUET,
    "jsonl": JSONL,
}

RANKING = "ranking"
"""Not of pairs but of prompts: `curator.exports.ranking`, by way of `curator.steps.ranking`."""
