"""Examples as the store yields them, made up."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def example(number: int, **changes: Any) -> dict[str, Any]:
    """A row as the store yields it."""
    return {
        "prompt": [{"role": "user", "content": f"question {number}", "more": None}],
        "response_a": f"first answer to {number}", "response_b": f"second answer to {number}", "verdict": "a",
        "a_chosen": True, "pair_id": f"{number:032x}", "prompt_id": f"{number:032x}", "p_chosen": 0.9, "p_target": 0.8,
        "strength": 2.0, "bpe": 0.3, "label_source": "auto", "metadata": "{}", "tools": None, "rationale": None,
        "file": "raw.jsonl", "line": number + 1, "split": "train", **changes,
    }  # fmt: skip


def batches(rows: list[dict[str, Any]], size: int = 100) -> list[pa.RecordBatch]:
    turn = pa.struct([(name, pa.string()) for name in ("role", "content", "more")])
    kinds = {"prompt": pa.list_(turn), "a_chosen": pa.bool_(), "line": pa.int64()}
    kinds |= dict.fromkeys(("p_chosen", "p_target", "strength", "bpe"), pa.float64())
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in example(0)])
    return pa.Table.from_pylist(rows, schema=schema).to_batches(max_chunksize=size)
