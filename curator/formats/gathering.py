"""From responses to pairs: rows with several responses, and rows with one each, of which those of a prompt are brought
together wherever they stand. Of these only a hash and a place are held in memory; the rows wait in a temporary file.
"""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Self

import numpy as np

from curator.errors import InputError
from curator.files import Reject, Row, naming
from curator.options import Reading
from curator.pair import Candidates, Pair
from curator.pairing import NoPairs, Policy, distinct, has_scores, pairs_of

if TYPE_CHECKING:
    from curator.formats.read import Seen

_TEMPORARY = "the folder for temporary files (TMPDIR)"


def paired(made: Candidates, rows: Sequence[Row], reading: Reading, seen: Seen) -> Iterator[Pair | Reject]:
    """The pairs of a prompt, or each of the rows that its responses come from as a reject.

    Raises:
        InputError: pairs of this prompt would be chosen in another way than those of the prompts before.
    """
    try:
        pairs = list(pairs_of(made, reading.pairing))
    except NoPairs as error:
        alone = len(made.responses) == 1
        for row in rows:
            yield row.reject("row", "has the only response to its prompt" if alone else str(error))
        return
    if reading.pairing.policy is Policy.ADJACENT and not reading.ignore_labels:
        _chosen_alike(made, seen)
    seen.rows += len(rows)
    seen.prompts += 1
    seen.responses += len(made.responses)
    seen.identical += len(made.responses) - len(distinct(made.responses))
    for pair in pairs:
        yield replace(pair, votes=()) if reading.ignore_labels else pair


def _chosen_alike(made: Candidates, seen: Seen) -> None:
    """Raises InputError where neighbours are neighbours by score for some prompts and in the file for others.

    The first are labelled, closer to each other than any two responses, and no sample of the others.
    """
    scored = has_scores(made.responses)
    if seen.by_score not in {None, scored}:
        raise InputError(
            f"{made.file}, line {made.line}: some prompts have scores, and others have none: --pairs adjacent would "
            "choose labelled pairs in another way than the others, for which they could not speak. Choose another "
            "policy, or give --ignore-labels"
        )
    seen.by_score = scored


class Gathered:
    """Rows with one response each, until all have been read. 24 bytes a row in memory.

    A context: the temporary file is gone when it is left.
    """

    def __init__(self) -> None:
        with naming(_TEMPORARY):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._prompts = bytearray()
        self._offsets = array("Q")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with naming(_TEMPORARY):
            self._file.close()

    def add(self, row: Row, made: Candidates) -> None:
        """Put a row aside, with the response that was made of it."""
        self._prompts += bytes.fromhex(made.prompt_id)
        self._offsets.append(self._file.tell())
        with naming(_TEMPORARY):
            pickle.dump((replace(row, values={}), made), self._file, pickle.HIGHEST_PROTOCOL)

    def pairs(self, reading: Reading, seen: Seen) -> Iterator[Pair | Reject]:
        """The pairs of every prompt, in the order in which the prompts came."""
        if not self._offsets:
            return
        _, first, prompt = np.unique(np.frombuffer(bytes(self._prompts), "V16"), return_index=True, return_inverse=True)
        came = first[prompt]
        order = np.argsort(came, kind="stable")
        for _, places in groupby(order.tolist(), key=lambda place: int(came[place])):
            held = [self._read(place) for place in places]
            rows, made = [row for row, _ in held], [one for _, one in held]
            yield from paired(_together(made), rows, reading, seen)

    def _read(self, place: int) -> tuple[Row, Candidates]:
        with naming(_TEMPORARY):
            self._file.seek(self._offsets[place])
        held: tuple[Row, Candidates] = pickle.load(self._file)  # noqa: S301 - nobody else can write to this file
        return held


def _together(made: Sequence[Candidates]) -> Candidates:
    """The responses to one prompt, in the order of their rows. What all rows say alike is said of the prompt."""
    said = [one.metadata for one in made]
    common = {name: value for name, value in said[0].items() if all(name in one and one[name] == value for one in said)}
    responses = []
    for one in made:
        (response,) = one.responses
        own = {name: value for name, value in one.metadata.items() if name not in common}
        responses.append(replace(response, metadata={**own, **response.metadata}))
    return replace(made[0], responses=tuple(responses), metadata=common)
