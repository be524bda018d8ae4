"""Says how far people and judges agree, and whether groups of people differ: nothing is decided."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator import __version__
from curator.agreement import CONFIDENCE, Difference, against, among, count_votes, difference
from curator.errors import InputError
from curator.intervals import clopper_pearson
from curator.names import annotator_name
from curator.options import Votes
from curator.pair import content_id
from curator.resources import read_yaml
from curator.signals import Replies, Signal, of_judge
from curator.steps.scoring import told_apart
from curator.steps.voting import weights
from curator.store import Store
from curator.store.agreement import Words, judge_said, resolution, words
from curator.store.looks import judges_of_input

Groups = Mapping[str, Sequence[str]]
Ints = NDArray[np.int64]


def read_groups(path: Path) -> dict[str, list[str]]:
    """The annotators of each group, from a YAML file.

    Raises:
        RecipeError: it is no YAML, or not what `schemas/groups.schema.json` says.
        InputError: somebody is in two groups.
    """
    found = {name: [str(one) for one in members] for name, members in read_yaml(path, "groups").items()}
    try:
        "".join(one for members in found.values() for one in members).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: a name is no text ({error.reason})") from None
    found = {name: [annotator_name(one) for one in members] for name, members in found.items()}
    home: dict[str, str] = {}
    for name, members in found.items():
        for one in members:
            if home.setdefault(one, name) != name:
                raise InputError(f"{path}: {one!r} is in the groups {home[one]!r} and {name!r}: it must be one")
    return found


def agreement_result(store: Store, min_label_mass: float, groups: Groups | None = None) -> dict[str, Any]:
    """Everything that `curator agreement` says, but for data sets, as `schemas/agreement.schema.json` has it.

    Judges are compared with people's words one by one, as people are with each other, however votes are resolved: a
    judge that agrees with people as much as they do with each other is as good as one of them.
    """
    said = words(store)
    voted = said.verdict >= 0
    votes = count_votes(said.pair[voted], said.verdict[voted], said.pairs)
    policy = Votes(resolution(store))
    weighing = weights(said) if policy is Votes.WEIGHTED else {}
    return {
        "version": __version__,
        "confidence": CONFIDENCE,
        "votes": policy.value,
        "labels": {
            "pairs": said.pairs, "annotators": len(said.names), "labels": int(np.count_nonzero(voted)),
            "skips": int(np.count_nonzero(~voted)), "not_blind": said.left_out["not blind"],
            "asked_again": said.left_out["asked again"],
        },
        "people": asdict(among(votes)),
        "annotators": [
            {"annotator": name, **_annotator(said, code, votes), "weight": weighing.get(name)}
            for code, name in enumerate(said.names)
        ],
        "judges": _judges(store, votes, min_label_mass),
        "groups": None if groups is None else _groups(said, groups),
        "datasets": None,
    }  # fmt: skip


def _annotator(said: Words, code: int, votes: Ints) -> dict[str, Any]:
    """One annotator: how much, with whom, from which side, how fast."""
    own = said.annotator == code
    verdict, left = said.verdict[own], said.left[own]
    one = np.full(said.pairs, -1)
    one[said.pair[own]] = verdict
    spoke = np.flatnonzero(one >= 0)
    others = votes.copy()
    others[spoke, one[spoke]] -= 1
    sided, chosen = int(np.count_nonzero(left >= 0)), int(np.count_nonzero(left == 1))
    low, high = clopper_pearson(chosen, sided, CONFIDENCE) if sided else (None, None)
    seconds = said.seconds[own & ~np.isnan(said.seconds)]
    return {
        "labels": int(spoke.size), "ties": int(np.count_nonzero(verdict == 2)),
        "skips": int(np.count_nonzero(verdict < 0)), **asdict(against(one, others)),
        "sided": sided, "left": chosen / sided if sided else None, "left_low": low, "left_high": high,
        "seconds": float(np.median(seconds)) if seconds.size else None,
    }  # fmt: skip


def _judges(store: Store, votes: Ints, min_label_mass: float) -> list[dict[str, Any]]:
    """Every judge with replies about labelled pairs; no preference, as of one that goes by the place, is a tie."""
    judges = judges_of_input(store)
    found = []
    for judge, name in zip(judges, told_apart(judges), strict=True):
        said = judge_said(store, judge.judge_id, min_label_mass)
        odds = of_judge(Signal.BPE, Replies(said.d_ab, said.d_ba, said.tie_ab, said.tie_ba))
        one = np.full(len(votes), -1)
        one[said.pair] = np.select([odds > 0, odds < 0], [0, 1], 2)
        compared = asdict(against(one, votes))
        ties = int(np.count_nonzero(one == 2))
        found.append(
            {"judge_id": judge.judge_id, "name": name, "labels": int(said.pair.size), "ties": ties, **compared}
        )
    return found


def _groups(said: Words, groups: Groups) -> dict[str, Any]:
    """Agreement within each group and between each two."""
    code = {name: place for place, name in enumerate(said.names)}
    members = {name: [one for one in everyone if one in code] for name, everyone in groups.items()}
    grouped = {one for everyone in members.values() for one in everyone}
    votes = {}
    for name, everyone in members.items():
        here = np.isin(said.annotator, [code[one] for one in everyone]) & (said.verdict >= 0)
        votes[name] = count_votes(said.pair[here], said.verdict[here], said.pairs)
    couples = list(combinations(groups, 2))
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(couples))
    return {
        "groups": [
            {"group": name, "annotators": len(members[name]), "absent": sorted(set(groups[name]) - code.keys()),
             "labels": int(votes[name].sum()), **asdict(among(votes[name]))}
            for name in groups
        ],
        "without": sorted(code.keys() - grouped),
        "between": [_between(one, other, difference(votes[one], votes[other], confidence)) for one, other in couples],
    }  # fmt: skip


def _between(one: str, other: str, found: Difference) -> dict[str, Any]:
    figures = {**asdict(found), "pairs": list(found.pairs), "excess": list(found.excess)}
    return {
        "groups": [one, other], **figures, "between": asdict(found.between), "differ": found.differ,
        "beyond_care": found.beyond_care, "sentence": difference_sentence(one, other, found),
    }  # fmt: skip


def difference_sentence(one: str, other: str, found: Difference) -> str:
    """What a difference between two groups of annotators means, in plain words."""
    who = f"people of {one!r} and {other!r}"
    if found.difference is None:
        return (
            f"Whether {who} differ cannot be told: too few pairs have labels of two people of each group, "
            "and of somebody of the other."
        )
    by = f"agreement within a group is {abs(found.difference):.3f} {'lower' if found.difference < 0 else 'higher'}"
    if found.low is not None:
        by += f" than between them ({100 * found.confidence:.4g}% interval {found.low:.3f} to {found.high:.3f})"
    if not found.differ:
        said = f"There is no sign that {who} differ: {by}."
    elif found.beyond_care:
        said = f"{who[0].upper()}{who[1:]} really differ: {by}."
    else:
        said = (
            f"{who[0].upper()}{who[1:]} really differ: {by}. It may be that one group labels with less care, "
            "rather than that the two want different things."
        )
    if not found.same_pairs:
        said += " This takes for granted that it was chance who was asked about which pair."
    return f"{said} It is about these annotators, on more such pairs." if found.differ else said


def folder_names(groups: Sequence[str]) -> dict[str, str]:
    """A folder name for each group that is safe on every disk: letters, digits, dot, dash and underscore.

    Where anything had to be changed, or two would be one where case does not count, a hash of the name follows.

    >>> folder_names(["teachers", "../etc"])
    {'teachers': 'teachers', '../etc': '_etc-1099c18e'}
    """
    found: dict[str, str] = {}
    for name in groups:
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[:60]
        digest, taken = content_id(name), {other.casefold() for other in found.values()}
        tried = ([safe] if safe == name else []) + [f"{safe or 'group'}-{digest[:size]}" for size in (8, 32)]
        found[name] = next(one for one in tried if one.casefold() not in taken)
    return found
