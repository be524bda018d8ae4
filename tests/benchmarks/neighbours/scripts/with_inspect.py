"""inspect-ai: samples that are the judge prompts, the plain `generate` solver, a log without what costs time."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from inspect_ai import Task, eval  # noqa: A004
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageSystem, ChatMessageUser
from shared import MODEL, Job

ROLES = {"system": ChatMessageSystem, "user": ChatMessageUser}


def read(logs: list[EvalLog]) -> Iterator[dict[str, Any]]:
    for sample in logs[0].samples or []:
        choice = sample.output.choices[0]
        top = {entry.token: entry.logprob for entry in choice.logprobs.content[0].top_logprobs}
        first, second = math.exp(top["A"]), math.exp(top["B"])
        name, _, order = str(sample.id).rpartition(" ")
        yield {
            "id": name, "order": order, "verdict": sample.output.completion, "p_first": first / (first + second),
        }  # fmt: skip


if __name__ == "__main__":
    job = Job()
    os.environ |= {"STUB_BASE_URL": job.url + "/v1", "STUB_API_KEY": "none"}
    samples = [
        Sample(
            id=f"{row['id']} {row['order']}",
            input=[ROLES[turn["role"]](content=turn["content"]) for turn in row["messages"]],
        )
        for row in job.rows
    ]
    with tempfile.TemporaryDirectory() as folder:
        job.begin()
        logs = eval(
            Task(dataset=MemoryDataset(samples)),
            model=f"openai-api/stub/{MODEL}",
            max_connections=job.in_flight,
            max_samples=job.in_flight,
            max_tokens=1,
            temperature=0,
            logprobs=True,
            top_logprobs=5,
            display="none",
            log_dir=folder,
            log_realtime=False,
            log_model_api=False,
            log_buffer=10_000,
        )
        job.end(read(logs))
