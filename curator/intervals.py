"""How far an error rate seen in a sample may be from the true one, and the sentence that says so. Pure."""

from __future__ import annotations

from typing import Any


def clopper_pearson(errors: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of an error rate of which `errors` were seen among `n` random draws.

    It holds the true rate with probability `confidence` at least, whatever that rate is, and also where the draws are
    made without replacement from a finite batch (there it is wider than it need be).

    Args:
        errors: how many of the draws were wrong, 0 to n; where some count half, the interval is wider than need be.
        n: how many were drawn, at least 1.
        confidence: strictly between 0 and 1.

    Returns:
        Lowest and highest rate; the lowest is exactly 0 where nothing was wrong, the highest exactly 1 where all was.

    Raises:
        ValueError: an argument is out of range.

    Source: Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26 (1934).

    >>> [round(end, 4) for end in clopper_pearson(3, 40)]
    [0.0157, 0.2039]
    >>> clopper_pearson(0, 40)[0], clopper_pearson(40, 40)[1]
    (0.0, 1.0)
    """
    from scipy.stats import beta

    if not 0 <= errors <= n or n < 1:
        raise ValueError(f"{errors:g} errors among {n} draws: there must be a draw, and no more errors than draws")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie strictly between 0 and 1, not be {confidence}")
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, errors, n - errors + 1)) if errors else 0.0
    high = float(beta.isf(tail, errors + 1, n - errors)) if errors < n else 1.0
    return low, high


def audit_sentence(audit: dict[str, Any]) -> str:
    """What an audit shows, and no more.

    Args:
        audit: the object under `audit` in `run.json`.
    """
    drawn, labelled, accepted = audit["drawn"], audit["labelled"], audit["accepted"]
    of = f"{drawn:,} of the {accepted:,} accepted pairs are drawn at random for people to check"
    if not labelled:
        return f"{of}. None is labelled yet: nothing is known of the error."
    said = f"{of}; {labelled:,} are labelled, {audit['errors']:,} of them not as the judge did."
    if audit["ties_left_out"]:
        said += f" {audit['ties_left_out']:,} ties are left out."
    if audit["low"] is not None:
        said += (
            f" The error among the accepted pairs is {audit['error']:.3g}, between {audit['low']:.3g} and "
            f"{audit['high']:.3g} ({audit['confidence']:.0%} interval, Clopper-Pearson)"
        )
        said += "." if labelled == drawn else ", if it is chance which of the drawn pairs have no label yet."
    elif labelled < drawn:
        said += (
            " It is not chance alone which have labels: some were labelled for another reason, or drawn from what an "
            "earlier decision accepted. What this says of the error can be told when all drawn pairs are labelled."
        )
    return said
