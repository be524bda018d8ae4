"""Puts all responses to a prompt in order, from what is known of its pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from curator.errors import InputError, StoreError
from curator.exports.ranking import write_ranking
from curator.exports.registry import RANKING
from curator.options import Wanted
from curator.pair import content_id
from curator.ranking import Unranked, rank
from curator.store import Store
from curator.store.judgments import latest_judge
from curator.store.rankings import known_pairs

Row = dict[str, Any]

_WANTED = Wanted(RANKING)


def export_ranking(store: Store, folder: Path, wanted: Wanted = _WANTED) -> dict[str, Any]:
    """Write the order of all responses to every prompt: a whole folder or none.

    Returns:
        One of `exports` in `schemas/run.schema.json`, but for its folder: `rows` are prompts, human ones where people
        decided every pair; left out are prompts that have no one order, by reason.

    Raises:
        InputError: some pairs are wanted and others not.
        StoreError: nothing is judged yet.
    """
    if wanted != _WANTED:
        raise InputError("--to ranking orders all responses: the options that choose pairs or columns are not for it")
    judge = latest_judge(store)
    if judge is None:
        raise StoreError(f"{store.path}: nothing is judged yet; run `curator label` first")
    sources, left_out = Counter[str](), Counter[str]()
    count = write_ranking(folder, _rankings(store, sources, left_out), judge.judge_id)
    return {
        "to": RANKING,
        "rows": {"auto": count - sources["human"], "human": sources["human"]},
        "splits": {"train": count},
        "left_out": dict(left_out),
        "selection": None,
    }


def _rankings(store: Store, sources: Counter[str], left_out: Counter[str]) -> Iterator[Row]:
    pairs = (pair for batch in known_pairs(store) for pair in batch.to_pylist())
    for _, of_prompt in groupby(pairs, key=lambda pair: pair["prompt_id"]):
        made = _ranking(list(of_prompt))
        if isinstance(made, Unranked):
            left_out[made.value] += 1
            continue
        sources[made["label_source"]] += 1
        yield made


def _ranking(pairs: list[Row]) -> Row | Unranked:
    """The row of one prompt; responses of which nothing is known are among those to be connected."""
    models: dict[str, str | None] = {}
    for pair in pairs:
        for side in ("a", "b"):
            text = pair[f"response_{side}"]
            models[text] = models.get(text) or pair[f"model_{side}"]
    texts = list(models)
    place = {text: number for number, text in enumerate(texts)}
    known = [pair for pair in pairs if pair["a"] is not None]
    found = rank(
        [content_id(text) for text in texts],
        [place[pair["response_a"]] for pair in known],
        [place[pair["response_b"]] for pair in known],
        [pair["a"] for pair in known],
        [pair["b"] for pair in known],
    )
    if isinstance(found, Unranked):
        return found
    human = {pair["human"] for pair in known}
    return {
        "prompt": pairs[0]["prompt"],
        "responses": [texts[number] for number in found.order],
        "scores": list(found.strengths),
        "models": [models[texts[number]] for number in found.order],
        "pair_ids": sorted(pair["pair_id"] for pair in known),
        "n_pairs": len(known),
        "label_source": "mixed" if len(human) == 2 else "human" if human == {True} else "judge",
    }
