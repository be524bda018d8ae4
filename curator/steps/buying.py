"""Answers `curator plan --labels`: how many labels buy how much coverage, from the scores of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from curator.conformal import Guarantee
from curator.errors import InputError, StoreError
from curator.label_plan import DRAWS, Cell, Question, advice, assumed_curve, plan_from_pilot, plan_labels
from curator.options import Ties
from curator.signals import sureness
from curator.store import open_store
from curator.store.decisions import VERDICTS
from curator.store.looks import add_look, known_pairs

SEED = 0

_A, _B = VERDICTS.index("a"), VERDICTS.index("b")


def plan_labelling(db: Path, asked: Question, ties: Ties, accuracy: float | None) -> dict[str, Any]:
    """What labels buy for the pairs of a store, of which the judge's scores are there.

    Args:
        ties: what a person's tie on a labelled pair is.
        accuracy: share of pairs on which the judge is assumed to be right; None: the labels there are tell.

    Returns:
        The object `labels` of `schemas/plan.schema.json`.

    Raises:
        StoreError: the store cannot be opened, or nothing in it is judged.
        InputError: there is no label, and no accuracy is assumed.
    """
    # That somebody looked at the labels is recorded; where none is looked at, nothing is written.
    with open_store(db, create=False, read_only=accuracy is not None) as store:
        known = known_pairs(store)
        if np.isnan(known.log_odds).all():
            raise StoreError(f"{db}: no pair has a score yet; run `curator label` first")
        odds, sure = known.log_odds, sureness(known.log_odds)
        right = np.where(odds > 0, _A, np.where(odds < 0, _B, 0)) == known.verdict
        rows = known.calibrates & ~np.isneginf(sure)
        if ties is Ties.EXCLUDE:
            rows &= np.isin(known.verdict, [_A, _B])
        scores = sure[known.in_pool]
        if accuracy is not None:
            cells = plan_labels(scores, assumed_curve(scores, accuracy), asked, seed=SEED)
        elif not rows.any():
            raise InputError(f"{db}: no label tells how good the judge is: assume it, as in --accuracy 0.85")
        else:
            cells = plan_from_pilot(scores, sure[rows], ~right[rows], asked, seed=SEED)
            add_look(store, "plan")
    first = _first(cells, asked)
    pilot = None if accuracy is not None else {
        "n": int(np.count_nonzero(rows)), "errors": int(np.count_nonzero(rows & ~right)),
    }  # fmt: skip
    return {
        "pairs": int(scores.size), "scored": int(np.count_nonzero(~np.isneginf(scores))), "pilot": pilot,
        "accuracy": accuracy, "ties": ties.value, "delta": float(asked.delta), "draws": DRAWS, "seed": SEED,
        "cells": [_cell(cell) for cell in cells], "advice": advice(first),
    }  # fmt: skip


def _first(cells: list[Cell], asked: Question) -> list[Cell]:
    """The cells that the advice is about: of the first guarantee, at alpha .1 or else the one in the middle."""
    alphas = sorted(asked.alphas)
    alpha = next((one for one in alphas if float(one) == 0.1), alphas[len(alphas) // 2])
    return [cell for cell in cells if (cell.guarantee, cell.alpha) == (Guarantee(asked.guarantees[0]), alpha)]


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "guarantee": cell.guarantee.value, "alpha": float(cell.alpha), "labels": cell.labels,
        "coverage": cell.coverage, "coverage_error": cell.coverage_error, "low": cell.low, "high": cell.high,
        "chance": cell.chance, "chance_error": cell.chance_error,
    }  # fmt: skip
