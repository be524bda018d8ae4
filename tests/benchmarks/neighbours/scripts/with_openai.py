"""The script that one writes oneself: AsyncOpenAI, a bounded number of workers, the labels' log-probabilities.

The client's own aiohttp transport is used, which its documentation recommends for many requests at once.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from openai import AsyncOpenAI, DefaultAioHttpClient
from shared import MODEL, Job


async def main(job: Job) -> list[dict[str, Any]]:
    verdicts = []
    todo = iter(job.rows)
    async with AsyncOpenAI(
        base_url=job.url + "/v1", api_key="none", max_retries=5, http_client=DefaultAioHttpClient()
    ) as client:

        async def work() -> None:
            for row in todo:
                reply = await client.chat.completions.create(
                    model=MODEL, messages=row["messages"], max_tokens=1, temperature=0, logprobs=True, top_logprobs=5
                )
                top = {entry.token: entry.logprob for entry in reply.choices[0].logprobs.content[0].top_logprobs}
                first, second = math.exp(top["A"]), math.exp(top["B"])
                verdict = {"id": row["id"], "order": row["order"], "verdict": "A" if first > second else "B"}
                verdicts.append({**verdict, "p_first": first / (first + second)})

        await asyncio.gather(*(work() for _ in range(job.in_flight)))
    return verdicts


if __name__ == "__main__":
    job = Job()
    job.begin()
    job.end(asyncio.run(main(job)))
