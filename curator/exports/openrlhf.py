"""The data set that OpenRLHF reads for DPO and reward models, with a shell command for each."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from curator.exports.base import MARGIN, PROMPT, Examples, Export, Facts, margins
from curator.exports.configuring import EXAMPLE_MODEL, comment, smoothing
from curator.exports.header import Split
from curator.exports.trl import DPO, preference


def _rows(examples: Examples, margin: str) -> Mapping[str, pa.Array]:
    """With a chat template and `--data.prompt_key`, OpenRLHF joins prompt and response: both are lists of messages."""
    return {**preference(examples, margin), "margin": margins(examples, margin)}


def _files(facts: Facts, splits: Mapping[str, Split]) -> dict[str, str]:
    evaluation = " \\\n  --eval.dataset data --eval.split test" if "test" in splits else ""
    common = f"""  --model.model_name_or_path {EXAMPLE_MODEL} \\
  --data.dataset data --data.dataset_split train{evaluation} \\
  --data.apply_chat_template --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected \\
  --data.max_len 2048"""
    loss, about = "", facts.sentence
    if facts.label_smoothing is not None:
        about += " OpenRLHF smooths labels as conservative DPO does, and has no robust loss."
        loss = f" \\\n  --model.label_smoothing {smoothing(facts)}"
    head = "#!/bin/sh\n# In this folder; name your model.\n"
    return {
        "openrlhf-dpo.sh": f"""{head}{comment(about)}deepspeed --module openrlhf.cli.train_dpo \\
{common} \\
  --model.beta 0.1 --adam.lr 5e-7 --ckpt.output_dir dpo-model{loss}
""",
        "openrlhf-rm.sh": f"""{head}deepspeed --module openrlhf.cli.train_rm \\
{common} \\
  --model.margin_loss_enable --adam.lr 9e-6 --ckpt.output_dir reward-model
""",
    }


OPENRLHF = Export((PROMPT, *DPO, MARGIN), _rows, tools=False, files=_files)
