"""Every annotation tool, by name and by the shape of what it exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from curator.annotation import argilla, html, jsonl, label_studio, prodigy, sheet
from curator.annotation.base import Answer, Tool
from curator.annotation.reading import read_rows
from curator.files import Reject
from curator.names import annotator_name

TOOLS: dict[str, Tool] = {
    tool.name: tool for tool in (html.TOOL, sheet.TOOL, jsonl.TOOL, prodigy.TOOL, argilla.TOOL, label_studio.TOOL)
}


def read_answers(path: str) -> Iterator[Answer | Reject]:
    """Every answer of a file that people labelled in, whichever tool wrote it.

    Raises:
        InputError: the file cannot be read.
    """
    return (answer for _, answer in read_by_tool(path))


def read_by_tool(path: str) -> Iterator[tuple[str | None, Answer | Reject]]:
    """`read_answers` with the name of the tool that wrote each row; None where it is of none."""
    for row in read_rows(path):
        if isinstance(row, Reject):
            yield None, row
            continue
        tool = next((tool for tool in TOOLS.values() if tool.recognises(row.values)), None)
        if tool is None:
            rows = "; ".join(f"{tool.row} ({tool.name})" for tool in TOOLS.values() if tool.row)
            yield None, row.reject("row", f"is of no annotation tool, whose rows have {rows}")
        else:
            for answer in tool.answers(row):
                yield tool.name, answer if isinstance(answer, Reject) else _named(answer)


def _named(answer: Answer) -> Answer:
    """One person is one annotator, whatever tool and machine their name was typed in."""
    name = annotator_name(answer.annotator or "") or None
    return answer if name == answer.annotator else replace(answer, annotator=name)
