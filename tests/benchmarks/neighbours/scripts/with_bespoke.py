"""bespokelabs-curator: an `LLM` with the OpenAI backend and its rate limits out of the way, cache off."""

from __future__ import annotations

import math
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ |= {
    "CURATOR_DISABLE_CACHE": "true", "CURATOR_DISABLE_RICH_DISPLAY": "1", "TELEMETRY_ENABLED": "false",
    "OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}  # fmt: skip

# The tokenizer with which it guesses token counts lies in one of its dependencies: no download in a measurement.
spec = find_spec("litellm")
if spec is not None and spec.origin is not None:
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers")

from bespokelabs import curator  # noqa: E402
from shared import MODEL, Job  # noqa: E402


class Judge(curator.LLM):
    return_completions_object = True

    def prompt(self, row: dict[str, Any]) -> list[dict[str, str]]:
        return row["messages"]

    def parse(self, row: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        choice = reply["choices"][0]
        top = {entry["token"]: entry["logprob"] for entry in choice["logprobs"]["content"][0]["top_logprobs"]}
        first, second = math.exp(top["A"]), math.exp(top["B"])
        return {
            "id": row["id"], "order": row["order"], "verdict": choice["message"]["content"],
            "p_first": first / (first + second),
        }  # fmt: skip


if __name__ == "__main__":
    job = Job()
    judge = Judge(
        model_name=MODEL,
        backend="openai",
        generation_params={"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 5},
        backend_params={
            "base_url": job.url + "/v1",
            "max_requests_per_minute": 100_000_000,
            "max_tokens_per_minute": 100_000_000_000,
            "max_concurrent_requests": job.in_flight,
            "invalid_finish_reasons": ["content_filter"],
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        job.begin()
        replies = judge(job.rows, working_dir=folder)
        job.end(replies.dataset)
