"""`curator.label(...)`: what `curator label` does, without a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from curator import pipeline
from curator.conformal import Guarantee, exact
from curator.options import JudgeChoice, LabelOptions, Rule, Ties, default_out
from curator.progress import Progress


def label(
    raw: str | Path,
    *,
    out: str | Path | None = None,
    db: str | Path | None = None,
    judge_url: str | Sequence[str] = (),
    judge_model: str | None = None,
    judgments: str | Path | None = None,
    judge: str | None = None,
    template: str | None = None,
    probe: bool = True,
    calibration: str | Path | None = None,
    alpha: str | float | Fraction = "0.1",
    guarantee: Guarantee | str = "fdr",
    delta: str | float | Fraction = "0.1",
    ties: Ties | str = "error",
    min_label_mass: float = 0.25,
    input_format: str | None = None,
    limit: int | None = None,
    audit: float = 0.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Label raw pairs; see `curator label --help` for what each argument means.

    Args:
        alpha, delta: used exactly as written: 0.07 is 7/100, not the binary number nearest to it.

    Returns:
        The object of `run.json` (schemas/run.schema.json).

    Raises:
        ValueError: an argument is out of range.
        CuratorError: see `curator.errors`.
    """
    folder = Path(out) if out is not None else default_out(str(raw))
    urls = (judge_url,) if isinstance(judge_url, str) else tuple(judge_url)
    options = LabelOptions(
        raw=str(raw),
        out=folder,
        db=Path(db) if db is not None else folder / "curator.duckdb",
        rule=Rule(Guarantee(guarantee), exact(str(alpha)), exact(str(delta)), Ties(ties), min_label_mass),
        judge=JudgeChoice(
            urls=urls,
            model=judge_model,
            log=None if judgments is None else str(judgments),
            log_judge=judge,
            template=template,
            probe=probe,
        ),
        calibration=None if calibration is None else str(calibration),
        input_format=input_format,
        limit=limit,
        audit=audit,
    )
    return pipeline.label(options, progress or Progress())
