"""What a run of `curator label` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path, PurePath

from curator.conformal import Guarantee, exact
from curator.errors import InputError


class Ties(StrEnum):
    """What a person's "equal" (or skip) on a calibration pair means for the judge's label there."""

    ERROR = "error"
    EXCLUDE = "exclude"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a threshold is set. Fixed before the result is seen."""

    guarantee: Guarantee = Guarantee.FDR
    alpha: Fraction = exact("0.1")
    delta: Fraction = exact("0.1")
    ties: Ties = Ties.ERROR
    min_label_mass: float = 0.25


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """Who judges: servers, else a model to serve, else a log of judgments, else the embedded judge.

    Attributes:
        probe: ask about built-in pairs first, and refuse a judge that fails on them.
        ray: address of the Ray cluster from whose nodes the servers are asked; None: from here.
        retry_seconds: how long a request to a server is tried again.
    """

    urls: tuple[str, ...] = ()
    model: str | None = None
    log: str | None = None
    log_judge: str | None = None
    template: str | None = None
    tokenizer: str | None = None
    on_overlong: str = "truncate"
    probe: bool = True
    ray: str | None = None
    batch: int | None = None
    in_flight: int | None = None
    retry_seconds: float = 120.0
    sglang_python: str | None = None
    sglang_arguments: str = ""


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Everything `curator label` can be told.

    Attributes:
        audit: share of the accepted pairs that people check, 0 to 1.
    """

    raw: str
    out: Path
    db: Path
    rule: Rule = field(default_factory=Rule)
    judge: JudgeChoice = field(default_factory=JudgeChoice)
    calibration: str | None = None
    input_format: str | None = None
    limit: int | None = None
    strict: bool = False
    audit: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.audit <= 1:
            raise ValueError(f"audit is a share of the accepted pairs between 0 and 1, not {self.audit}")


def default_out(raw: str) -> Path:
    """The output folder of a raw file: its name without suffixes, and `.curated`.

    Raises:
        InputError: the rows come from standard input, which has no name.
    """
    if raw == "-":
        raise InputError("rows from standard input have no file name to go by: give --out DIR")
    path = PurePath(raw)
    stem = path.name
    for suffix in (".gz", ".jsonl", ".json"):
        stem = stem.removesuffix(suffix)
    return Path(path.with_name(f"{stem or 'raw'}.curated"))
