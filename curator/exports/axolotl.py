"""The data set that axolotl's `chat_template.default` reads, with its configuration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from curator.exports.base import PROMPT, Examples, Export, Facts, Reasons, tool_calls
from curator.exports.configuring import EXAMPLE_MODEL, comment, smoothing
from curator.exports.header import Split
from curator.exports.trl import DPO, preference

_ROLES = {"system", "user", "assistant", "tool"}


def _misfits(examples: Examples) -> Reasons:
    strange: NDArray[np.bool_] = np.array([not _ROLES.issuperset(roles) for roles in examples.turns()], dtype=bool)
    return [*tool_calls(examples), ("a role that axolotl does not know", strange)]


def _entry(split: str) -> str:
    return f"""  - path: data
    split: {split}
    type: chat_template.default
    field_messages: prompt
    field_chosen: chosen
    field_rejected: rejected
"""


def _files(facts: Facts, splits: Mapping[str, Split]) -> dict[str, str]:
    loss = ""
    if facts.label_smoothing is not None:
        loss = f"dpo_loss_type: [robust]\ndpo_label_smoothing: {smoothing(facts)}\n"
    test = f"test_datasets:\n{_entry('test')}" if "test" in splits else ""
    return {
        "axolotl.yaml": f"""# In this folder: axolotl train axolotl.yaml
base_model: {EXAMPLE_MODEL}  # the model to train: name yours
chat_template: tokenizer_default
rl: dpo
{comment(facts.sentence)}{loss}datasets:
{_entry("train")}{test}sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 5.0e-7
output_dir: dpo-model
"""
    }


AXOLOTL = Export((PROMPT, *DPO), preference, tools=False, misfits=_misfits, files=_files, extra=False)
"""No extra columns at all: axolotl hands all it finds on to the trainer."""
