"""Asks SGLang servers what they serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp

from curator.errors import JudgeError, JudgeUnreachable
from curator.judges.http import Refused, Transient, address, open_session, request, shown


async def describe(session: aiohttp.ClientSession, url: str) -> tuple[dict[str, Any], int, str | None, str | None]:
    """What a server serves: the settings that make it this judge, context length, tokenizer, version.

    Raises:
        JudgeUnreachable: it does not answer.
        JudgeError: it answers, and is no SGLang server.
    """
    try:
        model = await _get(session, url, "/model_info", "/get_model_info")
        server = await _page(session, url, "/server_info", "/get_server_info")
        models = await _page(session, url, "/v1/models")
    except (Transient, Refused) as error:
        raise JudgeUnreachable(f"no SGLang server answers at {shown(url)}: {error}") from None
    if not isinstance(model, dict) or not isinstance(model.get("model_path"), str):
        raise JudgeError(f"{shown(url)} answers, but not as an SGLang server does")
    server = server if isinstance(server, dict) else {}
    try:
        # The longest input is a little less than the model's context; only /server_info says how much.
        context = int(server.get("max_req_input_len") or models["data"][0]["max_model_len"])
    except (LookupError, TypeError, ValueError):
        context = 0
    settings = {
        "model": model["model_path"],
        "weights": model.get("weight_version"),
        "dtype": server.get("dtype"),
        "quantization": server.get("quantization"),
    }
    return settings, context or 1 << 30, model.get("tokenizer_path") or model["model_path"], server.get("version")


async def alike(urls: Sequence[str]) -> list[list[int]]:
    """Places in `urls` of the servers that serve one model, for each model in the order in which it is named first."""
    addresses = [address(url) for url in urls]
    session = open_session()
    try:
        described = [(await describe(session, url))[0] for url in addresses]
    finally:
        await session.close()
    distinct: list[dict[str, Any]] = []
    for settings in described:
        if settings not in distinct:
            distinct.append(settings)
    return [[place for place, other in enumerate(described) if other == settings] for settings in distinct]


async def _page(session: aiohttp.ClientSession, url: str, *paths: str) -> Any:
    """A page that not every server has (a router has few): None where it is refused, so that it counts as unknown.

    A server that only cannot answer just now is another matter: Transient, as everywhere.
    """
    try:
        return await _get(session, url, *paths)
    except Refused:
        return None


async def _get(session: aiohttp.ClientSession, url: str, *paths: str) -> Any:
    for path in paths[:-1]:
        try:
            return await request(session, "GET", url + path)
        except Refused:
            continue
    return await request(session, "GET", url + paths[-1])
