"""distilabel: a pipeline of one `ChatGeneration` step over an OpenAI client, large batches, cache off."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

os.environ["DISTILABEL_LOG_LEVEL"] = "WARNING"  # otherwise a line is drawn for every request

from datasets import Dataset
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps.tasks import ChatGeneration
from shared import MODEL, Job


def read(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for row in dataset:
        top = {entry["token"]: entry["logprob"] for entry in row["llm_judge_logprobs"][0]}
        first, second = math.exp(top["A"]), math.exp(top["B"])
        yield {
            "id": row["id"], "order": row["order"], "verdict": row["generation"], "p_first": first / (first + second),
        }  # fmt: skip


if __name__ == "__main__":
    job = Job()
    rows = Dataset.from_list([{key: row[key] for key in ("id", "order", "messages")} for row in job.rows])
    with Pipeline() as pipeline:
        ChatGeneration(
            name="judge",
            llm=OpenAILLM(
                model=MODEL,
                base_url=job.url + "/v1",
                api_key="none",
                generation_kwargs={"max_new_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 5},
            ),
            input_batch_size=job.in_flight,
            add_raw_input=False,
            add_raw_output=False,
        )
    job.begin()
    distiset = pipeline.run(dataset=rows, use_cache=False)
    job.end(read(distiset["default"]["train"]))
