"""Where raw rows come from: files of any kind, folders, the hub. Rows out, whatever the container.

Below the edges, as `curator.files` is, and knowing nothing of what a row means. What a source is:

    -                          standard input: text, packed or not, or an Arrow stream
    a file                     JSON Lines, a JSON array, CSV, TSV, Parquet, Arrow or Feather, told by its first bytes
    a folder                   the files in it that are named as such
    a pattern                  data/*.jsonl
    hf://datasets/ORG/NAME     the hub; ORG/NAME is enough where nothing here is called so
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from curator.errors import InputError
from curator.files import Meter, Reject, Row, require_readable
from curator.sources.hub import HubName, hub_name, hub_rows, require_hub
from curator.sources.local import KNOWN, PACKED, file_rows, folder_files, is_pattern, matching_files

_NO_FILE = "No such file or directory"


def source_rows(raw: str, meter: Meter | None = None) -> Iterator[Row | Reject]:
    """Every row of a source, in order.

    Args:
        raw: a file, a pattern of names, a folder, a data set of the hub, or "-" for standard input.
        meter: is told how far the reading is.

    Raises:
        InputError: it cannot be read.
    """
    found = _found(raw)
    if isinstance(found, HubName):
        yield from hub_rows(found, raw)
    else:
        for path in found:
            yield from file_rows(path, meter)


def source_files(raw: str) -> list[str] | None:
    """The files of a source, in the order in which they are read; None where it is none on this machine's disk.

    Raises:
        InputError: there is no such file.
    """
    found = _found(raw)
    return None if raw == "-" or isinstance(found, HubName) else found


def require_source(raw: str) -> None:
    """Raises InputError for what is not there or cannot be opened, before anything is made for it."""
    found = _found(raw)
    if isinstance(found, HubName):
        require_hub(raw)
    else:
        for path in found:
            require_readable(path)


def default_out(raw: str) -> Path:
    """The output folder of a source: its name without suffixes, and `.curated`. For the hub, in the working folder.

    Raises:
        InputError: the source has no name to go by.
    """
    if raw == "-":
        raise InputError("rows from standard input have no file name to go by: give --out DIR")
    found = _found(raw)
    if isinstance(found, HubName):
        return Path(f"{found.name}.curated")
    if is_pattern(raw) and not Path(raw).exists():
        raise InputError(f"{raw}: a pattern is no name to go by: give --out DIR")
    path = PurePath(raw)
    if path.name in {"", ".."}:
        raise InputError(f"{raw}: the folder is not named: give --out DIR")
    stem = path.name if Path(raw).is_dir() else KNOWN.sub("", re.sub(f"{PACKED}$", "", path.name))
    return Path(path.with_name(f"{stem or 'raw'}.curated"))


def _found(raw: str) -> list[str] | HubName:
    """What a source is: files, or a data set of the hub."""
    if re.match(r"[\w+.-]+://[^/\s]*@", raw):
        # Not shown: what stands before the @ may be a password.
        raise InputError("RAW is an address with a name or password in it: give a file, or hf://datasets/ORG/NAME")
    path = Path(raw)
    if raw == "-" or path.is_file() or path.is_fifo():
        return [raw]
    if raw and path.is_dir():
        return folder_files(path)
    name = hub_name(raw)
    if raw.startswith("hf:") and name is not None:
        if Path(name.path).exists():
            raise InputError(f"{raw}: {name.path} is here, and would be read instead: run from another folder")
        return name
    if is_pattern(raw):
        return matching_files(raw)
    # A name that is mistyped must not be looked for elsewhere.
    if name is None or KNOWN.search(raw) or path.exists() or path.parent.exists():
        raise InputError(f"{raw}: {_NO_FILE}")
    return name
