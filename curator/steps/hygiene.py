"""Finds the traits of pairs: languages, near duplicates, and prompts that stand in an evaluation set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from curator.duplicates import Clusters, Runs, banding, bands_of, jaccard, long_runs, near, runs_of
from curator.errors import InputError
from curator.files import Reject, Row, shown_name
from curator.languages import language_of
from curator.progress import Progress
from curator.sources import source_rows
from curator.store import Store
from curator.store import hygiene as kept

FIELDS = ("prompt", "question", "instruction", "text")
"""Where the text of an evaluation's row stands, where nobody says."""

MOST = 50
"""Texts of a bucket that a text is compared with, of those it is not joined with: more are alike in form alone."""

_MEMBERS = 2_000
"""Texts whose runs are in memory at a time."""

Result = dict[str, Any]


def find_traits(
    store: Store,
    progress: Progress,
    *,
    against: Sequence[str] = (),
    field: str | None = None,
    similarity: float | None = None,
) -> Result:
    """Find the traits of those pairs of the input that have none, and compare all prompts with new evaluation sets.

    All or nothing. What is found depends on the pairs alone, and not on their order nor on how often this was run.

    Args:
        against: evaluation sets, which are kept: pairs that come later are compared with them too.
        field: of their rows, where the text stands.
        similarity: from which on texts are near duplicates; None: as before, 0.8 at first.

    Returns:
        What was found; see `schemas/hygiene.schema.json`.

    Raises:
        InputError: an evaluation set cannot be read, or has no text.
    """
    start = time.monotonic()
    with store.transaction():
        chosen = kept.use_similarity(store, similarity)
        sets = [_read_evaluation(store, path, field, progress) for path in dict.fromkeys(against)]
        prompts = _prompts(store, chosen, frozenset(against), progress)
        pairs = _pairs(store, progress)
        if prompts:
            numbered = Clusters(kept.begin_clusters(store))
            _join(store, numbered, _prompt_parts, chosen, "near prompts", progress)
            kept.keep_clusters(store, numbered.roots)
        if pairs:
            _near_pairs(store, chosen, progress)
        if prompts or pairs or sets:
            kept.traits_changed(store)
        found = kept.hygiene_counts(store, chosen)
    return {**found, "new": pairs, "similarity": chosen, "read": sets, "seconds": round(time.monotonic() - start, 3)}


def _read_evaluation(store: Store, path: str, field: str | None, progress: Progress) -> Result:
    """Keep the runs of an evaluation set in place of what was known by its name; says how many rows have a text."""
    name = shown_name(path)
    kept.forget_evaluation(store, name)
    rows, bad, first = 0, 0, ""
    runs: list[tuple[object, ...]] = []
    for row in source_rows(path):
        text = row if isinstance(row, Reject) else _text(row, field)
        if isinstance(text, Reject) or not (found := long_runs(text)):
            bad += 1
            first = first or str(text if isinstance(text, Reject) else row.reject("row", "has no words"))  # type: ignore[union-attr]
            continue
        rows += 1
        runs += [(name, run, row.line) for run in found]
        if len(runs) >= 100_000:
            kept.add_rows(store, "evaluation", kept.RUNS, runs)
            runs = []
    kept.add_rows(store, "evaluation", kept.RUNS, runs)
    if not rows:
        raise InputError(
            f"{name}: no text to compare with in it; --against-field says where it stands. {first}".rstrip()
        )
    if bad:
        progress.say(f"{name}: {bad:,} rows have no text to compare with; the first: {first}")
    return {"name": name, "rows": rows, "rejected": bad}


def _text(row: Row, field: str | None) -> str | Reject:
    """What a row of an evaluation asks: text, or the user's messages."""
    names = FIELDS if field is None else (field,)
    for name in names:
        value = row.values.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
            return _said(value)
    return row.reject(names[0] if field else "row", f"has no text in {' or '.join(names)}")


def _said(messages: Iterable[Mapping[str, Any]]) -> str:
    """What people say in a conversation."""
    return "\n\n".join(str(turn.get("content", "")) for turn in messages if turn.get("role") == "user")


def _prompts(store: Store, similarity: float, new_sets: frozenset[str], progress: Progress) -> int:
    """Read the new prompts, and the others too where there are new sets; how many have traits now that had none."""
    count = kept.begin_prompts(store, known_too=bool(new_sets))
    runs, names, of_set, lines = kept.evaluation_runs(store)
    new = np.isin(np.array(names, dtype=str), [shown_name(path) for path in new_sets])
    fresh = 0
    with progress.bar("prompts", " prompts", count) as advance:
        for page in kept.pages(store, "read_prompt", "prompt", count):
            traits, leaks = list[tuple[object, ...]](), list[tuple[object, ...]]()
            for row in page:
                messages, prompt_id = orjson.loads(row["prompt"]), row["prompt_id"]
                if not row["known"]:
                    whole, _ = _prompt_parts(row["prompt"])
                    language = language_of(_said(messages))
                    traits.append((prompt_id, language, prompt_id, bands_of(whole, similarity)))
                for place, line in _found(_turns(messages), runs, of_set, lines).items():
                    if not row["known"] or new[place]:
                        leaks.append((prompt_id, names[place], line))
            fresh += len(traits)
            kept.add_rows(store, "prompt_trait", kept.PROMPT_TRAITS, traits)
            kept.add_rows(store, "leak", kept.LEAKS, leaks)
            advance(len(page), "")
    return fresh


def _turns(messages: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (str(turn["content"]) for turn in messages if turn["role"] == "user")


def _found(
    texts: Iterable[str], runs: NDArray[np.uint64], of_set: NDArray[np.int64], lines: NDArray[np.int64]
) -> dict[int, int]:
    """In which evaluation sets a run of a text stands, and in the first of which lines."""
    if not runs.size:
        return {}
    own = np.unique(np.array([run for text in texts for run in long_runs(text)], np.uint64))
    low, high = np.searchsorted(runs, own), np.searchsorted(runs, own, "right")
    found: dict[int, int] = {}
    for start, end in zip(low.tolist(), high.tolist(), strict=True):
        for place in range(start, end):
            which, line = int(of_set[place]), int(lines[place])
            found[which] = min(line, found.get(which, line))
    return found


def _pairs(store: Store, progress: Progress) -> int:
    """Read the pairs that have no traits; how many."""
    count = kept.begin_pairs(store)
    with progress.bar("responses", " pairs", count) as advance:
        for page in kept.pages(store, "read_pair_trait", "response_a, response_b", count):
            traits = []
            for row in page:
                a, b = row["response_a"], row["response_b"]
                alike = jaccard(runs_of(a), runs_of(b))
                traits.append((row["pair_id"], language_of(a), language_of(b), alike, row["pair_id"]))
            kept.add_rows(store, "pair_trait", kept.PAIR_TRAITS, traits)
            advance(len(page), "")
    return count


def _near_pairs(store: Store, similarity: float, progress: Progress) -> None:
    """Group pairs of near prompts whose responses are near as well."""
    count = kept.begin_responses(store)
    with progress.bar("comparing", " responses", count) as advance:
        for page in kept.pages(store, "read_response", "if(side = 'a', response_a, response_b) AS text", count):
            made = [(row["scope"], row["id"], bands_of(runs_of(row["text"]), similarity)) for row in page]
            kept.add_rows(store, "response_bands", kept.BANDS, made)
            advance(len(page), "")
    numbered = Clusters(np.arange(kept.number_responses(store)))
    _join(store, numbered, lambda text: (runs_of(text),), similarity, "near responses", progress)
    kept.keep_groups(store, numbered.roots)


def _prompt_parts(prompt: str) -> tuple[Runs, ...]:
    """A prompt without its system messages, and its last turn: a long common beginning makes no prompts near."""
    messages = [turn for turn in orjson.loads(prompt) if turn["role"] != "system"]
    texts = [str(turn["content"]) for turn in messages] or [""]
    return runs_of("\n\n".join(texts)), runs_of(texts[-1])


def _join(
    store: Store,
    clusters: Clusters,
    parts: Callable[[str], Sequence[Runs]],
    similarity: float,
    name: str,
    progress: Progress,
) -> None:
    """Join the nodes that share a band and are near indeed."""
    bands, _ = banding(similarity)
    with progress.bar(name, " bands", bands) as advance:
        for band in range(bands):
            for some in _portions(kept.buckets(store, band), clusters):
                members = sorted({number for bucket in some for number in bucket})
                texts = {number: parts(text) for number, text in kept.texts_of(store, members)}
                for bucket in some:
                    _join_bucket(clusters, bucket, texts, similarity)
            advance(1, "")


def _portions(buckets: Iterable[list[int]], clusters: Clusters) -> Iterator[list[list[int]]]:
    """Buckets that are not one cluster yet, so many texts at a time."""
    some: list[list[int]] = []
    for bucket in buckets:
        if not clusters.several(bucket):
            continue
        for start in range(0, len(bucket), _MEMBERS):  # of a huge bucket, each part by itself
            some.append(bucket[start : start + _MEMBERS])
            if sum(map(len, some)) >= _MEMBERS:
                yield some
                some = []
    if some:
        yield some


def _join_bucket(
    clusters: Clusters, bucket: Sequence[int], texts: Mapping[int, Sequence[Runs]], similarity: float
) -> None:
    for place, one in enumerate(bucket):
        compared = 0
        for other in bucket[:place]:
            if clusters[one] == clusters[other]:
                continue
            if near(texts[one], texts[other], similarity):
                clusters.join(one, other)
            elif (compared := compared + 1) == MOST:
                break
