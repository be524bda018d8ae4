"""Every annotation tool, by name and by the shape of what it exports."""

from __future__ import annotations

from collections.abc import Iterator

from curator.annotation import jsonl, label_studio
from curator.annotation.base import Answer, Tool
from curator.files import Reject, read_rows

TOOLS: dict[str, Tool] = {tool.name: tool for tool in (jsonl.TOOL, label_studio.TOOL)}


def read_answers(path: str) -> Iterator[Answer | Reject]:
    """Every answer of a file that people labelled in, whichever tool wrote it.

    Raises:
        InputError: the file cannot be read.
    """
    for row in read_rows(path):
        if isinstance(row, Reject):
            yield row
            continue
        tool = next((tool for tool in TOOLS.values() if tool.recognises(row.values)), None)
        if tool is None:
            yield row.reject("row", f"has the fields of no export of {', '.join(TOOLS)}")
        else:
            yield from tool.answers(row)
