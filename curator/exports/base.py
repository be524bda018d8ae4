"""What every export has: columns, rows made from examples, and the configuration of its trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curator.exports.header import Split

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
MESSAGES = pa.list_(MESSAGE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a trainer's configuration says of the labels.

    Attributes:
        label_smoothing: bound of the share of wrong labels, in [0, 0.5); None: nothing is known of it.
        sentence: what that number is.
    """

    label_smoothing: float | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, its type written out and never inferred, and what it means."""

    name: str
    type: pa.DataType
    meaning: str


@dataclass(frozen=True, slots=True)
class Examples:
    """Some examples as the store yields them (`curator.store.dataset.dataset`), and what exports make of them."""

    batch: pa.RecordBatch

    def __getitem__(self, name: str) -> pa.Array:
        return self.batch.column(name)

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @property
    def chosen(self) -> pa.Array:
        return pc.if_else(self["a_chosen"], self["response_a"], self["response_b"])

    @property
    def rejected(self) -> pa.Array:
        return pc.if_else(self["a_chosen"], self["response_b"], self["response_a"])

    @property
    def prompt(self) -> pa.Array:
        """The conversation as messages of role and content."""
        return _messages(*_turns(self["prompt"]))

    def transcript(self, answer: pa.Array) -> pa.Array:
        """The conversation with an answer as its last message."""
        offsets, turns = _turns(self["prompt"])
        every = pa.concat_arrays([turns, assistant(answer)])
        ends = offsets[1:] + np.arange(1, len(self) + 1)
        places = np.insert(np.arange(len(turns)), offsets[1:], len(turns) + np.arange(len(self)))
        return _messages(np.concatenate([[0], ends]), every.take(pa.array(places)))

    def turns(self) -> list[list[str]]:
        """The roles of each conversation."""
        offsets, turns = _turns(self["prompt"])
        roles = turns.field(0).to_pylist()
        return [roles[start:end] for start, end in pairwise(offsets)]

    @property
    def calls_tools(self) -> NDArray[np.bool_]:
        """Where a message of the conversation calls a tool in a field of its own."""
        offsets, _ = _turns(self["prompt"])
        calls = pc.match_substring_regex(self["prompt"].flatten().field(2), r'"(tool_calls|function_call)": ')
        at = np.flatnonzero(pc.fill_null(calls, False).to_numpy(zero_copy_only=False))
        found = np.zeros(len(self), dtype=bool)
        found[np.searchsorted(offsets, at, side="right") - 1] = True
        return found

    def kept(self, these: NDArray[np.bool_]) -> Examples:
        return self if these.all() else Examples(self.batch.filter(pa.array(these)))


def assistant(content: pa.Array) -> pa.StructArray:
    """Each text as an assistant's message."""
    return pa.StructArray.from_arrays([pa.repeat("assistant", len(content)), content], fields=list(MESSAGE))


def answer(content: pa.Array) -> pa.ListArray:
    """Each text as a conversation of one assistant message."""
    return _messages(np.arange(len(content) + 1), assistant(content))


def _turns(prompt: pa.ListArray) -> tuple[NDArray[np.int64], pa.StructArray]:
    """Where each conversation begins and ends, and the messages of all."""
    offsets = prompt.offsets.to_numpy().astype(np.int64)
    flat = prompt.flatten()
    return offsets - offsets[0], pa.StructArray.from_arrays([flat.field(0), flat.field(1)], fields=list(MESSAGE))


def _messages(offsets: NDArray[np.int64], turns: pa.StructArray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), turns)


Reasons = list[tuple[str, NDArray[np.bool_]]]


def tool_calls(examples: Examples) -> Reasons:
    """Which examples messages of role and content cannot hold, and why."""
    return [("tool calls", examples.calls_tools)]


@dataclass(frozen=True, slots=True)
class Export:
    """How examples become what a trainer reads.

    Attributes:
        columns: those that the trainer reads.
        rows: their values, of some examples; "margin" is one of "target" and "strength" (`Wanted.margin`).
        copies: rows of an example.
        tools: whether the trainer reads a column of tools; else examples with tools are left out and counted.
        misfits: other examples that the format cannot hold, by reason; left out and counted as well.
        files: name and text of the trainer's configuration files, which are meant to be used from the folder.
        extra: whether the columns of `EXTRA` are written too, unless the fewest are wanted.
        jsonl: JSON Lines in place of Parquet.
    """

    columns: tuple[Column, ...]
    rows: Callable[[Examples, str], Mapping[str, pa.Array]]
    copies: int = 1
    tools: bool = True
    misfits: Callable[[Examples], Reasons] = tool_calls
    files: Callable[[Facts, Mapping[str, Split]], Mapping[str, str]] = lambda facts, splits: {}
    extra: bool = True
    jsonl: bool = False

    def schema(self, minimal: bool, tools: bool = False, rationale: bool = False) -> tuple[Column, ...]:
        """Every column that is written: `tools` and `rationale` only where some example has one, the extra ones unless
        unwanted."""
        columns = self.columns
        if tools and self.tools and all(column.name != "tools" for column in columns):
            columns += (TOOLS,)
        if minimal or not self.extra:
            return columns
        return columns + EXTRA + ((RATIONALE,) if rationale else ())

    def unfit(self, examples: Examples) -> Reasons:
        """Every example that the format cannot hold, by reason."""
        own = self.misfits(examples)
        return own if self.tools else [*own, ("tools", examples["tools"].is_valid().to_numpy(zero_copy_only=False))]

    def table(self, examples: Examples, columns: tuple[Column, ...], margin: str) -> pa.Table:
        """The rows of some examples."""
        made = self.rows(examples, margin)
        copied = pa.array(np.repeat(np.arange(len(examples)), self.copies))
        arrays = [
            made[column.name] if column.name in made else examples[column.name].take(copied) for column in columns
        ]
        schema = pa.schema([(column.name, column.type) for column in columns])
        return pa.table([array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)


CHOSEN, REJECTED = "the preferred response", "the other response"
PROMPT = Column("prompt", MESSAGES, "the conversation, as messages; the last one is answered")
TOOLS = Column("tools", pa.string(), "the tools that the model may call, as JSON; null where there are none")
RATIONALE = Column(
    "rationale", pa.string(), "the judge's reason, asked for after its verdict; null where it was not asked"
)
MARGIN = Column(
    "margin", pa.float64(),
    "by how much the reward of `chosen` should be larger: the log-odds of `p_target`, cut to 0 to 4.6, or, where it "
    "was asked for, the strength that the raw file states; 0 where nothing is known",
)  # fmt: skip
MARGIN_MOST = 4.6
"""The log-odds of .99: a margin without an end would be all that a reward model learns."""

EXTRA = (
    Column("pair_id", pa.string(), "content hash of prompt and responses"),
    Column(
        "p_chosen", pa.float64(),
        "the judge's probability that `chosen` is better, averaged over both orders; null where it gave none",
    ),
    Column(
        "p_target", pa.float64(),
        "soft label, an estimate and no promise: probability that people prefer `chosen`; of an auto label, the "
        "judge's, calibrated on the labelled pairs; of a human one, (votes for it + half of the ties + 0.5) / "
        "(votes + 1); null where nothing is known",
    ),
    Column(
        "strength", pa.float64(),
        "how much better `chosen` is by those who chose it, in the unit of the raw file; null where it does not say",
    ),
    Column("bpe", pa.float64(), "bidirectional preference entropy in nats, 0 (sure) to 0.693 (no preference)"),
    Column("label_source", pa.string(), "`human` or `auto`"),
)  # fmt: skip


def margins(examples: Examples, source: str) -> pa.Array:
    """The column `margin`; never null, for a trainer takes no null."""
    if source == "strength":
        return pc.fill_null(examples["strength"], 0.0)
    target = np.clip(pc.fill_null(examples["p_target"], 0.5).to_numpy(), 0.5, 1 - 2**-53)
    return pa.array(np.minimum(np.log(target) - np.log1p(-target), MARGIN_MOST))
