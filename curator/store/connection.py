"""Opens the store: one writer, migrated, and closed to the world outside the file."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa

from curator.errors import StoreError, StoreLocked, StoreVersionError
from curator.pair import content_id
from curator.store.migrations import MIGRATIONS

Found = TypeVar("Found")
Values = Sequence[Any] | Mapping[str, Any] | None

MEMORY = os.environ.get("CURATOR_MEMORY", "1GiB")
"""What DuckDB may take; a sort or join of more spills to a folder beside the store, which is removed at the end."""

THREADS = 8
"""At most so many share that memory: each needs an eighth of a gigabyte to work with."""

ROWS = 1_000
"""Rows of a user's query that are in memory at once."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a table is one of the store, never a variable of this program
    "memory_limit": MEMORY,
    "threads": min(os.cpu_count() or 1, THREADS),
    # Rows go to the file as soon as a group of them is full: several full groups are hundreds of megabytes of text.
    "write_buffer_row_group_count": 1,
}


DAMAGED = "the store is damaged; what is whole of it can be saved (README, A damaged store)"

_NO_SPACE = re.compile("No space left|[Qq]uota|File too large|max_temp_directory_size|failed to offload")


_DAMAGE = re.compile("checksum|[Cc]orrupt|INTERNAL|FATAL|Serialization|enough bytes|does not match database file")

_OURS = (
    duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError, duckdb.NotSupportedError,
    duckdb.PermissionException, duckdb.DependencyException, duckdb.InterruptException,
)  # fmt: skip
"""What DuckDB raises where a statement is wrong, or its values. All else is of the machine or of the file."""


def _reason(message: str) -> str:
    """What a failure of DuckDB means, and what to do."""
    if _NO_SPACE.search(message):
        return "the disk is full: make space, and run the same command again"
    if "Out of Memory" in message:
        return f"DuckDB needs more memory than it may take: set CURATOR_MEMORY (it is {MEMORY})"
    if ".wal" in message and _DAMAGE.search(message):
        return "the changes in the file .wal beside it are damaged, or of another store: move that file away"
    return DAMAGED if _DAMAGE.search(message) else "it cannot be written or read"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


class Store:
    """An open store. Its methods that take SQL are for the modules of this package."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._db = connection
        self._in_transaction = False
        # While one thread writes judgments another reads what to ask next: a connection does one thing at a time.
        self._busy = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()
        shutil.rmtree(_spill(self.path), ignore_errors=True)

    @property
    def quoted(self) -> str:
        """Its path as part of a command for a shell."""
        return shlex.quote(str(self.path))

    def rows(self, sql: str, values: Values = None) -> list[tuple[Any, ...]]:
        """Run a statement to its end; every row of its result."""
        with self._busy, self._expected():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _expected(self) -> Iterator[None]:
        """Turn what can go wrong on a small or full machine, with a damaged file, and Ctrl-C, into errors."""
        try:
            yield
        except (duckdb.Error, OSError) as error:  # OSError: as its Arrow reader says it
            if isinstance(error, _OURS):
                raise
            raise StoreError(f"{self.path}: {_reason(str(error))}. {_first_line(error)}") from None
        except RuntimeError as error:  # what DuckDB makes of Ctrl-C
            if "interrupted" in str(error):
                raise KeyboardInterrupt from None
            raise

    def one(self, sql: str, values: Values = None) -> tuple[Any, ...]:
        """The single row of a query."""
        rows = self.rows(sql, values)
        if len(rows) != 1:
            raise StoreError(f"{self.path}: a row is missing; the store is damaged")
        return rows[0]

    def count(self, sql: str, values: Values = None) -> int:
        """The single number of a query."""
        return int(self.one(sql, values)[0])

    def records(self, sql: str, values: Values = None) -> list[dict[str, Any]]:
        """Every row of a query, by column name."""
        with self._busy, self._expected():
            result = self._db.execute(sql, values)
            names = [column[0] for column in result.description or []]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def arrow(self, sql: str, values: Values = None) -> pa.Table:
        """The result of a query as an Arrow table."""
        with self._busy, self._expected():
            if (result := self._db.sql(sql, params=values)) is None:
                raise StoreError("the statement has no result")
            return result.to_arrow_table()

    @contextmanager
    def reading(self, sql: str) -> Iterator[tuple[list[str], Iterator[tuple[Any, ...]]]]:
        """Names of the columns and rows of any statement, some rows in memory at a time."""
        with self._busy, self._expected():
            result = self._interruptible(lambda: self._db.execute(sql))
            if times := [str(column[0]) for column in result.description or [] if "TIME ZONE" in str(column[1])]:
                # Such a value as Python has it needs a package more than DuckDB brings.
                texts = ", ".join(f"{one}::VARCHAR AS {one}" for one in map(_quoted, times))
                whole = f"SELECT * REPLACE ({texts}) FROM ({sql.rstrip().rstrip(';')}\n)"
                result = self._interruptible(lambda: self._db.execute(whole))
            if not isinstance(result, duckdb.DuckDBPyConnection) or result.description is None:
                raise StoreError("the statement has no result")
            some = iter(lambda: self._interruptible(lambda: result.fetchmany(ROWS)), [])
            yield [column[0] for column in result.description], (row for rows in some for row in rows)

    def _interruptible(self, call: Callable[[], Found]) -> Found:
        """What a call of DuckDB gives. In a thread of its own: in this one, Ctrl-C may not be seen until it is done."""
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(call)
            try:
                return waiting.result()
            except KeyboardInterrupt:
                self._db.interrupt()
                raise

    def stream(
        self, sql: str, batch: int, values: Values = None, incoming: pa.Table | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The result of a query, some rows at a time, while other statements may run.

        No temporary table is seen, and as `incoming` the one that is given.
        """
        with self._expected(), self._db.cursor() as cursor:
            if incoming is not None:
                cursor.register("incoming", incoming)
            yield from cursor.sql(sql, params=values).to_arrow_reader(batch)

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table whose columns they have, in order.

        In a long transaction this is the way for many batches: what is registered stays in memory until it ends.
        """
        with self._busy, self._expected():
            self._db.from_arrow(rows).insert_into(table)

    @contextmanager
    def incoming(self, rows: pa.Table) -> Iterator[None]:
        """Make an Arrow table readable in SQL as `incoming`."""
        with self._busy:
            self._db.register("incoming", rows)
        try:
            yield
        finally:
            # In a transaction that has failed nothing can be done: the failure is what is to be heard of.
            with self._busy, suppress(duckdb.TransactionException):
                self._db.unregister("incoming")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. A transaction inside another is part of it."""
        if self._in_transaction:
            yield
            return
        self.rows("BEGIN")
        self._in_transaction = True
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            self._rollback()
            raise
        finally:
            self._in_transaction = False

    def _rollback(self) -> None:
        try:
            self.rows("ROLLBACK")
        except (duckdb.Error, StoreError):
            pass  # a failed COMMIT has rolled back already

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever is done inside is seen inside alone: at the end the store is as it was. Not for a transaction."""
        self.rows("BEGIN")
        self._in_transaction = True
        try:
            yield
        finally:
            self._rollback()
            self._in_transaction = False

    def checkpoint(self) -> None:
        """Bring everything into the one file."""
        self.rows("CHECKPOINT")

    def setting(self, name: str, default: str) -> str:
        """A value that is kept once it is first asked for."""
        if not (rows := self.rows("SELECT value FROM setting WHERE name = ?", [name])):
            self.rows("INSERT INTO setting VALUES (?, ?)", [name, default])
            return default
        return str(rows[0][0])

    def set(self, name: str, value: str) -> None:
        """Keep a value in place of what it was."""
        with self.transaction():
            self.rows("DELETE FROM setting WHERE name = ?", [name])
            self.rows("INSERT INTO setting VALUES (?, ?)", [name, value])

    @property
    def seed(self) -> str:
        """Seed of everything random about this store: the calibration draw, the sides of the queue."""
        return self.setting("seed", content_id("curator"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


PATIENCE = 2.0
"""Seconds to wait for another process: `curator review` has the store open for some hundredths at each label."""


def open_store(path: Path, *, create: bool = True, read_only: bool = False, patience: float = PATIENCE) -> Store:
    """Open a store, making it or bringing it up to date first.

    Args:
        patience: seconds to wait where another process has it open.

    Raises:
        StoreLocked: another process writes to it.
        StoreVersionError: a newer curator made it.
        StoreError: it is no store, or cannot be opened.
    """
    if not path.exists() and not create:
        raise StoreError(f"{path}: there is no store; `curator label RAW` makes one")
    if "?" in str(path.absolute()):
        raise StoreError(f"{path}: DuckDB takes no file with a question mark in its path: give another --db or --out")
    try:
        if not path.exists():
            _make(path)
        connection = _connect(path, read_only, patience)
        if not read_only:  # the store is ours alone: what a killed run spilled is nobody's
            for left in path.parent.glob(f"{glob.escape(_spill_name(path))}*"):
                shutil.rmtree(left, ignore_errors=True)
        # Everything that comes in or goes out passes through Arrow: SQL needs no file but the store itself.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET enable_progress_bar = false")  # it would stand among the rows of a slow query
        # Nor may a query change what DuckDB may do: some settings write files, or end the process that refuses to.
        connection.execute("SET lock_configuration = true")
        kept = connection.execute("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
        if kept.fetchall() in ([], [(None,)]):  # DuckDB opens JSON, CSV or Parquet as a database in memory
            connection.close()
            raise StoreError(f"{path}: is no DuckDB file; nothing would be kept")
    except duckdb.Error as error:
        raise _opening_failed(path, str(error)) from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from None
    store = Store(path, connection)
    try:
        _migrate(store, read_only)
    except BaseException:
        connection.close()
        raise
    return store


def _make(path: Path) -> None:
    """Put an empty store in place, whole: of one whose making was cut off, DuckDB opens nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place, aside = Path(os.path.realpath(path)), _spill(path) / "new"
    try:
        aside.parent.mkdir(exist_ok=True)
        duckdb.connect(str(aside.absolute())).close()
        try:
            os.link(aside, place)  # unlike a rename, it never takes the place of one that another process made
        except FileExistsError:
            pass
        except OSError:
            aside.rename(place)  # a file system without hard links
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


def _connect(path: Path, read_only: bool, patience: float) -> duckdb.DuckDBPyConnection:
    config = {**_CONFIG, "temp_directory": str(_spill(path))}
    until = time.monotonic() + patience
    while True:
        try:
            # Absolute: "md:x" and "s3:x" would be elsewhere.
            return duckdb.connect(str(path.absolute()), read_only=read_only, config=config)
        except duckdb.Error as error:
            if time.monotonic() >= until or not _locked(str(error)):
                raise
        time.sleep(0.02)


def _locked(message: str) -> bool:
    return "lock" in message.lower() and "conflict" in message.lower()


def _spill(path: Path) -> Path:
    """Where DuckDB puts what its memory does not hold; of this process, for several may read a store."""
    return path.with_name(f"{_spill_name(path)}{os.getpid()}")


def _spill_name(path: Path) -> str:
    return f".{path.name}.spill-"


def _opening_failed(path: Path, message: str) -> StoreError:
    if _locked(message):
        holder = re.search(r"\(PID (\d+)\)", message)
        who = f" by process {holder[1]}" if holder else ""
        return StoreLocked(
            f"{path} is in use{who}: a store has one writer. Wait for it to end, or give another --db.",
            holder and holder[1],
        )
    if path.is_file() and b"DUCK" not in _start(path):
        what = "is empty" if not path.stat().st_size else "is no DuckDB file"
        return StoreError(f"{path}: {what}: move it away, or give another --db")
    return StoreError(f"{path}: cannot be opened as a store: {_reason(message)}. {message.splitlines()[0]}")


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(12)
    except OSError:
        return b"DUCK"  # what is the matter is not what is in it


def _migrate(store: Store, read_only: bool) -> None:
    tables = {row[0] for row in store.rows("SELECT table_name FROM duckdb_tables()")}
    if tables and "migration" not in tables:
        raise StoreError(f"{store.path}: this DuckDB file is not a curator store")
    done = store.one("SELECT coalesce(max(number), 0) FROM migration")[0] if tables else 0
    if done > len(MIGRATIONS):
        raise StoreVersionError(
            f"{store.path} was written by a newer curator (schema {done}; this one knows {len(MIGRATIONS)}): upgrade it"
        )
    if done == len(MIGRATIONS):
        return
    if read_only:
        raise StoreError(
            f"{store.path} has an older schema; run `curator status --db {store.quoted}` once to update it"
        )
    for number, sql in enumerate(MIGRATIONS[done:], done + 1):
        with store.transaction():
            store.rows(
                "CREATE TABLE IF NOT EXISTS migration (number INTEGER NOT NULL, recorded_at TIMESTAMPTZ DEFAULT now())"
            )
            store.rows(sql)
            store.rows("INSERT INTO migration (number) VALUES (?)", [number])
