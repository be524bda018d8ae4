"""What checks the labels: the audit sample of accepted pairs, doubted human labels, and verdicts that contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curator.prompts import prompt_from_json
from curator.store.connection import Store
from curator.store.decisions import BOTH_ORDERS, GOOD_REPLY, GROUP, group_path

_ACCEPTED = """
    SELECT pair_id, label, calibration_id,
           md5_number_lower('audit' || $seed || pair_id) / 18446744073709551616 AS chance
    FROM decision WHERE decision = 'accept' AND pair_id IN (SELECT pair_id FROM input WHERE role = 'pool')
"""
"""The accepted pairs, each with a number in [0, 1) that nothing but the store's seed decides, now and ever."""

_SAMPLE = f"SELECT * FROM ({_ACCEPTED}) QUALIFY chance <= greatest($share, min(chance) OVER ())"
"""Those of them whose number is small; one at least. Whenever a pair comes to be accepted its chance is the same."""

_LATEST = "(SELECT max(calibration_id) FROM calibration)"

_SHARE = "SELECT coalesce(max(share), 0) FROM audit"


def draw_audit(store: Store, share: float) -> int:
    """Draw a random sample of the accepted pairs of the input; returns how many are new in it.

    Each accepted pair is drawn by its own number, so that a larger share adds pairs, an equal one none, and every pair
    that a later decision accepts has the same chance. What was asked for before stays: a smaller share, also 0, takes
    nothing back, and newly accepted pairs are drawn with the largest share so far. Pairs that people labelled before
    are drawn like the others; nobody is asked about them again.

    Args:
        share: of the accepted pairs, 0 to 1; 0 asks for none.
    """
    largest = max(share, float(store.one(_SHARE)[0]))
    if not largest:
        return 0
    return store.count(
        f"""INSERT INTO audit (pair_id, calibration_id, share)
        SELECT pair_id, calibration_id, $share FROM ({_SAMPLE}) WHERE pair_id NOT IN (SELECT pair_id FROM audit)
        ORDER BY chance""",
        {"seed": store.seed, "share": largest},
    )


@dataclass(frozen=True, slots=True)
class Audited:
    """The audit sample of the latest decision, and what people said of it before anybody doubted it.

    Attributes:
        drawn: pairs in the sample.
        accepted: accepted pairs that it is drawn from.
        labelled, errors, ties: of these, pairs with a label; with one that is not the judge's; with a tie.
        earlier: pairs that people had labelled for another reason, such as that the judge then abstained.
        sources: decisions that some of the sample were drawn from, each for the first time.
        ties_policy: what a tie means for this decision, as `curator.options.Ties` has it.
    """

    drawn: int
    accepted: int
    labelled: int
    errors: int
    ties: int
    earlier: int
    sources: int
    ties_policy: str


def audited(store: Store) -> Audited | None:
    """What has come of the audit so far; None where nothing was ever drawn, or nothing is accepted now."""
    share = float(store.one(_SHARE)[0])
    if not share:
        return None
    values = {"seed": store.seed, "share": share}
    row = store.one(
        f"""WITH asked AS (SELECT pair_id, arg_min(origin, number) AS origin FROM human_label GROUP BY pair_id)
        SELECT count(*), (SELECT count(*) FROM ({_ACCEPTED})), count(l.verdict),
               count(*) FILTER (l.verdict <> s.label), count(*) FILTER (l.verdict = 'tie'),
               count(*) FILTER (l.verdict IS NOT NULL AND asked.origin <> 'audit'),
               count(DISTINCT audit.calibration_id),
               (SELECT max(ties) FROM calibration WHERE calibration_id = max(s.calibration_id))
        FROM ({_SAMPLE}) s LEFT JOIN audit USING (pair_id) LEFT JOIN blind_label l USING (pair_id)
             LEFT JOIN asked USING (pair_id)""",
        values,
    )
    return Audited(*row) if row[0] else None


def replies_to_labelled(store: Store, min_label_mass: float) -> pa.Table:
    """What every judge said, in both orders, about the pairs of the input on which people prefer a response.

    Returns:
        Columns pair (0, 1, ... in input order), pair_id, verdict (a or b), d_ab, d_ba (logprob(a) - logprob(b)),
        tie_ab, tie_ba (P(equal), 0 of a judge that has no label for that).
    """
    return store.arrow(
        f"""WITH reply AS (
            SELECT pair_id, position, l.verdict, judge_id, {BOTH_ORDERS}
            FROM input JOIN label l USING (pair_id) JOIN ({GOOD_REPLY}) USING (pair_id)
            WHERE l.verdict IN ('a', 'b')
            GROUP BY ALL
        )
        SELECT dense_rank() OVER (ORDER BY position) - 1 AS pair, pair_id, verdict, d_ab, d_ba, tie_ab, tie_ba
        FROM reply WHERE NOT isnan(d_ab) AND NOT isnan(d_ba) ORDER BY position, judge_id""",
        {"mass": min_label_mass},
    )


def preferred_by_people(store: Store) -> int:
    """Pairs of the input on which people prefer a response."""
    return store.count("SELECT count(*) FROM input JOIN label USING (pair_id) WHERE verdict IN ('a', 'b')")


def surely_contradicted(store: Store) -> frozenset[str] | None:
    """Pairs that the latest decision would accept with the response that people did not choose.

    Each pair's score is compared with the threshold of its own group, whatever signal both are of. None: no group has
    a threshold.
    """
    by, some = store.one(
        f"SELECT max(group_by), count(threshold) > 0 FROM calibration WHERE calibration_id = {_LATEST}"
    )
    if not some:
        return None
    rows = store.rows(
        f"""WITH latest AS (SELECT group_name, threshold FROM calibration WHERE calibration_id = {_LATEST})
        SELECT pair_id FROM input JOIN label USING (pair_id) JOIN score USING (pair_id) JOIN pair USING (pair_id)
             LEFT JOIN latest own ON own.group_name = {GROUP}
             LEFT JOIN latest others ON others.group_name IS NULL
        WHERE verdict = if(log_odds > 0, 'b', 'a') AND pair_id NOT IN (SELECT pair_id FROM held)
          AND abs(log_odds) >= if(own.group_name IS NULL, others.threshold, own.threshold)""",
        {"path": "$" if by is None else group_path(by)},
    )
    return frozenset(row[0] for row in rows)


def pair_details(store: Store, pair_ids: Sequence[str], characters: int) -> dict[str, dict[str, Any]]:
    """What people need to find and know pairs: file, line, the texts' beginnings, whether they came back in doubt."""
    with store.incoming(pa.table({"pair_id": pa.array(pair_ids, pa.string())})):
        rows = store.records(
            """SELECT pair_id, prompt_id, coalesce(r.file, pair.file) AS file, coalesce(r.line, pair.line) AS line,
                      prompt, left(response_a, $most) AS response_a, left(response_b, $most) AS response_b,
                      CASE WHEN w.pair_id IS NOT NULL THEN 'waiting' WHEN c.pair_id IS NOT NULL THEN 'answered' END
                      AS recheck
            FROM (SELECT DISTINCT pair_id FROM incoming) JOIN pair USING (pair_id)
                 LEFT JOIN (SELECT * FROM input_row WHERE NOT duplicate) r USING (pair_id)
                 LEFT JOIN recheck c USING (pair_id) LEFT JOIN recheck_waiting w USING (pair_id)""",
            {"most": characters},
        )
    for row in rows:
        row["prompt"] = prompt_from_json(row["prompt"])[-1].content[:characters]
    return {row["pair_id"]: row for row in rows}


def ask_again(store: Store, pair_ids: Sequence[str]) -> int:
    """Put labelled pairs of the raw file back among the tasks, each once and never more; returns how many are new."""
    with store.transaction(), store.incoming(pa.table({"pair_id": pa.array(pair_ids, pa.string())})):
        return store.count(
            """INSERT INTO recheck (pair_id, after_number)
            SELECT pair_id, max(number) FROM human_label
            WHERE pair_id IN (SELECT pair_id FROM incoming) AND pair_id NOT IN (SELECT pair_id FROM recheck)
              AND pair_id IN (SELECT pair_id FROM input WHERE role = 'pool')
            GROUP BY pair_id ORDER BY pair_id"""
        )


def asked_again(store: Store) -> frozenset[str]:
    """The pairs that came back in doubt, whether answered or not."""
    return frozenset(row[0] for row in store.rows("SELECT pair_id FROM recheck"))


def waiting_again(store: Store) -> frozenset[str]:
    """Those of them that still wait for an answer."""
    return frozenset(row[0] for row in store.rows("SELECT pair_id FROM recheck_waiting"))


def rechecked(store: Store) -> dict[str, int]:
    """What asking again has led to: pairs asked about, and of these waiting, confirmed, changed, and undecided (a skip;
    what was said first then stays).
    """
    return store.records(
        """SELECT count(*) AS asked, count(w.pair_id) AS waiting,
                  count(*) FILTER (s.decided AND n.verdict = f.verdict) AS confirmed,
                  count(*) FILTER (s.decided AND n.verdict <> f.verdict) AS changed,
                  count(*) FILTER (NOT s.decided) AS undecided
        FROM recheck LEFT JOIN recheck_waiting w USING (pair_id)
             LEFT JOIN label n USING (pair_id) LEFT JOIN first_label f USING (pair_id)
             LEFT JOIN (SELECT pair_id, bool_or(verdict <> 'skip') AS decided FROM word WHERE again GROUP BY pair_id) s
             USING (pair_id)"""
    )[0]


_JUDGED = "SELECT pair_id, log_odds AS strength FROM score JOIN input USING (pair_id)"
_SAID = """
    SELECT pair_id, CASE verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN -1.0 ELSE 0.0 END AS strength
    FROM label JOIN input USING (pair_id) WHERE verdict <> 'skip'
"""


def verdicts_by_prompt(store: Store, *, people: bool) -> pa.Table:
    """The latest judge's verdicts, or people's, about pairs of prompts that have three or more of them.

    Returns:
        Columns pair_id; prompt, a, b (64-bit hashes; of a response together with its prompt); strength (above 0 where
        a is better).
    """
    verdicts = _SAID if people else _JUDGED
    return store.arrow(
        f"""WITH verdict AS (SELECT pair_id, prompt_id, strength FROM ({verdicts}) JOIN pair USING (pair_id)),
        several AS (SELECT prompt_id FROM verdict GROUP BY prompt_id HAVING count(*) >= 3)
        SELECT pair_id, md5_number_lower(prompt_id) AS prompt, md5_number_lower(prompt_id || response_a) AS a,
               md5_number_lower(prompt_id || response_b) AS b, strength
        FROM verdict JOIN several USING (prompt_id) JOIN pair USING (pair_id) ORDER BY pair_id"""
    )
