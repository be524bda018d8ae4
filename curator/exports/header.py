"""The header of a data set card: what the hub and `datasets` read before anybody reads the card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from curator.resources import parse_yaml

TAG, DEMONSTRATION = "preference-curator", "demonstration-judge"
"""Tags that say who made a data set, and that its auto labels are those of a demonstration judge."""

AUTO = "auto-labels"
"""Tag of a data set that holds labels of a judge, whether or not a column says which these are."""

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)

_START = "---\n"


@dataclass(frozen=True, slots=True)
class Split:
    """A split of a data set.

    Attributes:
        rows: how many rows it has.
        held: their bytes in memory.
    """

    rows: int
    held: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a data set holds.

    Attributes:
        schema: its columns.
        meanings: what each column means, in words.
        splits: by name; the files of each are `data/<name>-*`.
        size: bytes of the files.
        sources: rows by label source, "auto" and "human".
    """

    schema: pa.Schema
    meanings: Mapping[str, str]
    splits: Mapping[str, Split]
    size: int
    sources: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class About:
    """What only the owner of the data can say of it.

    Attributes:
        license: as the hub spells it (apache-2.0, cc-by-4.0, other, ...).
        languages: codes (en, de, ...).
        pretty_name: a title.

    Raises:
        ValueError: one of them is not of that form.
    """

    license: str | None = None
    languages: tuple[str, ...] = ()
    pretty_name: str | None = None

    def __post_init__(self) -> None:
        if self.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license):
            raise ValueError(f"a license is written as the hub does, such as apache-2.0 or cc-by-4.0: {self.license!r}")
        for language in self.languages:
            if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
                raise ValueError(f"a language is a code such as en or de: {language!r}")
        if self.pretty_name is not None and not (self.pretty_name.strip() and self.pretty_name.isprintable()):
            raise ValueError("a name is one line of text")


def read_card(text: str) -> tuple[dict[str, Any], str]:
    """The header and the body of a card.

    Raises:
        ValueError: it has no header.
    """
    if not text.startswith(_START) or (end := text.find(f"\n{_START}")) < 0:
        raise ValueError("has no YAML header")
    try:
        header = parse_yaml(text[len(_START) : end + 1])
    except yaml.YAMLError:
        raise ValueError("has a header that is not YAML") from None
    if not isinstance(header, dict):
        raise ValueError("has a header that is not YAML")
    return header, text[end + 1 + len(_START) :]


def card_tags(folder: Path) -> list[Any]:
    """The tags of the card in a folder; none where there is no card."""
    try:
        header, _ = read_card((folder / "README.md").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    tags = header.get("tags")
    return tags if isinstance(tags, list) else []


def described(card: str, about: About) -> str:
    """A card to which is added what its owner says of the data.

    Raises:
        ValueError: the card has no header.
    """
    header, body = read_card(card)
    return joined({**_owner(about), **{k: v for k, v in header.items() if k not in _owner(about)}}, body)


def joined(header: Mapping[str, Any], body: str) -> str:
    """A card of its two parts."""
    dumped = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True)
    return f"{_START}{dumped}{_START}{body}"


def _owner(about: About) -> dict[str, Any]:
    said = {"license": about.license, "language": list(about.languages), "pretty_name": about.pretty_name}
    return {name: value for name, value in said.items() if value}


def header_of(contents: Contents, about: About, demonstration: bool) -> dict[str, Any]:
    """The header of what a data set holds; `demonstration`: its auto labels are those of a demonstration judge.

    Raises:
        ValueError: a column has a type that a card has no name for.
    """
    count = sum(split.rows for split in contents.splits.values())
    held = sum(split.held for split in contents.splits.values())
    tags = [AUTO, *([DEMONSTRATION] if demonstration else [])] if contents.sources.get("auto") else []
    return {
        **_owner(about),
        "pretty_name": about.pretty_name or "Preference pairs labelled with curator",
        "tags": ["preference", "dpo", "trl", TAG, *tags],
        "size_categories": [next((name for most, name in _SIZES if count < most), "100M<n<1B")],
        "dataset_info": {
            "features": [_feature(field) for field in contents.schema],
            "splits": [
                {"name": name, "num_bytes": split.held, "num_examples": split.rows}
                for name, split in contents.splits.items()
            ],
            "download_size": contents.size,
            "dataset_size": held,
        },
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}-*"} for name in contents.splits],
            }
        ],
    }


_KNOWN = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating,
    pa.types.is_null,
)  # fmt: skip

_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16"}
"""Arrow's names of types for which the hub has others."""


def _feature(field: pa.Field) -> dict[str, Any]:
    """A column in the hub's notation."""
    return {"name": field.name, **_type(field.type)}


def _type(kind: pa.DataType) -> dict[str, Any]:
    for word, is_list in (("list", pa.types.is_list), ("large_list", pa.types.is_large_list)):
        if is_list(kind):
            inner = _type(kind.value_type)
            # What has nothing but a type, or but fields, stands there without saying so.
            return {word: inner.get("dtype", inner.get("struct", inner))}
    if pa.types.is_struct(kind):
        return {"struct": [_feature(field) for field in kind]}
    if not any(known(kind) for known in _KNOWN):
        raise ValueError(f"a card has no name for the type {kind}")
    return {"dtype": _NAMES.get(str(kind), str(kind))}
