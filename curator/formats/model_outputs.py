"""A table of what models answered, one row a prompt and model, without labels: `prompt`, `response`, `model`.

Also by the names of AlpacaEval's model outputs: `instruction`, `output`, `generator`. The rows of a prompt may stand
anywhere in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from curator.formats.base import At, Format, conversation, rest, source_id
from curator.pair import Candidates, Response

_ALIASES = {"instruction": "prompt", "output": "response", "generator": "model"}


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    name = {known: known if known in row else alias for alias, known in _ALIASES.items()}
    return Candidates(
        prompt=conversation(row[name["prompt"]], name["prompt"]),
        responses=(Response(row[name["response"]], row[name["model"]]),),
        source_id=source_id(row),
        metadata=rest(row, "id", *name.values()),
        file=at.file,
        line=at.line,
    )


_NAMES, *_OTHERS = (frozenset(names) for names in product(*((name, alias) for alias, name in _ALIASES.items())))

FORMAT = Format("model_outputs", "model_outputs", _NAMES, _convert, gather=True, labelled_by="", also=tuple(_OTHERS))
