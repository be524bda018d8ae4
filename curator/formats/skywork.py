"""Skywork-Reward: transcripts `chosen` and `rejected`, and the data set that each comes from as `source`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import Format
from curator.formats.chosen_rejected import convert

_FIELDS = frozenset({"chosen", "rejected", "source"})


def _fits(row: Mapping[str, Any]) -> bool:
    return row.keys() == _FIELDS and isinstance(row["chosen"], list)


FORMAT = Format("skywork", "chosen_rejected", _FIELDS, convert, _fits, labelled_by="people and models")
