"""Coverage of the `pac` rule, before and now: what a second and later start buys, and that it is paid for.

    python -m tests.benchmarks.pac                       delta .1: four minutes of one core, shared by all there are
    python -m tests.benchmarks.pac --delta 0.05 --draws 500

Before: one fixed sequence of 50 score quantiles, from 1.5 ln(delta)/ln(1 - alpha)/n of the pool on, that ended at its
first failure. Now: `curator.conformal.calibrate`. Both see the same draws: n labelled rows and a pool of 1,000.

A cell is `coverage before > now (violations now)`: violations are the share of draws whose threshold has an error rate
in the population, known exactly, of more than alpha. They must be at most delta and three Monte Carlo standard errors
in every cell; the command fails if they are not. A standard error of coverage is .016 at most at 1,000 draws.
"""

from __future__ import annotations

import argparse
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial

import numpy as np

from curator.conformal import blocks, calibrate, fixed_sequence
from tests.validity.populations import Bools, Floats, Population, easy_populations, generator, populations

ALPHAS = ("0.01", "0.05", "0.1", "0.2")
SIZES = (50, 100, 500, 1000, 5000)
POOL = 1000
Setting = tuple[str, str, int]
Cell = tuple[float, float, float, float]


def before(scores: Floats, errors: Bools, pool: Floats, alpha: Fraction, delta: Fraction) -> float | None:
    start = min(1.0, 1.5 * math.log(delta) / math.log1p(-float(alpha)) / scores.size)
    ranks = np.ceil(np.linspace(start, 1.0, 50) * pool.size).astype(int).clip(max=pool.size)
    grid = np.sort(pool)[pool.size - ranks]
    grid = grid[~np.isneginf(grid)]
    deltas = [delta, *[Fraction(0)] * (grid.size - 1)] if grid.size else []
    return fixed_sequence(blocks(scores, errors), grid, deltas, alpha)


def judges(alpha: str) -> dict[str, Population]:
    return {**populations(float(alpha)), **easy_populations(float(alpha))}


def measure(setting: Setting, delta: str, draws: int) -> Cell:
    """Mean coverage and share of violations, before and now."""
    name, alpha, n = setting
    level = Fraction(alpha)
    population = judges(alpha)[name]
    rng, old, new = generator(name, alpha, n), [], []
    for _ in range(draws):
        (scores, errors), (pool, _wrong) = population.draw(rng, n), population.draw(rng, POOL)
        old.append(before(scores, errors, pool, level, Fraction(delta)))
        new.append(calibrate(scores, errors, pool, guarantee="pac", alpha=alpha, delta=delta).threshold)
    found = []
    for thresholds in (old, new):
        share, wrong = population.above(thresholds)
        # The integral over u is a sum: a risk of exactly alpha must not count as over it.
        found += [share.mean(), np.mean(wrong > (float(alpha) + 1e-9) * share)]
    return tuple(map(float, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delta", default="0.1")
    parser.add_argument("--draws", type=int, default=1000)
    chosen = parser.parse_args()
    names = list(judges("0.1"))
    settings = [(name, alpha, n) for alpha in ALPHAS for name in names for n in SIZES]
    with ProcessPoolExecutor() as pool:
        work = partial(measure, delta=chosen.delta, draws=chosen.draws)
        cells = dict(zip(settings, pool.map(work, settings, chunksize=4), strict=True))
    print(f"delta {chosen.delta}, {chosen.draws} draws, pool {POOL}; coverage before > now (violations now)\n")
    print("| alpha | judge | " + " | ".join(f"n {n}" for n in SIZES) + " |\n|---|---" + "|---" * len(SIZES) + "|")
    for alpha in ALPHAS:
        for name in names:
            row = (cells[name, alpha, n] for n in SIZES)
            print(f"| {alpha} | {name} | " + " | ".join(f"{c[0]:.3f} > {c[2]:.3f} ({c[3]:.3f})" for c in row) + " |")
        means = (np.mean([cells[name, alpha, n] for name in names], axis=0) for n in SIZES)
        print(f"| {alpha} | **mean** | " + " | ".join(f"**{c[0]:.3f} > {c[2]:.3f}**" for c in means) + " |")
    sys.exit(summary(cells, float(chosen.delta), chosen.draws))


def summary(cells: dict[Setting, Cell], delta: float, draws: int) -> int:
    """Say what all cells have in common; 1 where a violation is more frequent than chance allows."""
    table, error = np.array(list(cells.values())), math.sqrt(delta * (1 - delta) / draws)
    gain = table[:, 2] - table[:, 0]
    least, most = (list(cells)[int(i)] for i in (gain.argmin(), gain.argmax()))
    print(f"\n{len(cells)} cells: mean coverage {table[:, 0].mean():.3f} > {table[:, 2].mean():.3f}.")
    print(f"Least gain {gain.min():+.3f} at {least}, most {gain.max():+.3f} at {most};")
    print(
        f"{np.mean(gain > 0.02):.0%} of the cells gain more than .02, {np.mean(gain < -0.02):.0%} lose more than that."
    )
    for label, share in (("before", table[:, 1]), ("now", table[:, 3])):
        worst = list(cells)[int(share.argmax())]
        print(
            f"Violations {label}: at most {share.max():.3f} at {worst}, {(share.max() - delta) / error:+.1f} standard "
            f"errors of {error:.4f} from delta."
        )
    return int(table[:, 3].max() > delta + 3 * error)


if __name__ == "__main__":
    main()
