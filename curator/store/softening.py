"""Reads what soft targets are fitted on, and how many people stand behind the labels of the data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curator.store.connection import Store
from curator.store.decisions import FITS, fit_cut

SOFT = "1 / (1 + exp(-$slope::DOUBLE * least(abs(log_odds), $largest::DOUBLE)))"
"""`curator.softening.soften` in SQL, of the judge's own side; $slope and $largest are those of a `Softening`."""


def labelled_log_odds(store: Store, fit_fraction: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds of the judged calibration rows, and what people prefer; both of shape (n,), in input order.

    Rows that weights or a cascade were fitted on are left out, and so are those on which people could not say, and
    suspects that people decide about: no soft label is of these.

    Returns:
        log_odds, positive for a; and 1 for a, 0 for b, 1/2 for a tie.
    """
    table = store.arrow(
        f"""SELECT log_odds, CASE verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END::DOUBLE AS preferred
        FROM input JOIN calibration_label USING (pair_id) JOIN score USING (pair_id)
        WHERE verdict <> 'skip' AND NOT {FITS} AND pair_id NOT IN (SELECT pair_id FROM held) ORDER BY position""",
        {"seed": store.seed, "cut": fit_cut(fit_fraction)},
    )
    return table["log_odds"].to_numpy(), table["preferred"].to_numpy()


def votes_of_people(store: Store) -> list[tuple[int, int]]:
    """Of the pairs whose label in the data set is people's: (votes a pair, pairs). A skip is no vote."""
    rows = store.rows(
        """SELECT votes, count(*) FROM (
            SELECT pair_id, count(*) AS votes
            FROM latest_label SEMI JOIN (SELECT pair_id FROM label WHERE verdict IN ('a', 'b')) USING (pair_id)
                 SEMI JOIN (SELECT pair_id FROM input WHERE role = 'pool') USING (pair_id)
            WHERE verdict <> 'skip' GROUP BY pair_id
        ) GROUP BY votes ORDER BY votes"""
    )
    return [(int(votes), int(pairs)) for votes, pairs in rows]
