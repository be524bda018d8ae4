"""Draws of calibration rows and batch in every setting, and what each rule makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from curator.conformal import Guarantee, accept, calibrate
from tests.validity.populations import JUDGES, Bools, Floats, Population, Sampled, generator, populations

ALPHA, DELTA, DRAWS, BATCH = 0.1, 0.1, 4000, 500
SIZES = (100, 500)
MARGIN_OF_SHARE = 3 * math.sqrt(DELTA * (1 - DELTA) / DRAWS)
POPULATIONS = populations(ALPHA)


@dataclass(frozen=True)
class Run:
    """What one rule did in every draw; shape (draws,) each. Where nothing is accepted, the rates are 0."""

    fdp: Floats
    accepted: Floats
    coverage: Floats
    wrong: Floats

    @property
    def risk(self) -> Floats:
        """Error rate of the population above the threshold."""
        return np.divide(self.wrong, self.coverage, out=np.zeros_like(self.wrong), where=self.coverage > 0)


def false_share(chosen: Bools, wrong: Bools) -> float:
    return float((chosen & wrong).sum() / max(1, chosen.sum()))


def error_of_mean(values: Floats) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size))


class Known(Protocol):
    """Anything whose share, and share of wrong, above a threshold is known."""

    def above(self, thresholds: list[float | None]) -> tuple[Floats, Floats]: ...


@dataclass(frozen=True)
class Draw:
    """One draw: labelled rows, a batch, and the population that both come from.

    promised: the pairs of the batch that the promise is about, where it is not about all.
    """

    scores: Floats
    errors: Bools
    pool: Floats
    wrong: Bools
    population: Known
    promised: Bools | None = None


Setting = Callable[[np.random.Generator, int, int], Draw]


def alike(population: Population | Sampled) -> Setting:
    return lambda rng, n, m: Draw(*population.draw(rng, n), *population.draw(rng, m), population)


# ------------------------------------------------------------------------------------------------- people's ties

TIE_RATE = 0.3
"""Among pairs on which the judge is least sure; none where it is surest."""


def untied(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Pairs that a person calls no tie."""
    u = rng.random(3 * size)
    u = u[rng.random(u.size) >= TIE_RATE * u][:size]
    return 1 - u, u**2 / 2


UNTIED = Sampled(untied)
TIES_ARE_ERRORS = Population(lambda u: TIE_RATE * u + (1 - TIE_RATE * u) * u**2 / 2)


def ties_left_out(rng: np.random.Generator, n: int, m: int) -> Draw:
    """n rows labelled, their ties left out; nobody knows which pairs of the batch are ties."""
    u, tie, wrong = rng.random(n + m), rng.random(n + m), rng.random(n + m)
    tied, wrong = tie < TIE_RATE * u, wrong < u**2 / 2
    kept = np.flatnonzero(~tied[:n])
    return Draw((1 - u)[kept], wrong[kept], (1 - u)[n:], wrong[n:], UNTIED, promised=~tied[n:])


# -------------------------------------------------------------------------------------------------------- groups


@dataclass(frozen=True)
class Mixture:
    """Some of the groups, taken together."""

    parts: list[Population]
    shares: Floats

    def above(self, thresholds: list[float | None]) -> tuple[Floats, Floats]:
        found = np.array([part.above(thresholds) for part in self.parts])
        mixed = np.tensordot(self.shares / self.shares.sum(), found, axes=1)
        return mixed[0], mixed[1]


GROUPS = [(0.5, "calibrated"), (0.2, "overconfident"), (0.1, "recovering risk"), (0.05, "constant risk"),
          (0.05, "calibrated"), (0.05, "wrong where surest"), (0.05, "overconfident")]  # fmt: skip
HARD, OWN_RULE = 1, 50
"""The group looked at, and the fewest labelled rows with which a group has its own rule; both owe nothing to labels."""


def grouped(rng: np.random.Generator, n: int, m: int) -> tuple[Draw, np.ndarray, np.ndarray]:
    """All groups together, and the group of each labelled row and of each pair of the batch."""
    parts = [POPULATIONS[name] for _, name in GROUPS]
    shares = np.array([share for share, _ in GROUPS])
    group = rng.choice(len(GROUPS), n + m, p=shares)
    scores, wrong = np.zeros(n + m), np.zeros(n + m, dtype=bool)
    for i, part in enumerate(parts):
        scores[group == i], wrong[group == i] = part.draw(rng, int((group == i).sum()))
    return Draw(scores[:n], wrong[:n], scores[n:], wrong[n:], Mixture(parts, shares)), group[:n], group[n:]


def within(rng: np.random.Generator, n: int, m: int, chosen: Callable[[np.ndarray], np.ndarray]) -> Draw:
    """The rows and pairs of the groups that `chosen` picks, by how many labelled rows each has."""
    whole, group, batch = grouped(rng, n, m)
    picked = chosen(np.bincount(group, minlength=len(GROUPS)))
    rows, pairs = np.isin(group, picked), np.isin(batch, picked)
    mixture = Mixture([POPULATIONS[GROUPS[i][1]] for i in picked], np.array([GROUPS[i][0] for i in picked]))
    return Draw(whole.scores[rows], whole.errors[rows], whole.pool[pairs], whole.wrong[pairs], mixture)


# ----------------------------------------------------------------------------------------------------- prompts

PER_PROMPT, SAME = 5, 0.7


@dataclass(frozen=True)
class File:
    """The pairs of one file, as a population."""

    scores: Floats
    wrong: Bools

    def above(self, thresholds: list[float | None]) -> tuple[Floats, Floats]:
        chosen = [accept(self.scores, threshold) for threshold in thresholds]
        return np.array([c.mean() for c in chosen]), np.array([(c & self.wrong).mean() for c in chosen])


def clustered(rng: np.random.Generator, n: int, m: int) -> Draw:
    """A file in which the pairs of a prompt are nearly as sure as each other, and mostly right or wrong together.

    Single pairs are drawn from it for labelling. What is known of it beyond doubt is the file itself.
    """
    u = np.repeat(rng.random((n + m) // PER_PROMPT), PER_PROMPT)
    luck = np.repeat(rng.random((n + m) // PER_PROMPT), PER_PROMPT)
    wrong = np.where(rng.random(u.size) < SAME, luck, rng.random(u.size)) < u**2 / 2
    scores = 1 - u + rng.normal(0, 0.01, u.size)
    order = rng.permutation(u.size)
    drawn, rest = order[:n], order[n:]
    return Draw(scores[drawn], wrong[drawn], scores[rest], wrong[rest], File(scores, wrong))


# --------------------------------------------------------------------------------------------------------- runs

SETTINGS: dict[str, Setting] = {
    **{name: alike(population) for name, population in (POPULATIONS | JUDGES).items()},
    "ties as errors": alike(TIES_ARE_ERRORS),
    "ties left out": ties_left_out,
    "a hard group, its own rule": lambda rng, n, m: within(rng, n, m, lambda _: np.array([HARD])),
    "small groups, pooled": lambda rng, n, m: within(rng, n, m, lambda rows: np.flatnonzero(rows < OWN_RULE)),
    "prompts of five pairs": clustered,
}


ROWS = [(name, n) for name in list(POPULATIONS)[:5] for n in SIZES] + [(name, 500) for name in list(SETTINGS)[5:]]
"""Every setting, with how many labelled rows; the rows of README's table."""


@cache
def every_rule(name: str, n: int, m: int) -> dict[Guarantee, Run]:
    """What each rule did with the same draws."""
    rng, found = generator(name, n, m), np.zeros((len(Guarantee), 4, DRAWS))
    for i in range(DRAWS):
        draw = SETTINGS[name](rng, n, m)
        thresholds = [
            calibrate(draw.scores, draw.errors, draw.pool, guarantee=rule).threshold for rule in Guarantee
        ]  # fmt: skip
        found[:, 2, i], found[:, 3, i] = draw.population.above(thresholds)
        for j, threshold in enumerate(thresholds):
            chosen = accept(draw.pool, threshold)
            promised = chosen if draw.promised is None else chosen & draw.promised
            found[j, :2, i] = false_share(promised, draw.wrong), chosen.mean()
    return {rule: Run(*found[j]) for j, rule in enumerate(Guarantee)}


def simulate(name: str, n: int, m: int, rule: Guarantee) -> Run:
    return every_rule(name, n, m)[rule]
