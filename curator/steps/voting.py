"""Makes the store resolve several labels of one pair as a rule wants it."""

from __future__ import annotations

from curator.agreement import agreeing
from curator.options import Votes
from curator.store import Store
from curator.store.agreement import Words, resolve, words


def resolve_votes(store: Store, votes: Votes) -> None:
    """From here on every verdict of the store is resolved this way; weights are those of today's labels."""
    resolve(store, votes.value, weights(words(store)) if votes is Votes.WEIGHTED else None)


def weights(said: Words) -> dict[str | None, float]:
    """What each annotator's word weighs; None: that of everybody else."""
    votes = said.verdict >= 0
    found, mean = agreeing(said.pair[votes], said.annotator[votes], said.verdict[votes], len(said.names))
    return {None: mean, **dict(zip(said.names, found.tolist(), strict=True))}
