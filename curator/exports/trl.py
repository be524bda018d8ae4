"""The preference data set that TRL's DPOTrainer reads as it is: Parquet with a card, for `datasets.load_dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curator.files import whole_folder

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

SCHEMA = pa.schema(
    [
        ("prompt", _MESSAGES),
        ("chosen", _MESSAGES),
        ("rejected", _MESSAGES),
        ("pair_id", pa.string()),
        ("p_chosen", pa.float64()),
        ("bpe", pa.float64()),
        ("label_source", pa.string()),
    ]
)
"""Columns of the data set. Written out, never inferred: one empty file must not change a type."""

SHARD_ROWS = 200_000


def write_dataset(folder: Path, batches: Iterable[pa.RecordBatch], rows: int, card: Callable[[int, int], str]) -> None:
    """Write `README.md` and `data/train-*.parquet` so that the folder appears whole.

    Args:
        batches: the rows, in order.
        rows: how many there are; it names the shards.
        card: makes the card from the bytes of the Parquet files and of the rows in memory.
    """
    with whole_folder(folder) as aside:
        data = aside / "data"
        data.mkdir()
        shards = max(1, -(-rows // SHARD_ROWS))
        table_rows = _rows(batches)
        held = 0
        for shard in range(shards):
            path = data / f"train-{shard:05d}-of-{shards:05d}.parquet"
            with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
                left = SHARD_ROWS
                while left and (batch := table_rows(left)) is not None:
                    writer.write_batch(batch)
                    left -= batch.num_rows
                    held += batch.nbytes
        size = sum(file.stat().st_size for file in data.iterdir())
        (aside / "README.md").write_text(card(size, held), encoding="utf-8")


def _rows(batches: Iterable[pa.RecordBatch]) -> Callable[[int], pa.RecordBatch | None]:
    """A function that hands out the next rows of a stream of batches, at most so many at a time."""
    source = iter(batches)
    held: list[pa.RecordBatch] = []

    def take(most: int) -> pa.RecordBatch | None:
        batch = held.pop() if held else next(source, None)
        if batch is None:
            return None
        if batch.num_rows > most:
            held.append(batch.slice(most))
            batch = batch.slice(0, most)
        return pa.RecordBatch.from_arrays(
            [c.cast(f.type) for c, f in zip(batch.columns, SCHEMA, strict=True)], schema=SCHEMA
        )

    return take
