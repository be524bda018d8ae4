"""Which draw of calibration pairs keeps `fdr` when the pairs of one prompt resemble each other.

The batch is fixed: prompts of ten pairs, all alike within a prompt, each prompt's pairs wrong with probability .2, all
equally sure. Only the draw is random. Drawing single pairs makes drawn and other pairs exchangeable whatever the batch
is; drawing whole prompts does not, since ten labels then say one thing.
"""

from __future__ import annotations

import numpy as np
import pytest

from curator.conformal import calibrate

pytestmark = pytest.mark.validity

PROMPTS, PAIRS, WRONG, N, ALPHA, DRAWS = 100, 10, 0.2, 40, "0.05", 4000


def error(whole_prompts: bool) -> tuple[float, float]:
    """Mean share of wrong among accepted over draws, and its standard error."""
    random = np.random.default_rng(20261124)
    prompt = np.repeat(np.arange(PROMPTS), PAIRS)
    wrong = prompt < WRONG * PROMPTS
    shares = []
    for _ in range(DRAWS):
        if whole_prompts:
            drawn = np.isin(prompt, random.choice(PROMPTS, N // PAIRS, replace=False))
        else:
            drawn = np.isin(np.arange(prompt.size), random.choice(prompt.size, N, replace=False))
        ones = np.ones(prompt.size)
        found = calibrate(ones[drawn], wrong[drawn], ones[~drawn], alpha=ALPHA)
        shares.append(wrong[~drawn].mean() if found.accepted else 0.0)
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / DRAWS**0.5)


def test_single_pairs_keep_the_promise() -> None:
    mean, spread = error(whole_prompts=False)
    print(f"\nsingle pairs: wrong/accepted {mean:.4f} (alpha {ALPHA})")
    assert mean <= float(ALPHA) + 3 * spread


def test_whole_prompts_do_not() -> None:
    mean, spread = error(whole_prompts=True)
    print(f"\nwhole prompts: wrong/accepted {mean:.4f} (alpha {ALPHA})")
    assert mean > float(ALPHA) + 3 * spread
