"""Stands in for `sgl_kernel`, so that SGLang runs on a CPU: PyPI has only the CUDA build, which needs libcuda.so.1.

SGLang imports many names from it at start and, with the torch_native attention backend, calls one of them.
Every other name exists and raises when called, so that no missing kernel goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def assign_req_to_token_pool_cpu(
    req_pool_indices: Any, req_to_token: Any, start: Any, end: Any, out_cache_loc: Any, pool_len: int
) -> None:
    """Write the new cache slots of each request, one request after another in `out_cache_loc`, into its row."""
    offset = 0
    for row, first, last in zip(req_pool_indices.tolist(), start.tolist(), end.tolist(), strict=True):
        if last > pool_len:
            raise ValueError(f"request {row} ends at {last}, beyond the pool's {pool_len}")
        req_to_token[row, first:last] = out_cache_loc[offset : offset + last - first].to(req_to_token.dtype)
        offset += last - first


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"sgl_kernel.{name}: this is curator's stand-in for CPU tests")

    return missing
