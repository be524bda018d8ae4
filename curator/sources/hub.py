"""Data sets of the Hugging Face hub, read in streaming by `datasets` (the extra `hub`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from curator.errors import InputError
from curator.files import Reject, Row
from curator.hiding import hidden
from curator.sources.arrow import MOST_ROWS, table_rows

HOW = "hf://datasets/ORG/NAME, with @REVISION, :CONFIG and #SPLIT behind it where needed"

_PREFIX = "hf://datasets/"
_NAME = re.compile(
    r"(?P<path>[\w.-]+/[\w.-]+)"
    r"(@(?P<revision>refs/(convert|pr)/[^/:#]+|[^/:#]+))?"
    r"(/(?P<files>[^:#]+))?"
    r"(:(?P<config>[^#]+))?"
    r"(#(?P<splits>[\w.+-]+))?"
)


@dataclass(frozen=True, slots=True)
class HubName:
    """What `ORG/NAME[@REVISION][/FILES][:CONFIG][#SPLIT[+SPLIT]]` names.

    Attributes:
        path: ORG/NAME, or a folder of the same kind.
        files: a pattern of files in it, if not all of a config.
        splits: none: the only one there is.
    """

    path: str
    revision: str | None = None
    files: str | None = None
    config: str | None = None
    splits: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def hub_name(raw: str) -> HubName | None:
    """The data set that a name means, if it is one.

    Raises:
        InputError: it begins as one, and is none.

    >>> hub_name("hf://datasets/org/name@v1.0:helpful#train+test")
    HubName(path='org/name', revision='v1.0', files=None, config='helpful', splits=('train', 'test'))
    >>> hub_name("org/name").name, hub_name("name")
    ('name', None)
    """
    found = _NAME.fullmatch(raw.removeprefix(_PREFIX))
    if found is None or (found["files"] and not raw.startswith(_PREFIX)):
        if raw.startswith("hf:"):
            raise InputError(f"{raw}: a data set of the hub is named as {HOW}")
        return None
    splits = tuple(found["splits"].split("+")) if found["splits"] else ()
    return HubName(found["path"], found["revision"], found["files"], found["config"], splits)


def require_hub(raw: str) -> None:
    """Raises InputError where what reads the hub is not installed."""
    if find_spec("datasets") is None:
        raise InputError(f"{raw}: reading the hub needs more: pip install 'preference-curator[hub]'")


def hub_rows(wanted: HubName, shown: str) -> Iterator[Row | Reject]:
    """The rows of a data set, numbered from 1 in each split; a row is named by data set and split.

    A token is read from the environment (HF_TOKEN) alone. No code of the data set is run.

    Raises:
        InputError: it is not there, not readable, or has several configs or splits of which none was named.
    """
    require_hub(shown)
    import datasets

    require_reachable(shown)
    with_bars = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        found: Any = datasets.load_dataset(
            wanted.path,
            wanted.config,
            data_files=wanted.files,
            revision=wanted.revision,
            token=os.environ.get("HF_TOKEN") or False,
            streaming=True,
        )
        splits = wanted.splits or tuple(found)
        if not wanted.splits and len(splits) > 1:
            raise InputError(f"{shown}: has the splits {', '.join(splits)}: say which, as in {shown}#{splits[0]}")
        for split in splits:
            if split not in found:
                raise InputError(f"{shown}: has no split {split!r}; there are: {', '.join(found)}")
        for split in splits:
            yield from _split_rows(found[split], f"{shown.partition('#')[0]}#{split}")
    except InputError:
        raise
    except Exception as error:  # the errors of four libraries, which have no base in common
        raise InputError(f"{shown}: cannot be read from the hub ({_reason(error)}); names are {HOW}") from None
    finally:
        if with_bars:
            datasets.enable_progress_bars()


def require_reachable(shown: str) -> None:
    """Raises InputError where nobody answers: the client would find out after half a minute of trying again."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:  # said at once by the client itself
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:  # its transports have no common base
        raise InputError(
            f"{shown}: nothing here is called so, and the hub at {hidden(constants.ENDPOINT)} cannot be reached "
            f"({_reason(error)})"
        ) from None


def _split_rows(split: Any, name: str) -> Iterator[Row | Reject]:
    number = 0
    for table in split.with_format("arrow").iter(MOST_ROWS):
        yield from table_rows(name, table.schema, table.combine_chunks().to_batches(), number)
        number += table.num_rows


def _reason(error: Exception) -> str:
    text = hidden(str(error)).strip().split("\n\n")[0]
    return " ".join(text.split())[:500] or type(error).__name__
