"""Rows of Arrow tables: Parquet files, Arrow and Feather files, and what the hub streams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from curator.errors import InputError
from curator.files import MAX_LINE, Meter, Reject, Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PARQUET = b"PAR1"
ARROW_FILE = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"
FEATHER_1 = b"FEA1"
"""How files of these kinds begin."""

MOST_ROWS = 256
"""Rows that become Python objects at once."""

_BATCH = 16 * 2**20
"""Bytes, by the file's own account, that become Python objects at once."""


_REPEATED = 512 * 2**20
"""Bytes of a batch whose rows all have the largest value there may be in the dictionaries of its columns."""


class TableReject(Reject):
    """What was not used of a table without lines."""

    __slots__ = ()
    unit = "row"


class TableRow(Row):
    """A row of a table without lines."""

    __slots__ = ()
    rejected = TableReject


def parquet_rows(path: str, meter: Meter | None = None) -> Iterator[Row | Reject]:
    """The rows of a Parquet file, numbered from 1; of a row group only the pages at hand are in memory.

    Raises:
        InputError: it is damaged, or has columns of what is no text.
    """
    import pyarrow.parquet as pq

    done, size = 0, Path(path).stat().st_size
    with _damaged("Parquet", path), pq.ParquetFile(path, buffer_size=2**20) as file:
        about = file.metadata
        groups = [about.row_group(place) for place in range(about.num_row_groups)]
        widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1.0)
        # What the file counts once may stand in every row: each batch holds it as often as it has rows.
        widest = max(widest, max((_repeated(path, group) for group in groups), default=0) * _BATCH / _REPEATED)
        if meter is not None:
            meter.watch(lambda: size * done // max(about.num_rows, 1))
        for row in table_rows(path, file.schema_arrow, file.iter_batches(_rows_at_once(widest))):
            yield row
            done = row.line


def arrow_rows(file: IO[bytes], name: str, start: bytes) -> Iterator[Row | Reject]:
    """The rows of an open Arrow or Feather file, or of an Arrow stream, numbered from 1.

    Args:
        start: its first bytes.

    Raises:
        InputError: it is damaged, or has columns of what is no text.
    """
    from pyarrow import ipc

    with _damaged("Arrow", name):
        if start.startswith(ARROW_FILE):
            with ipc.open_file(file) as reader:
                batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
                yield from table_rows(name, reader.schema, _trusted(batches))
            file.seek(0, 2)  # the footer was read first
        else:
            with ipc.open_stream(file) as reader:
                yield from table_rows(name, reader.schema, _trusted(reader))


def table_rows(
    name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], number: int = 0
) -> Iterator[Row | Reject]:
    """The rows of a table of which `number` have been read, as JSON has them: times as ISO text, NaN as null.

    Raises:
        InputError: it has columns of what is no text.
    """
    named = Counter(schema.names)
    for field in schema:
        if _is_binary(field.type):
            raise InputError(f"{name}: column {field.name!r} holds bytes, which nobody can read: leave it out")
        if named[field.name] > 1:
            raise InputError(f"{name}: two columns have one name: {field.name}")
    for batch in batches:
        exact = _without_nanoseconds(batch)
        for rows in _slices(exact):
            for values in _values(rows):
                number += 1
                yield _row(name, number, values)


@contextmanager
def _damaged(kind: str, name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError:
        raise InputError(f"{name}: the name of a column is not UTF-8") from None
    except (pa.ArrowException, OSError, MemoryError) as error:  # of memory: a wrong length is a huge one
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{name}: damaged {kind} file ({reason})") from None


def _trusted(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches of a file whose bytes are used as they lie there: wrong offsets would be read anywhere."""
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return not isinstance(kind, pa.UuidType) and _is_binary(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _is_binary(kind.value_type)
    inside = (kind.field(place).type for place in range(kind.num_fields))
    is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(one(kind) for one in is_bytes) or any(map(_is_binary, inside))


def _without_nanoseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times to the microsecond: Python has no finer ones."""
    import pyarrow as pa

    fields = []
    for field in batch.schema:
        kind = field.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            kind = pa.timestamp("us", kind.tz)
        elif pa.types.is_duration(kind) and kind.unit == "ns":
            kind = pa.duration("us")
        elif kind == pa.time64("ns"):
            kind = pa.time64("us")
        fields.append(field.with_type(kind))
    schema = pa.schema(fields)
    return batch if schema.equals(batch.schema) else batch.cast(schema, safe=False)


def _repeated(path: str, group: pq.RowGroupMetaData) -> int:
    """Bytes of the dictionaries of a row group's columns, of which a row may hold all.

    Arrow does not tell. They stand at the beginning of each dictionary, behind a field of one byte: two numbers of
    Thrift's compact protocol, each behind the byte 0x15 that says so, of which the second is meant.
    """
    columns = [group.column(place) for place in range(group.num_columns)]
    starts = [column.dictionary_page_offset for column in columns if column.physical_type == "BYTE_ARRAY"]
    size = 0
    with Path(path).open("rb") as file:
        for start in filter(None, starts):
            file.seek(start)
            head = re.match(rb"\x15[\x80-\xff]*[\0-\x7f]\x15([\x80-\xff]{0,4}[\0-\x7f])", file.read(16))
            if head is not None:
                size += sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(head[1])) // 2
    return size


def _rows_at_once(width: float) -> int:
    return int(max(1, min(MOST_ROWS, _BATCH / max(width, 1))))


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows:
        step = _rows_at_once(batch.nbytes / batch.num_rows)
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """Each row, or why it cannot be read."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        for place in range(batch.num_rows):
            try:
                yield from batch.slice(place, 1).to_pylist()
            except UnicodeDecodeError:
                yield "is not UTF-8"
            except OverflowError:
                yield "cannot be read: holds a time that no calendar has"
            except ValueError as error:
                yield f"cannot be read: {error}"


def _row(name: str, number: int, values: dict[str, Any] | str) -> Row | Reject:
    if isinstance(values, str):
        return TableRow(name, number, {}, b"").reject("row", values)
    try:
        data = orjson.dumps(values, default=_plain)
    except orjson.JSONEncodeError as error:
        return TableRow(name, number, {}, b"").reject("row", f"is not usable as JSON: {error}")
    if len(data) > MAX_LINE:
        return TableRow(name, number, {}, data).reject("row", f"is longer than {MAX_LINE // 2**20} MiB")
    return TableRow(name, number, orjson.loads(data), data)


def _plain(value: Any) -> str:
    """Decimals, durations and the like as text."""
    return value.isoformat() if isinstance(value, (date, time)) else str(value)
