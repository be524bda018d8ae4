"""Makes pairs of raw rows as they come: every row becomes pairs or a reject, and few bytes a row are held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from curator.errors import InputError
from curator.files import Reject, Row
from curator.formats import FORMATS, UnknownFormat, detect
from curator.formats.base import At, BadRow, Format
from curator.formats.gathering import Gathered, paired
from curator.formats.mapped import LOOKED, lacking, mapped, required
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
        by_score: whether responses became neighbours by their scores or by their places; None: that was not asked.
        absent: fields of `--map` that no row had.
    """

    format: Format | None = None
    rows: int = 0
    prompts: int = 0
    responses: int = 0
    identical: int = 0
    by_score: bool | None = None
    absent: frozenset[str] = frozenset()


def read(rows: Iterable[Row | Reject], reading: Reading, seen: Seen | None = None) -> Iterator[Pair | Reject]:
    """The pairs of every row, in order; what gives none is a reject. Rows with one response each come at the end.

    Args:
        seen: is told what was found.

    Raises:
        InputError: the format cannot be told, it is not said which of several verdicts is meant, or `--map` names a
            field that no row has.
    """
    seen = seen or Seen()
    with Gathered() as gathered:
        yield from _read(rows, reading, seen, gathered)
        yield from gathered.pairs(reading, seen)


def _read(rows: Iterable[Row | Reject], reading: Reading, seen: Seen, gathered: Gathered) -> Iterator[Pair | Reject]:
    if (named := _named(reading)) is not None:
        seen.format = _settled(named, reading)
    seen.absent = frozenset(path for _, path in reading.fields)
    unknown: UnknownFormat | None = None
    looked, last = 0, None
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        if seen.format is None:
            try:
                seen.format = _settled(detect(row.values, row.file), reading)
            except UnknownFormat as error:
                # One bad row is a reject wherever it stands; that no row at all fits is said at the end.
                unknown = unknown or error
                yield row.reject("row", "has the fields of no known format")
                continue
        looked, last = looked + 1, row
        if seen.absent:
            seen.absent = lacking(row.values, seen.absent)
            if looked == LOOKED:
                required(reading, seen.absent, row)
        yield from _pairs(row, seen.format, reading, seen, gathered)
    if seen.format is None and unknown is not None:
        raise unknown
    if last is not None:
        required(reading, seen.absent, last)


def _named(reading: Reading) -> Format | None:
    """The format that the user named or described."""
    if reading.fields:
        if reading.input_format is not None:
            raise InputError("--map describes a format of its own: leave out --input-format")
        return mapped(reading.fields, reading.values)
    if reading.values:
        raise InputError("--label-value says what a label means that --map label=FIELD names: give that too")
    if reading.input_format is not None and reading.input_format not in FORMATS:
        raise InputError(f"no raw format is named {reading.input_format!r}; there are: {', '.join(FORMATS)}")
    return None if reading.input_format is None else FORMATS[reading.input_format]


def _settled(form: Format, reading: Reading) -> Format:
    """The format, if it is clear which of its verdicts is meant.

    Raises:
        InputError: it is not.
    """
    named = ", ".join(form.criteria)
    if reading.criterion is None:
        if form.criteria and not form.default_criterion and not reading.ignore_labels:
            raise InputError(
                f"rows of {form.name} have several verdicts: say which is meant, with --criterion ({named})"
            )
    elif reading.criterion not in form.criteria:
        has = f"has these: {named}" if form.criteria else "has none"
        raise InputError(f"--criterion {reading.criterion}: the format {form.name} {has}")
    return form


def _pairs(row: Row, chosen: Format, reading: Reading, seen: Seen, gathered: Gathered) -> Iterator[Pair | Reject]:
    if chosen.schema and (bad := row.check(chosen.schema)):
        yield bad
        return
    if not chosen.required <= row.values.keys() and chosen.known_by(row.values.keys()) is None:
        yield row.reject(min(chosen.required - row.values.keys()), "is missing")
        return
    criterion = reading.criterion or next(iter(chosen.criteria), None)
    try:
        made = chosen.convert(row.values, At(row.file, row.line, criterion))
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
