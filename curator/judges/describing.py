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
        model = await _model(session, url)
        server = await _page(session, url, "/server_info", "/get_server_info")
        models = await _page(session, url, "/v1/models")
    except (Transient, Refused) as error:
        raise JudgeUnreachable(f"no SGLang server answers at {shown(url)}: {error}") from None
    server = server if isinstance(server, dict) else {}
    try:
        # The longest input is a little less than the model's context; only /server_info says how much.
        context = max(0, int(server.get("max_req_input_len") or models["data"][0]["max_model_len"]))
    except (LookupError, TypeError, ValueError):
        context = 0
    settings = {
        **_identity(model),
        "dtype": server.get("dtype"),
        "quantization": server.get("quantization"),
    }
    source, version = model.get("tokenizer_path"), server.get("version")
    source = source if source and isinstance(source, str) else model["model_path"]
    return settings, context or 1 << 30, source, version if isinstance(version, str) else None


async def identity(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The settings of `describe` that can be had at once also of a server that is at work: model and weights.

    Raises:
        Transient, Refused, JudgeError: there is nobody who says.
    """
    return _identity(await _model(session, url))


def _identity(model: dict[str, Any]) -> dict[str, Any]:
    return {"model": model["model_path"], "weights": model.get("weight_version")}


async def _model(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    model = await _get(session, url, "/model_info", "/get_model_info")
    if not isinstance(model, dict) or not isinstance(model.get("model_path"), str):
        raise JudgeError(f"{shown(url)} answers, but not as an SGLang server does")
    return model


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
