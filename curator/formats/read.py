"""Makes pairs of raw rows as they come: every row becomes pairs or a reject, and few bytes a row are held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from curator.errors import InputError
from curator.files import Reject, Row
from curator.formats import FORMATS, UnknownFormat, detect
from curator.formats.base import At, BadRow, Format
from curator.formats.gathering import Gathered, paired
from curator.options import Reading
from curator.pair import Candidates, Pair


@dataclass(slots=True)
class Seen:
    """What the reading of rows came to so far.

    Attributes:
        format: the format that was chosen or recognised; None until a row fits.
        rows: rows of which pairs were made.
        prompts, responses: of rows that had more than two responses, or one each.
        identical: of the responses, those that repeat another's text to the same prompt; each text is paired once.
    """

    format: Format | None = None
    rows: int = 0
    prompts: int = 0
    responses: int = 0
    identical: int = 0


def read(rows: Iterable[Row | Reject], reading: Reading, seen: Seen | None = None) -> Iterator[Pair | Reject]:
    """The pairs of every row, in order; what gives none is a reject.

    Args:
        seen: is told what was found.

    Raises:
        InputError: the format cannot be told.
    """
    seen = seen or Seen()
    if reading.input_format is not None:
        if reading.input_format not in FORMATS:
            raise InputError(f"no raw format is named {reading.input_format!r}; there are: {', '.join(FORMATS)}")
        seen.format = FORMATS[reading.input_format]
    unknown: UnknownFormat | None = None
    with Gathered() as gathered:
        for row in rows:
            if isinstance(row, Reject):
                yield row
                continue
            if seen.format is None:
                try:
                    seen.format = detect(row.values, row.file)
                except UnknownFormat as error:
                    # One bad row is a reject wherever it stands; that no row at all fits is said at the end.
                    unknown = unknown or error
                    yield row.reject("row", "has the fields of no known format")
                    continue
            yield from _pairs(row, seen.format, reading, seen, gathered)
        yield from gathered.pairs(reading, seen)
    if seen.format is None and unknown is not None:
        raise unknown


def _pairs(row: Row, chosen: Format, reading: Reading, seen: Seen, gathered: Gathered) -> Iterator[Pair | Reject]:
    if bad := row.check(chosen.schema):
        yield bad
        return
    try:
        made = chosen.convert(row.values, At(row.file, row.line, reading.criterion))
    except BadRow as error:
        yield row.reject(error.field, error.reason)
        return
    if isinstance(made, Candidates):
        if chosen.gather:
            gathered.add(row, made)
        else:
            yield from paired(made, [row], reading, seen)
        return
    seen.rows += 1
    yield replace(made, votes=()) if reading.ignore_labels else made
