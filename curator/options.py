"""What a run of `curator label` is asked to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

from curator.combining import Panel
from curator.conformal import Guarantee, exact
from curator.pairing import Pairing
from curator.rubric import Rubric
from curator.signals import Signal


class Ties(StrEnum):
    """What a person's "equal" (or skip) on a calibration pair means for the judge's label there."""

    ERROR = "error"
    EXCLUDE = "exclude"


class Votes(StrEnum):
    """How what several people say about one pair becomes one verdict; a skip is no vote, "both bad" is a tie.

    MAJORITY: what most say; equal counts are a tie.
    STRICT: a side only where everybody says so; else a tie. Where ties are errors, every disagreement is one.
    WEIGHTED: as the majority, each annotator weighing by how far he or she agrees with the others
        (`curator.agreement.agreeing`).

    A promise is about verdicts that are resolved as those of the calibration rows are. The first two depend on the pair
    alone, and nothing changes. The weights come from all labels, those of the calibration rows among them: for weights
    fixed beforehand the promise would be exact, so it is not quite; tests/validity/test_votes.py shows no difference.
    They are made of what people say about what people say, never of what judges say.
    """

    MAJORITY = "majority"
    STRICT = "strict"
    WEIGHTED = "weighted"


class Suspects(StrEnum):
    """Who decides about pairs of which a response talks to the judge (`curator.suspicion`).

    QUEUE: people: such a pair counts as one on which the judge has no preference. It depends on the pair's texts
        alone, and holds for calibration rows and all others alike: the promise stays what it is.
    JUDGE: the judge, as about all others.
    """

    QUEUE = "queue"
    JUDGE = "judge"


class QueueOrder(StrEnum):
    """In which order people see the tasks behind the calibration draw."""

    UNCERTAIN = "uncertain"
    DISAGREEMENT = "disagreement"
    RANDOM = "random"
    DIVERSE = "diverse"


GROUP_MIN = 50
"""Labelled pairs that a group must have for a threshold of its own; smaller groups are decided together."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a threshold is set. Fixed before the result is seen.

    Attributes:
        score: the signal that ranks the pairs.
        group_by: a field of the raw rows; the rule then holds within each group of pairs with one value of it.
        group_min: groups with fewer labelled pairs are decided together, as one group.
        votes: how several labels of one pair become one.
        suspects: who decides about pairs of which a response talks to the judge.
    """

    guarantee: Guarantee = Guarantee.FDR
    alpha: Fraction = exact("0.1")
    delta: Fraction = exact("0.1")
    ties: Ties = Ties.ERROR
    min_label_mass: float = 0.25
    group_by: str | None = None
    group_min: int = GROUP_MIN
    score: Signal = Signal.BPE
    votes: Votes = Votes.MAJORITY
    suspects: Suspects = Suspects.QUEUE


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """Who judges: servers, else a model to serve, else a log of judgments, else the embedded judge.

    Attributes:
        urls: servers of one model share the work of one judge; servers of different models are different judges.
        probe: ask about built-in pairs first, and refuse a judge that fails on them.
        ray: address of the Ray cluster from whose nodes the servers are asked; None: from here.
        retry_seconds: how long a request to a server is tried again.
        rubric: what the judge goes by, in place of what its template says; not for a log.
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
    rubric: Rubric | None = None


def by_criterion(choices: Iterable[JudgeChoice]) -> tuple[JudgeChoice, ...]:
    """The same choices, those whose rubric is judged apart as one for each criterion."""
    return tuple(
        replace(choice, rubric=rubric)
        for choice in choices
        for rubric in (choice.rubric.judges() if choice.rubric else (None,))
    )


def judge_choices(
    urls: Sequence[str] = (),
    models: Sequence[str] = (),
    logs: Sequence[str] = (),
    names: Sequence[str] = (),
    templates: Sequence[str | None] = (),
    **common: Any,
) -> tuple[JudgeChoice, ...]:
    """Everyone who judges: each model with each template is a judge, and so is each judge of a log.

    Args:
        names: whose judgments of the logs: of the one log all of these, or one for each log.
        common: what holds for all of them; see `JudgeChoice`.

    Returns:
        One choice a judge, but for servers of different models, which are told apart when they are asked; the embedded
        judge where nothing is named.

    Raises:
        ValueError: it is not clear whose judgments of which log are meant.
    """
    templates = templates or (None,)
    served: list[dict[str, Any]] = [{"urls": tuple(urls)}] if urls else []
    served += [{"model": model, "ray": None} for model in models]
    if names and not logs:
        raise ValueError("--judge says whose judgments are meant: name their log too, with --judgments")
    read: list[tuple[str, str | None]]
    if len(logs) == 1 and names:
        read = [(logs[0], name) for name in names]
    elif names and len(names) != len(logs):
        raise ValueError(f"{len(logs)} logs of judgments and {len(names)} judges of them: name one for each log")
    else:
        read = [(log, names[place] if names else None) for place, log in enumerate(logs)]
    if not served and not read:
        served = [{}]
    asked = [{**common, **source, "template": template} for source in served for template in templates]
    asked += [{**common, "log": log, "log_judge": name, "ray": None, "rubric": None} for log, name in read]
    return by_criterion(JudgeChoice(**one) for one in asked)


@dataclass(frozen=True, slots=True)
class Reading:
    """How raw rows are understood.

    Attributes:
        input_format: name of the format; None: recognised by the fields of the first row.
        fields: (name, field of the row) of `--map`; with any, the format is the one that they describe.
        values: (value of the row's label, verdict) of `--label-value`.
        criterion: which of several verdicts of a row is meant, for formats that have several.
        pairing: which responses are compared where a prompt has more than two.
        ignore_labels: take no verdict from the rows.
    """

    input_format: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    criterion: str | None = None
    pairing: Pairing = Pairing()
    ignore_labels: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are exported, and for whom.

    Attributes:
        to: name of the export (curator.exports.registry).
        minimal: the columns that the trainer reads, and no other.
        test: share of the prompts whose rows make a split of their own, "test".
        only: "auto" or "human"; None: both.
        min_strength: rows of which the stated or calibrated preference is weaker are left out.
        where: a condition in SQL over the columns of the view `example`.
        margin: what the column `margin` for reward models holds: "target", the log-odds of p_target, or "strength".
    """

    to: str = "trl"
    minimal: bool = False
    test: float = 0.0
    only: str | None = None
    min_strength: float = 0.0
    where: str | None = None
    margin: str = "target"

    def __post_init__(self) -> None:
        if not 0 <= self.test < 1:
            raise ValueError(f"the test split is a share of the prompts, at least 0 and below 1, not {self.test}")
        if not 0 <= self.min_strength < math.inf:
            raise ValueError(f"the least strength is a number from 0 up, not {self.min_strength}")
        if self.only not in {None, "auto", "human"} or self.margin not in {"target", "strength"}:
            raise ValueError(f"no such choice: {self.only or ''} {self.margin}")


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Everything `curator label` can be told.

    Attributes:
        audit: share of the accepted pairs that people check, 0 to 1.
        rationale: have a judge write why, about each accepted pair.
        exports: what is written beside `dataset`, each to a folder of `exports/`.
        order: of the tasks of queue.jsonl behind the calibration draw.
        annotators, overlap: how many people answer a share of the pairs, and which share; None: as the store has it.
        where: a condition in SQL over the view `example`: other pairs are neither judged nor drawn.
    """

    raw: str
    out: Path
    db: Path
    rule: Rule = field(default_factory=Rule)
    judges: tuple[JudgeChoice, ...] = (JudgeChoice(),)
    panel: Panel = Panel()
    calibration: str | None = None
    reading: Reading = Reading()
    limit: int | None = None
    strict: bool = False
    audit: float = 0.0
    exports: tuple[Wanted, ...] = ()
    order: QueueOrder = QueueOrder.UNCERTAIN
    annotators: int | None = None
    overlap: float | None = None
    rationale: bool = False
    where: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.audit <= 1:
            raise ValueError(f"audit is a share of the accepted pairs between 0 and 1, not {self.audit}")
