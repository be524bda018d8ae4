"""`curator.label(...)`: what `curator label` does, without a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from curator import pipeline
from curator.combining import Combine, Missing, Panel
from curator.conformal import Guarantee, exact
from curator.options import GROUP_MIN, LabelOptions, QueueOrder, Reading, Rule, Ties, Votes, Wanted, judge_choices
from curator.pairing import parse_pairing
from curator.progress import Progress
from curator.recipes import load_rubric
from curator.signals import Signal
from curator.sources import default_out


def label(
    raw: str | Path,
    *,
    out: str | Path | None = None,
    db: str | Path | None = None,
    judge_url: str | Sequence[str] = (),
    judge_model: str | Sequence[str] = (),
    judgments: str | Path | Sequence[str | Path] = (),
    judge: str | Sequence[str] = (),
    template: str | Sequence[str] = (),
    rubric: str | Path | Mapping[str, Any] | None = None,
    probe: bool = True,
    combine: Combine | str = "log-odds",
    missing: Missing | str = "abstain",
    cascade: float | Literal["fit"] | None = None,
    fit_fraction: float = 0.0,
    calibration: str | Path | None = None,
    alpha: str | float | Fraction = "0.1",
    guarantee: Guarantee | str = "fdr",
    delta: str | float | Fraction = "0.1",
    ties: Ties | str = "error",
    min_label_mass: float = 0.25,
    score: Signal | str = "bpe",
    group_by: str | None = None,
    group_min: int = GROUP_MIN,
    votes: Votes | str = "majority",
    input_format: str | None = None,
    fields: Mapping[str, str] | None = None,
    label_values: Mapping[str, str] | None = None,
    criterion: str | None = None,
    pairs: str = "all",
    pairs_seed: str = "0",
    ignore_labels: bool = False,
    limit: int | None = None,
    audit: float = 0.0,
    order: QueueOrder | str = "uncertain",
    rationale: bool = False,
    exports: Sequence[str | Wanted] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Label raw pairs; see `curator label --help` for what each argument means.

    Args:
        rubric: a name, a path, or the mapping itself (schemas/rubric.schema.json).
        alpha, delta: used exactly as written: 0.07 is 7/100, not the binary number nearest to it.

    Returns:
        The object of `run.json` (schemas/run.schema.json).

    Raises:
        ValueError: an argument is out of range.
        CuratorError: see `curator.errors`.
    """
    folder = Path(out) if out is not None else default_out(str(raw))
    options = LabelOptions(
        raw=str(raw),
        out=folder,
        db=Path(db) if db is not None else folder / "curator.duckdb",
        rule=Rule(
            Guarantee(guarantee),
            exact(str(alpha)),
            exact(str(delta)),
            Ties(ties),
            min_label_mass,
            group_by,
            group_min,
            Signal(score),
            Votes(votes),
        ),
        judges=judge_choices(
            _several(judge_url),
            _several(judge_model),
            _several(judgments),
            _several(judge),
            _several(template),
            probe=probe,
            rubric=None if rubric is None else load_rubric(rubric if isinstance(rubric, Mapping) else str(rubric)),
        ),
        panel=Panel(
            Combine(combine), Missing(missing), None if cascade == "fit" else cascade, cascade == "fit", fit_fraction
        ),
        calibration=None if calibration is None else str(calibration),
        reading=Reading(
            input_format,
            _items(fields),
            _items(label_values),
            criterion,
            parse_pairing(pairs, pairs_seed),
            ignore_labels,
        ),
        limit=limit,
        audit=audit,
        order=QueueOrder(order),
        rationale=rationale,
        exports=tuple(one if isinstance(one, Wanted) else Wanted(one) for one in exports),
    )
    return pipeline.label(options, progress or Progress())


def _items(values: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((values or {}).items())


def _several(values: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(values),) if isinstance(values, (str, Path)) else tuple(str(value) for value in values)
