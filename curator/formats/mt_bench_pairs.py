"""Judgments of models on MT-bench, in both orders: recognised to be refused, for they have no texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from curator.errors import InputError
from curator.formats.base import At, Format


def _convert(row: Mapping[str, Any], at: At) -> NoReturn:
    raise InputError(
        f"{at.file}: rows with g1_winner and g2_winner are what a model judged, and hold no texts. Give the answers as "
        'RAW and these as --judgments: of each row two, {"id", "judge", "order": "ab", "verdict"} by g1_winner and '
        '"ba" by g2_winner; model_1 is a, model_2 is b, error is "failed": true'
    )


FORMAT = Format(
    "mt_bench_pairs", "mt_bench_pairs", frozenset({"g1_winner", "g2_winner", "model_1", "model_2"}), _convert,
    labelled_by="a model",
)  # fmt: skip
