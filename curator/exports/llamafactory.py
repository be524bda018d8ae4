"""The data set that LLaMA-Factory reads as ShareGPT with the tags of OpenAI, with its entry and a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from curator.exports.base import (
    CHOSEN,
    MESSAGE,
    PROMPT,
    REJECTED,
    TOOLS,
    Column,
    Examples,
    Export,
    Facts,
    Reasons,
    assistant,
    tool_calls,
)
from curator.exports.configuring import EXAMPLE_MODEL, comment, smoothing
from curator.exports.header import Split


def _rows(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    tools = examples["tools"].fill_null("")
    return {
        "prompt": examples.prompt,
        "chosen": assistant(examples.chosen),
        "rejected": assistant(examples.rejected),
        "tools": tools,
    }


def _misfits(examples: Examples) -> Reasons:
    """It reads an optional system message and then user and assistant in turn, the last being the user."""
    odd: NDArray[np.bool_] = np.array([not _in_turn(roles) for roles in examples.turns()], dtype=bool)
    return [*tool_calls(examples), ("turns other than system, then user and assistant in turn", odd)]


def _in_turn(roles: list[str]) -> bool:
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return len(turns) % 2 == 1 and all(
        role == ("assistant" if place % 2 else "user") for place, role in enumerate(turns)
    )


def _entry(split: str) -> dict[str, Any]:
    return {
        # Not a script: a folder of which `datasets` makes splits, where "file_name" would take all files for one.
        "script_url": "data",
        "split": split,
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected", "tools": "tools"},
        "tags": {
            "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
            "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
        },
    }  # fmt: skip


def _files(facts: Facts, splits: Mapping[str, Split]) -> dict[str, str]:
    entries = {"curator" if split == "train" else f"curator_{split}": _entry(split) for split in splits}
    loss, about = "", facts.sentence
    if facts.label_smoothing is not None:
        about += " LLaMA-Factory smooths labels as conservative DPO does, and has no robust loss."
        loss = f"dpo_label_smoothing: {smoothing(facts)}\n"
    test = "eval_dataset: curator_test\neval_strategy: epoch\n" if "test" in splits else ""
    return {
        "dataset_info.json": orjson.dumps(entries, option=orjson.OPT_INDENT_2).decode() + "\n",
        "llamafactory.yaml": f"""# In this folder: llamafactory-cli train llamafactory.yaml
model_name_or_path: {EXAMPLE_MODEL}  # the model to train: name yours
template: qwen  # the one of your model
stage: dpo
do_train: true
finetuning_type: lora
{comment(about)}pref_loss: sigmoid
{loss}pref_beta: 0.1
dataset_dir: .
dataset: curator
{test}cutoff_len: 2048
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 5.0e-6
num_train_epochs: 1.0
output_dir: dpo-model
""",
    }


LLAMAFACTORY = Export(
    (PROMPT, Column("chosen", MESSAGE, CHOSEN), Column("rejected", MESSAGE, REJECTED), TOOLS),
    _rows,
    misfits=_misfits,
    files=_files,
)
