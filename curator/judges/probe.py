"""Asks a judge about pairs with an obvious answer, before it is trusted with others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from curator.judges.base import Judge
from curator.pair import Judgment, Message, Order
from curator.preference import preference
from curator.prompts import Question

_PAIRS = (
    ("What is the capital of Italy?", "The capital of Italy is Rome.", "the of is is capital Rome the Italy qx zz"),
    ("How many days does a week have?", "A week has seven days.", "Bananas are rich in potassium and easy to peel."),
    ("Translate 'good morning' into French.", "'Good morning' is 'bonjour' in French.", "I cannot help with that."),
    ("Name a mammal that lives in the sea.", "A dolphin is a mammal that lives in the sea.", "A dolphin is a mam"),
    ("What colour do blue and yellow make?", "Blue and yellow make green.", "!!! ## ;; gr een een 8842 yel yel yel"),
    ("Give a synonym for 'happy'.", "A synonym for 'happy' is 'glad'.", "The train to the coast leaves at noon."),
    ("What is 7 plus 5?", "7 plus 5 is 12.", "As a language model I do not answer questions."),
    ("Which planet do we live on?", "We live on the planet Earth.", "We live on the"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Probe:
    """What a judge did on built-in pairs, each asked in both orders.

    Attributes:
        pairs, right: pairs asked about, and those whose averaged preference is the obvious one.
        ties: pairs that it calls equal, which none of them is.
        failed: questions without an answer.
        label_mass: median probability that the labels hold; None where the judge cannot tell.
        first_shown: share of questions in which the response shown first was preferred.
    """

    pairs: int
    right: int
    ties: int
    failed: int
    label_mass: float | None
    first_shown: float | None

    def objection(self, min_label_mass: float) -> str | None:
        """Why this judge's answers are not verdicts; None when there is nothing against it."""
        if self.failed:
            return f"{self.failed} of {2 * self.pairs} questions about built-in pairs got no answer"
        if self.label_mass is not None and self.label_mass < min_label_mass:
            return (
                f"the labels hold only {self.label_mass:.3f} of its probability (at least {min_label_mass:g} is "
                "asked for): it does not answer the question. Try another --template, or a lower --min-label-mass"
            )
        if 2 * self.right <= self.pairs:
            where = f"; it prefers the first response in {self.first_shown:.0%}" if self.first_shown is not None else ""
            where += f"; it calls {self.ties} of them equal" if self.ties else ""
            return (
                f"it is right on {self.right} of {self.pairs} pairs with an obvious answer{where}. "
                "Try another model or --template"
            )
        return None


def probe_questions() -> list[Question]:
    """The built-in questions; the good response is a in every pair, and a and b are shown first equally often."""
    return [
        Question(
            f"probe-{number}", order, (Message("user", prompt),), *((good, bad) if order is Order.AB else (bad, good))
        )
        for number, (prompt, good, bad) in enumerate(_PAIRS)
        for order in Order
    ]


async def ask_probe(judge: Judge) -> list[Judgment]:
    """Every built-in question, answered, in a fixed order."""
    found = [reply async for batch in judge.judge(probe_questions()) for reply in batch]
    return sorted(found, key=lambda reply: (reply.pair_id, reply.order))


def summarise(replies: list[Judgment]) -> Probe:
    """What the replies to `probe_questions` show."""
    good = [reply for reply in replies if reply.failed is None]
    gaps = {(reply.pair_id, reply.order): _gap(reply) for reply in good}
    both = sorted({pair for pair, _ in gaps if (pair, Order.AB) in gaps and (pair, Order.BA) in gaps})
    shares = {(reply.pair_id, reply.order): _tie(reply) for reply in good}
    scores = preference(*([found[pair, order] for pair in both] for found in (gaps, shares) for order in Order))
    masses = [reply.label_mass for reply in good if reply.label_mass is not None]
    first = [(gap > 0) == (order is Order.AB) for (_, order), gap in gaps.items()]
    return Probe(
        pairs=len(_PAIRS),
        right=int((scores.log_odds > 0).sum()),
        ties=int(scores.is_tie.sum()),
        failed=len(replies) - len(good),
        label_mass=median(masses) if masses else None,
        first_shown=sum(first) / len(first) if first else None,
    )


def _gap(reply: Judgment) -> float:
    return (reply.logprob_a or 0.0) - (reply.logprob_b or 0.0)


def _tie(reply: Judgment) -> float:
    """Probability of a tie among the labels: 0 where there is no label for it."""
    if reply.logprob_tie is None or reply.logprob_a is None or reply.logprob_b is None:
        return 0.0
    logprobs = (reply.logprob_tie, reply.logprob_a, reply.logprob_b)
    tie, *others = (math.exp(value - max(logprobs)) for value in logprobs)
    return tie / (tie + sum(others))
