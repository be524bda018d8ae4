"""Writes a data set as a folder: Parquet or JSON Lines, a card, the trainer's configuration; whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curator.exports.base import Column, Examples, Export, Facts
from curator.exports.header import Contents, Split
from curator.files import whole_folder
from curator.options import Wanted

SHARD_ROWS, GROUP_ROWS = 200_000, 20_000
"""Rows of a file, and rows of a group in it: always as many, so that equal rows make equal files."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a folder came to hold.

    Attributes:
        splits: rows of each.
        sources: examples by label source.
        left_out: examples that the format cannot hold, by reason.
    """

    splits: dict[str, int]
    sources: dict[str, int]
    left_out: dict[str, int]


def write_export(
    folder: Path,
    export: Export,
    batches: Iterable[pa.RecordBatch],
    wanted: Wanted,
    facts: Callable[[Mapping[str, int]], Facts],
    card: Callable[[Contents], str],
    *,
    tools: bool = False,
    rationale: bool = False,
    beside: Mapping[str, bytes] | None = None,
) -> Written:
    """Write `README.md`, `data/SPLIT-*` and the trainer's configuration, so that the folder appears whole.

    Args:
        batches: the examples, in order, as `curator.store.dataset.dataset` yields them.
        facts: says what there is to say of so many examples by label source.
        card: makes the card of what was written.
        tools, rationale: whether any example has some.
        beside: what else lies beside the card, by name.
    """
    columns = export.schema(wanted.minimal, tools, rationale)
    names = ("train", "test") if wanted.test else ("train",)
    sources: Counter[str] = Counter({"auto": 0, "human": 0})
    left_out: Counter[str] = Counter()
    with whole_folder(folder) as aside, ThreadPoolExecutor(1) as worker:
        data = aside / "data"
        data.mkdir()
        splits = {name: _Split(data, name, columns, export.jsonl, worker) for name in names}
        for batch in batches:
            examples = _fitting(Examples(batch), export, left_out)
            sources.update(examples["label_source"].to_pylist())
            for name, split in splits.items():
                here = pc.equal(examples["split"], name).to_numpy(zero_copy_only=False)
                split.add(export.table(examples.kept(here), columns, wanted.margin))
        sizes = {name: split.close() for name, split in splits.items()}
        contents = Contents(
            pa.schema([(column.name, column.type) for column in columns]),
            {column.name: column.meaning for column in columns},
            sizes,
            sum(file.stat().st_size for file in data.iterdir()),
            {name: count * export.copies for name, count in sources.items()},
        )
        (aside / "README.md").write_text(card(contents), encoding="utf-8")
        for name, text in export.files(facts(sources), sizes).items():
            (aside / name).write_text(text, encoding="utf-8")
        for name, content in (beside or {}).items():
            (aside / name).write_bytes(content)
    return Written({name: split.rows for name, split in sizes.items()}, dict(sources), dict(left_out))


def _fitting(examples: Examples, export: Export, left_out: Counter[str]) -> Examples:
    """The examples that the format can hold; the others are counted, each for the first reason."""
    fits = np.ones(len(examples), dtype=bool)
    for reason, these in export.unfit(examples):
        if count := int(np.count_nonzero(fits & these)):
            left_out[reason] += count
        fits &= ~these
    return examples.kept(fits)


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _JsonLines:
    """Writes a table as JSON Lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write_table(self, table: pa.Table) -> None:
        self._file.writelines(orjson.dumps(row) + b"\n" for row in table.to_pylist())

    def close(self) -> None:
        self._file.close()


class _Split:
    """The files of one split. One group of rows is packed while the next is put together."""

    def __init__(
        self, data: Path, name: str, columns: tuple[Column, ...], jsonl: bool, worker: ThreadPoolExecutor
    ) -> None:
        self._data, self._name, self._jsonl, self._worker = data, name, jsonl, worker
        self._schema = pa.schema([(column.name, column.type) for column in columns])
        self._waiting: list[pa.Table] = []
        self._count = self._held = self._rows = self._in_shard = 0
        self._shards: list[Path] = []
        self._writer: _Writer | None = None
        self._writing: Future[None] | None = None

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._count += table.num_rows
        while self._count >= (size := min(GROUP_ROWS, SHARD_ROWS - self._in_shard)):
            self._write(size)

    def _write(self, size: int) -> None:
        """Write a group; the shard that it fills is closed."""
        table = pa.concat_tables(self._waiting)
        group, rest = table.slice(0, size).combine_chunks(), table.slice(size)
        self._waiting, self._count = [rest], rest.num_rows
        if self._writer is None:
            self._writer = self._open()
        self._finish()
        self._writing = self._worker.submit(self._writer.write_table, group)
        self._held += group.nbytes
        self._rows += size
        self._in_shard += size
        if self._in_shard == SHARD_ROWS:
            self._close_shard()

    def _open(self) -> _Writer:
        # How many there will be, which is part of their names, is known at the end.
        path = self._data / f"{self._name}-{len(self._shards):05d}"
        self._shards.append(path)
        if self._jsonl:
            return _JsonLines(path)
        writer: Any = pq.ParquetWriter(path, self._schema, compression="zstd")
        return writer  # type: ignore[no-any-return]

    def _finish(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _close_shard(self) -> None:
        self._finish()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._in_shard = None, 0

    def close(self) -> Split:
        """Write what is left; what the split came to."""
        if self._count:
            self._write(self._count)
        if not self._shards:
            self._writer = self._open()
        self._close_shard()
        ending = "jsonl" if self._jsonl else "parquet"
        for path in self._shards:
            path.rename(path.with_name(f"{path.name}-of-{len(self._shards):05d}.{ending}"))
        return Split(self._rows, self._held)
