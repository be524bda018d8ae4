"""RewardBench 1: one `chosen` and one `rejected` text, the models that wrote them, and a `subset`."""

from __future__ import annotations

from curator.formats.base import Format
from curator.formats.chosen_rejected import convert

_FIELDS = frozenset({"prompt", "chosen", "rejected", "chosen_model", "rejected_model", "subset", "id"})

FORMAT = Format("rewardbench", "chosen_rejected", _FIELDS, convert)
