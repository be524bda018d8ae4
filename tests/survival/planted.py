"""Secrets put into every way by which one can come in, and a search for them in everything that was written."""

from __future__ import annotations

import base64
import gzip
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import duckdb
import pyarrow.parquet as pq

from curator.cli.main import run as curator
from tests.conftest import ROOT


def secret(name: str) -> str:
    """One that nothing else is like, and that URLs must quote."""
    return f"{name.upper()}/zq7+{name[::-1]}Kx9=w4v"


def traces(value: str) -> Iterator[bytes]:
    """Each form in which a secret, or half of it, may lie about."""
    half = len(value) // 2
    for part in (value[:half], value[half:]):
        data = part.encode()
        yield from (data, data[::-1], quote(part, safe="").encode(), quote(part).encode(), data.hex().encode())
        for shift in range(3):  # base64 of a text that holds it, wherever it stands there
            for encoded in (base64.b64encode(b"\0" * shift + data), base64.urlsafe_b64encode(b"\0" * shift + data)):
                yield encoded[4 if shift else 0 : len(data) // 3 * 4]


@dataclass
class Surroundings:
    """A home, a temporary folder and an environment of their own for commands, whose every byte is looked through.

    Attributes:
        env: the environment of the commands; secrets that it holds belong to `secrets` as well.
        secrets: by name.
        said: what each command printed.
    """

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("home", "tmp", "cwd"):
            (self.folder / name).mkdir()
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
            **self.env,
        }  # fmt: skip

    def plant(self, name: str) -> str:
        return self.secrets.setdefault(name, secret(name))

    @property
    def cwd(self) -> Path:
        return self.folder / "cwd"

    def run(self, *arguments: object, code: int | None = 0, flags: tuple[str, ...] = (), **env: str) -> str:
        """One command; what it printed."""
        line = [sys.executable, *flags, *map(str, arguments)]
        done = subprocess.run(
            line, capture_output=True, text=True, cwd=self.cwd, env={**self.env, **env}, timeout=120, check=False
        )
        said = done.stdout + done.stderr
        self.said[f"{len(self.said)}: {' '.join(map(str, arguments))}"] = said
        assert code is None or done.returncode == code, (arguments, done.returncode, said)
        return said

    def curator(self, *arguments: object, code: int | None = 0, **env: str) -> str:
        """The same in this process, which spares a second of importing."""
        out = io.StringIO()
        line = list(map(str, arguments))
        with (
            mock.patch.dict(os.environ, {**self.env, **env}, clear=True),
            chdir(self.cwd), redirect_stdout(out), redirect_stderr(out),
        ):  # fmt: skip
            found = curator(line)
        self.said[f"{len(self.said)}: {' '.join(line)}"] = out.getvalue()
        assert code is None or found == code, (arguments, found, out.getvalue())
        return out.getvalue()

    def found(self) -> list[str]:
        """Where a secret lies, and which: nowhere, if all is well."""
        wanted = {name: set(traces(value)) for name, value in self.secrets.items()}
        places = [(f"output of {name}", said.encode()) for name, said in self.said.items()]
        for path in (one for one in self.folder.rglob("*") if one.is_file()):
            places += [(f"{path} ({how})", data) for how, data in contents(path)]
        return [
            f"{name} in {where}: {data[max(0, data.find(form) - 80) : data.find(form) + 40]!r}"
            for where, data in places
            for name, forms in wanted.items()
            if (form := next((form for form in forms if form in data), None))
        ]


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, its name, and what is packed in it."""
    data = path.read_bytes()
    yield "bytes", data
    yield "name", str(path).encode()
    if data[:2] == b"\x1f\x8b":
        yield "unpacked", gzip.decompress(data)
    if data[:4] == b"PAR1":
        yield "rows", str(pq.read_table(path).to_pylist()).encode()
        yield "schema", str(pq.read_schema(path)).encode()
    if data[8:12] == b"DUCK":
        with duckdb.connect(str(path), read_only=True) as store:
            for (table,) in store.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                yield table, str(store.execute(f'SELECT COLUMNS(*)::VARCHAR FROM "{table}"').fetchall()).encode()
