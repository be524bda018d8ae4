"""List-wise rankings: of each prompt all responses, best first. Parquet with a card; no promise is about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from curator.exports.base import MESSAGES
from curator.files import whole_folder

COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "prompt": (MESSAGES, "the conversation, as messages; the last one is answered"),
    "responses": (pa.list_(pa.string()), "all responses that were compared, best first"),
    "scores": (
        pa.list_(pa.float64()),
        "their log-strengths by Bradley-Terry, falling, with mean 0: the log-odds between two are their difference",
    ),
    "models": (pa.list_(pa.string()), "who wrote them, where the raw file says"),
    "pair_ids": (pa.list_(pa.string()), "the pairs that this was made of"),
    "n_pairs": (pa.int64(), "how many these are"),
    "label_source": (pa.string(), "who decided these pairs: `human`, `judge`, or `mixed`"),
}

SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
"""Columns of the rankings; schemas/ranking.schema.json says the same."""

GROUP_ROWS = 5_000
"""Rows of a group in the file: always as many, so that equal rows make equal files."""


def write_ranking(folder: Path, rows: Iterable[Mapping[str, Any]], judge_id: str) -> int:
    """Write `README.md` and `data/train-00000-of-00001.parquet` so that the folder appears whole; how many rows.

    Args:
        judge_id: who judged.
    """
    count = 0
    with whole_folder(folder) as aside:
        data = aside / "data"
        data.mkdir()
        with pq.ParquetWriter(data / "train-00000-of-00001.parquet", SCHEMA, compression="zstd") as writer:
            group: list[Mapping[str, Any]] = []
            for row in rows:
                group.append(row)
                count += 1
                if len(group) == GROUP_ROWS:
                    writer.write_table(pa.Table.from_pylist(group, SCHEMA))
                    group = []
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
        (aside / "README.md").write_text(_card(count, judge_id), encoding="utf-8")
    return count


def _card(count: int, judge_id: str) -> str:
    header = {
        "pretty_name": "Rankings of responses made with curator",
        "tags": ["preference", "ranking", "curator"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
    }
    columns = "\n".join(f"| `{name}` | {meaning} |" for name, (_, meaning) in COLUMNS.items())
    return f"""---
{yaml.safe_dump(header, sort_keys=False)}---

# Rankings of responses made with curator

{count} prompts, each with all of its responses in order, by the Bradley-Terry model that fits best what people say of
their pairs and, of the others, what judge `{judge_id}` says. A pair counts by its probabilities, a person's verdict as
certain, a tie as half for either side; beside that, every pair counts a hundredth of a win for either side, so that
strengths are finite.

**Nothing is promised about these orders.** What `curator label` promises is about the pairs that its rule accepted;
here every judged pair counts, those of which the judge was not sure among them.

## Columns

| column | meaning |
|---|---|
{columns}
"""
