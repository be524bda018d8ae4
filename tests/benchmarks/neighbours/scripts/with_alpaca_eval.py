"""alpaca_eval: a `PairwiseAnnotator` that reads log-probabilities, one chunk, as many threads as help, no cache."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from shared import MODEL, Job


def configure(folder: Path, job: Job) -> None:
    """Write the annotator's folder and the client's settings, as its documentation has them."""
    template = json.loads((job.prompts.parent / "template.json").read_text("utf-8"))
    turns = [f"<|im_start|>{turn['role']}\n{turn['content']}\n<|im_end|>" for turn in template]
    (folder / "judge").mkdir()
    (folder / "judge" / "prompt.txt").write_text("\n".join(turns), "utf-8")
    completions = {
        "model_name": MODEL, "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 5,
        "requires_chatml": True, "num_procs": job.in_flight, "price_per_token": 0,
    }  # fmt: skip
    config = {
        "prompt_template": "judge/prompt.txt",
        "fn_completions": "openai_completions",
        "completions_kwargs": completions,
        "fn_completion_parser": "logprob_parser",
        "completion_parser_kwargs": {
            "numerator_token": "A", "denominator_tokens": ["A", "B"], "is_binarize": False,
        },
        "completion_key": "completions_all",
        "batch_size": 1,
    }  # fmt: skip
    (folder / "judge" / "configs.yaml").write_text(yaml.safe_dump({"judge": config}), "utf-8")
    clients = {"default": [{"api_key": "none", "base_url": job.url + "/v1"}]}
    (folder / "clients.yaml").write_text(yaml.safe_dump(clients), "utf-8")


def read(job: Job, annotated: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row, found in zip(job.rows, annotated, strict=True):
        same = found["instruction"], found["output_1"], found["output_2"]
        if same != (row["instruction"], row["output_1"], row["output_2"]):
            raise ValueError("alpaca_eval changed the order of the pairs")
        # The parser gives 1 plus what it makes of the numerator's share: 1 is the first response, 2 the second.
        first = 2 - found["preference"]
        yield {"id": row["id"], "order": row["order"], "verdict": "A" if first > 0.5 else "B", "p_first": first}


if __name__ == "__main__":
    job = Job()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configure(folder, job)
        os.environ["OPENAI_CLIENT_CONFIG_PATH"] = str(folder / "clients.yaml")
        from alpaca_eval.annotators import PairwiseAnnotator

        logging.getLogger().setLevel(logging.ERROR)  # otherwise several lines are written for every request
        annotator = PairwiseAnnotator(
            annotators_config="judge", base_dir=folder, caching_path=None, is_randomize_output_order=False
        )
        pairs = [{key: row[key] for key in ("instruction", "output_1", "output_2")} for row in job.rows]
        job.begin()
        annotated = annotator.annotate_pairs(pairs, chunksize=None)
        job.end(read(job, annotated))
