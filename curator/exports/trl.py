"""The preference data set that TRL's DPOTrainer reads as it is: Parquet with a card, for `datasets.load_dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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

MEANINGS = {
    "prompt": "the conversation, as messages; the last one is answered",
    "chosen": "the preferred response, as one assistant message",
    "rejected": "the other response",
    "pair_id": "content hash of prompt and responses",
    "p_chosen": "the judge's probability that `chosen` is better, averaged over both orders; null where it gave none",
    "bpe": "bidirectional preference entropy in nats, 0 (sure) to 0.693 (no preference)",
    "label_source": "`human` or `auto`",
}
"""What each column means, for the card."""

SHARD_ROWS, GROUP_ROWS = 200_000, 20_000
"""Rows of a file, and rows of a group in it: always as many, so that equal rows make equal files."""


def write_dataset(
    folder: Path,
    batches: Iterable[pa.RecordBatch],
    rows: int,
    card: Callable[[int, int], str],
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write `README.md` and `data/train-*.parquet` so that the folder appears whole.

    Args:
        batches: the rows, in order.
        rows: how many there are; it names the shards.
        card: makes the card from the bytes of the Parquet files and of the rows in memory.
        beside: what else lies beside the card, by name.
    """
    with whole_folder(folder) as aside:
        data = aside / "data"
        data.mkdir()
        shards = max(1, -(-rows // SHARD_ROWS))
        source = iter(batches)
        rest: list[pa.RecordBatch] = []
        held = 0
        for shard in range(shards):
            path = data / f"train-{shard:05d}-of-{shards:05d}.parquet"
            with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer, ThreadPoolExecutor(1) as worker:
                writing: Future[None] | None = None
                left = SHARD_ROWS
                while left and (group := _take(source, rest, min(left, GROUP_ROWS))):
                    left -= group.num_rows
                    held += group.nbytes
                    if writing is not None:
                        writing.result()
                    # One group is compressed while the next is read and put together.
                    writing = worker.submit(writer.write_table, group, row_group_size=GROUP_ROWS)
                if writing is not None:
                    writing.result()
        size = sum(file.stat().st_size for file in data.iterdir())
        (aside / "README.md").write_text(card(size, held), encoding="utf-8")
        for name, data_beside in (beside or {}).items():
            (aside / name).write_bytes(data_beside)


def _take(source: Iterator[pa.RecordBatch], rest: list[pa.RecordBatch], most: int) -> pa.Table | None:
    """The next rows of a stream, as many as asked for while there are any; what is left of a batch goes to `rest`."""
    taken: list[pa.RecordBatch] = []
    while most and (batch := rest.pop() if rest else next(source, None)) is not None:
        if batch.num_rows > most:
            rest.append(batch.slice(most))
            batch = batch.slice(0, most)
        taken.append(batch)
        most -= batch.num_rows
    if not taken:
        return None
    rows = pa.Table.from_batches(taken)
    columns = [column.cast(field.type) for column, field in zip(rows.columns, SCHEMA, strict=True)]
    return pa.table(columns, schema=SCHEMA).combine_chunks()
