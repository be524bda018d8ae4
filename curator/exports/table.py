"""Everything that is known of each example, as Parquet or JSON Lines."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from curator.exports.base import EXTRA, TOOLS, Column, Examples, Export

_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("more", pa.string())]))

_COLUMNS = (
    Column("prompt", _TURNS, "the conversation; `more`: other fields of a message (tool calls) as JSON, or null"),
    Column("response_a", pa.string(), "one response"),
    Column("response_b", pa.string(), "the other one"),
    Column("verdict", pa.string(), "which is better: `a` or `b`"),
    Column("chosen", pa.string(), "the better one"),
    Column("rejected", pa.string(), "the other one"),
    *EXTRA,
    Column("prompt_id", pa.string(), "content hash of the prompt"),
    TOOLS,
    Column("rationale", pa.string(), "the judge's reason, asked for after its verdict; null where nobody asked"),
    Column("metadata", pa.string(), "every field of the raw row that curator does not use, as JSON"),
    Column("file", pa.string(), "name of the raw file"),
    Column("line", pa.int64(), "the row in it"),
)


def _rows(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    # A path tells more about a machine than a data set should.
    names = pc.replace_substring_regex(examples["file"], r"^.*[/\\]", "")
    return {"chosen": examples.chosen, "rejected": examples.rejected, "file": names}


PARQUET = Export(_COLUMNS, _rows, misfits=lambda examples: [], extra=False)
JSONL = Export(_COLUMNS, _rows, misfits=lambda examples: [], extra=False, jsonl=True)
