"""The data sets that TRL's trainers read as they are, each with a configuration for its command line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from curator.exports.base import (
    CHOSEN,
    MARGIN,
    MESSAGES,
    PROMPT,
    REJECTED,
    Column,
    Examples,
    Export,
    Facts,
    answer,
    margins,
)
from curator.exports.configuring import EXAMPLE_MODEL, comment, smoothing
from curator.exports.header import Split

_ANSWER = ", as one assistant message"
_TRANSCRIPT = "the conversation, as messages, and "

DPO = (Column("chosen", MESSAGES, CHOSEN + _ANSWER), Column("rejected", MESSAGES, REJECTED + _ANSWER))
_IMPLICIT = (Column("chosen", MESSAGES, _TRANSCRIPT + CHOSEN), Column("rejected", MESSAGES, _TRANSCRIPT + REJECTED))


def preference(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    """Prompt, chosen, rejected: conversations, of one message each where they are responses."""
    return {
        "prompt": examples.prompt,
        "chosen": answer(examples.chosen),
        "rejected": answer(examples.rejected),
    }


def _implicit(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    return {
        "chosen": examples.transcript(examples.chosen),
        "rejected": examples.transcript(examples.rejected),
    }


def _reward(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    return {**_implicit(examples, margin), "margin": margins(examples, margin)}


def _unpaired(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    """The chosen response of each example and then the rejected one: as many good ones as bad ones, in turn."""
    count = len(examples)
    twice = pa.array(np.repeat(np.arange(count), 2))
    turn = pa.array(np.arange(2 * count).reshape(2, count).T.ravel())
    completion = pa.concat_arrays([examples.chosen, examples.rejected]).take(turn)
    label = pa.array(np.tile([True, False], count), pa.bool_())
    return {"prompt": examples.prompt.take(twice), "completion": answer(completion), "label": label}


def _configuration(command: str, settings: str, splits: Mapping[str, Split]) -> dict[str, str]:
    """A file for `trl COMMAND`, which takes the names of its options as keys."""
    evaluation = "dataset_test_split: test\neval_strategy: epoch\n" if "test" in splits else ""
    text = f"""# In this folder: trl {command} --config trl-{command}.yaml
model_name_or_path: {EXAMPLE_MODEL}  # the model to train: name yours
dataset_name: data
dataset_train_split: train
{evaluation}{settings}per_device_train_batch_size: 2
gradient_accumulation_steps: 8
num_train_epochs: 1
output_dir: {command}-model
"""
    return {f"trl-{command}.yaml": text}


def _dpo(facts: Facts, splits: Mapping[str, Split]) -> dict[str, str]:
    if facts.label_smoothing is None:
        loss = f"{comment(facts.sentence)}loss_type: [sigmoid]\n"
    else:
        loss = f"{comment(facts.sentence)}loss_type: [robust]\nlabel_smoothing: {smoothing(facts)}\n"
    return _configuration("dpo", f"{loss}beta: 0.1\nlearning_rate: 5.0e-7\nmax_length: 2048\n", splits)


def _kto(facts: Facts, splits: Mapping[str, Split]) -> dict[str, str]:
    weights = "# As many good completions as bad ones: equal weights.\ndesirable_weight: 1.0\nundesirable_weight: 1.0\n"
    return _configuration("kto", f"{weights}beta: 0.1\nlearning_rate: 5.0e-7\nmax_length: 2048\n", splits)


def _reward_model(facts: Facts, splits: Mapping[str, Split]) -> dict[str, str]:
    return _configuration("reward", "learning_rate: 1.0e-5\nmax_length: 2048\n", splits)


TRL = Export((PROMPT, *DPO), preference, files=_dpo)
TRL_IMPLICIT = Export(_IMPLICIT, _implicit, files=_dpo)
TRL_REWARD = Export((*_IMPLICIT, MARGIN), _reward, files=_reward_model)
TRL_KTO = Export(
    (
        PROMPT,
        Column("completion", MESSAGES, "a response" + _ANSWER),
        Column("label", pa.bool_(), "whether it is the preferred one of its pair"),
    ),
    _unpaired,
    copies=2,
    files=_kto,
)

SCHEMA = pa.schema([(column.name, column.type) for column in TRL.schema(minimal=False, tools=False)])
"""Columns of `dataset/`. Written out, never inferred: one empty file must not change a type."""
