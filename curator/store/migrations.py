"""The schema of the store, as numbered steps. Append only: a released step never changes.

Each step runs in one transaction with the row that records it.
"""

from __future__ import annotations

_VERDICT = """
        WITH voice AS ({voices}), vote AS (
            SELECT pair_id, if(verdict = 'both_bad', 'tie', verdict) AS verdict,
                   sum(coalesce(weight, {others})) AS votes
            FROM voice LEFT JOIN annotator_weight USING (annotator) WHERE verdict <> 'skip' GROUP BY ALL
        ), best AS (
            SELECT pair_id, CASE WHEN count(*) = 1 THEN any_value(verdict) ELSE 'tie' END AS verdict
            FROM (SELECT * FROM vote QUALIFY votes = max(votes) OVER (PARTITION BY pair_id) OR {strict})
            GROUP BY pair_id
        )
        SELECT l.pair_id, coalesce(any_value(best.verdict), 'skip') AS verdict,
               bool_or(l.origin = 'calibration') AS random, max(l.number) AS number
        FROM voice l LEFT JOIN best USING (pair_id) GROUP BY l.pair_id
"""
"""One verdict a pair, from the labels of a query: the one that weighs most; equal weights are a tie. Of step 1.

Weights are decimals: sums of them do not depend on the order, and equal ones are equal."""

_OTHERS = "(SELECT coalesce(max(weight), 1) FROM annotator_weight WHERE annotator IS NULL)"
_STRICT = "(SELECT count(*) > 0 FROM setting WHERE name = 'votes' AND value = 'strict')"
"""Under `curator.options.Votes.STRICT` every verdict that somebody gave stays, and two of them are a tie."""


def _verdict(voices: str) -> str:
    return _VERDICT.format(voices=voices, others=_OTHERS, strict=_STRICT)


_FIRST = "SELECT * FROM word WHERE NOT again"
_BLIND = """
            -- Where all who labelled a pair before it was doubted had been shown a verdict, the others come after that.
            SELECT * FROM word
            WHERE blind AND again = (pair_id NOT IN (SELECT pair_id FROM word WHERE blind AND NOT again))
"""
_LAST = """
            SELECT * FROM word WHERE again = (pair_id IN (SELECT pair_id FROM word WHERE again AND verdict <> 'skip'))
"""

_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{N}\p{M}]+"
_SAID = "array_to_string(json_extract_string(prompt, '$[*].content'), chr(10) || chr(10))"


def _counted(column: str, text: str) -> str:
    """How long a text is. A word is a run of letters and digits; a Chinese or Japanese sign is one by itself."""
    return (
        f"len(regexp_extract_all({text}, '{_WORD}'))::BIGINT AS words_{column}, "
        f"length({text})::BIGINT AS characters_{column}"
    )


_EXAMPLE = f"""
        SELECT i.pair_id, p.prompt_id, {_SAID} AS prompt, json_array_length(p.prompt)::BIGINT AS prompt_turns,
               p.response_a, p.response_b, p.metadata::JSON AS metadata, i.file, i.line,
               {_counted("prompt", _SAID)}, {_counted("a", "response_a")}, {_counted("b", "response_b")},
               pt.language AS language_prompt, t.language_a, t.language_b, pt.cluster AS prompt_cluster, t.alike,
               -- Of the near duplicates in this input the one with the least hash has none: it is chosen by what the
               -- pairs are, and neither by where they stand nor by who has labelled them.
               nullif(min(i.pair_id) OVER (PARTITION BY coalesce(t.near_group, i.pair_id)), i.pair_id)
                   AS near_duplicate_of,
               leak.against, leak.against_line,
               if(l.verdict IS NOT NULL, 'human', if(d.label IS NOT NULL, 'auto', NULL)) AS label_source,
               coalesce(l.verdict, d.label) AS verdict, d.decision, s.p_a, s.bpe, said.strength,
               suspect.signs
        FROM (SELECT pair_id, file, line FROM input_row WHERE NOT duplicate) i JOIN pair p USING (pair_id)
             LEFT JOIN prompt_trait pt USING (prompt_id) LEFT JOIN pair_trait t USING (pair_id)
             LEFT JOIN (SELECT prompt_id, min(against) AS against, arg_min(line, (against, line)) AS against_line
                        FROM leak GROUP BY prompt_id) leak USING (prompt_id)
             LEFT JOIN (SELECT pair_id, verdict FROM label WHERE verdict <> 'skip') l USING (pair_id)
             LEFT JOIN decision d USING (pair_id) LEFT JOIN score s USING (pair_id)
             LEFT JOIN suspect USING (pair_id)
             LEFT JOIN (SELECT pair_id, avg(strength) AS strength FROM latest_label GROUP BY pair_id) said
                 USING (pair_id)
"""
"""A pair as a condition sees it. Only `curator.store.filters` and people read it. Of step 1."""

MIGRATIONS: tuple[str, ...] = (
    # 1: the tables of the first release. No primary keys: an index over millions of content hashes costs more memory
    # than the rows, and the one writer adds only what an anti-join shows to be new.
    f"""
    CREATE TABLE pair (
        pair_id VARCHAR NOT NULL,        -- content hash of prompt and responses, as given
        prompt_id VARCHAR NOT NULL,      -- content hash of the prompt alone
        prompt VARCHAR NOT NULL,         -- JSON: [{{"role", "content"}}, ...]
        response_a VARCHAR NOT NULL,
        response_b VARCHAR NOT NULL,
        metadata VARCHAR NOT NULL,       -- JSON: the row's other fields
        file VARCHAR NOT NULL,
        line BIGINT NOT NULL
    );
    CREATE TABLE sign (                  -- of a response that talks to the judge (curator.suspicion)
        pair_id VARCHAR NOT NULL,
        response VARCHAR NOT NULL,       -- a | b
        sign VARCHAR NOT NULL            -- order | claim | judge | ...
    );
    CREATE TABLE input_row (             -- the rows of the latest input: what the next decision is about
        position BIGINT NOT NULL,
        role VARCHAR NOT NULL,           -- pool | calibration (rows of --calibration)
        file VARCHAR NOT NULL,
        line BIGINT NOT NULL,
        pair_id VARCHAR NOT NULL,
        source_id VARCHAR,
        duplicate BOOLEAN NOT NULL
    );
    CREATE TABLE judge (
        judge_id VARCHAR NOT NULL,       -- content hash of name, engine and settings
        name VARCHAR NOT NULL,
        engine VARCHAR NOT NULL,         -- sglang | embedded | recorded | panel (several judges as one)
        settings VARCHAR NOT NULL,       -- JSON: model, weights, template, labels, ...
        details VARCHAR NOT NULL,        -- JSON: what makes no other judge (the server's version)
        demonstration BOOLEAN NOT NULL   -- too small to be trusted with real data
    );
    CREATE TABLE judgment (
        pair_id VARCHAR NOT NULL,
        judge_id VARCHAR NOT NULL,
        pair_order VARCHAR NOT NULL,     -- ab | ba: which response was shown first
        logprob_a DOUBLE,                -- of response a, whichever place it had
        logprob_b DOUBLE,
        logprob_tie DOUBLE,              -- of the label for "equal"; NULL: the judge was given none
        label_mass DOUBLE,               -- probability of the labels together
        status VARCHAR NOT NULL,         -- ok | failed
        reason VARCHAR,                  -- why it failed, or what was done to the texts
        prompt_tokens INTEGER,
        cached_tokens INTEGER,
        seconds DOUBLE,
        stated_p_a DOUBLE                -- P(a preferred) by the judge's own words, where it said how sure it is
    );
    CREATE SEQUENCE label_number;
    CREATE TABLE human_label (           -- append-only: the latest of an annotator counts
        number BIGINT DEFAULT nextval('label_number'),
        pair_id VARCHAR NOT NULL,
        annotator VARCHAR NOT NULL,
        verdict VARCHAR NOT NULL,        -- a | b | tie | both_bad | skip; withdrawn: takes back what was said before
        origin VARCHAR NOT NULL,         -- calibration | review | audit
        blind BOOLEAN NOT NULL,          -- the annotator had not been shown the judge's verdict
        left_side VARCHAR,               -- a | b: which response stood left; NULL: not from a queue
        note VARCHAR,
        seconds DOUBLE,                  -- that the annotator took
        said_at TIMESTAMPTZ,             -- by the annotator's own tool; NULL: it does not say
        strength DOUBLE,                 -- how much better, in the unit of the raw file; NULL: it does not say
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE imported_file (         -- append-only: every import of a file in which people labelled
        digest VARCHAR NOT NULL,         -- SHA-256 of what is in it, unpacked
        name VARCHAR NOT NULL,
        added BIGINT NOT NULL,           -- labels that were new; superseded: that corrected one
        superseded BIGINT NOT NULL,
        unchanged BIGINT NOT NULL,
        ignored BIGINT NOT NULL,         -- answers that count for nothing
        refused BIGINT NOT NULL,         -- rows that could not be used
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE draw (                  -- pairs drawn at random for calibration
        pair_id VARCHAR NOT NULL,
        draw_number INTEGER NOT NULL,
        position VARCHAR NOT NULL,       -- place in the random order of all pairs: a hash
        late BOOLEAN NOT NULL            -- came into the input after pairs that stand behind it had been drawn
    );
    CREATE TABLE audit (                 -- accepted pairs, drawn at random to see what error was bought
        pair_id VARCHAR NOT NULL,
        calibration_id INTEGER NOT NULL, -- the calibration that accepted it when it was drawn
        share DOUBLE NOT NULL,           -- of the accepted pairs, asked for then
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE recheck (               -- pairs whose labels judges contradict: people are asked again
        pair_id VARCHAR NOT NULL,
        after_number BIGINT NOT NULL,    -- the latest label before: those with larger numbers were given in doubt
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE score (                 -- of the latest judge, over the latest input
        pair_id VARCHAR NOT NULL,
        judge_id VARCHAR NOT NULL,
        p_a DOUBLE NOT NULL,
        p_b DOUBLE NOT NULL,
        p_tie DOUBLE NOT NULL,           -- 0 where the judge was given no label for "equal"
        log_odds DOUBLE NOT NULL,        -- of the response with more than half of the probability; 0: neither has
        bpe DOUBLE NOT NULL
    );
    CREATE TABLE rationale (             -- why a judge preferred a response, in its own words, after the verdict
        pair_id VARCHAR NOT NULL,
        writer VARCHAR NOT NULL,         -- content hash of model, settings and the prompt that asks
        name VARCHAR NOT NULL,           -- of the model
        label VARCHAR NOT NULL,          -- a | b: the verdict that it is about
        rationale VARCHAR NOT NULL,
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE calibration (           -- append-only; with --group-by, one row a group
        calibration_id INTEGER NOT NULL,
        group_by VARCHAR,                -- field of the raw rows
        group_name VARCHAR,              -- its value; NULL with group_by: the groups too small for their own threshold
        judge_id VARCHAR NOT NULL,
        score VARCHAR NOT NULL,          -- the signal that ranks pairs (curator.signals)
        guarantee VARCHAR NOT NULL,
        alpha VARCHAR NOT NULL,          -- exact: a fraction as text
        delta VARCHAR NOT NULL,
        ties VARCHAR NOT NULL,
        votes VARCHAR NOT NULL,          -- how several labels of a pair become one: majority | strict | weighted
        suspects VARCHAR NOT NULL,       -- who decides about pairs of the view suspect: queue (people) | judge
        n BIGINT NOT NULL,
        errors BIGINT NOT NULL,
        m BIGINT NOT NULL,
        threshold DOUBLE,                -- least |log-odds| accepted; NULL: nothing is accepted
        bpe_threshold DOUBLE,            -- the same as an entropy
        accepted BIGINT NOT NULL,
        accepted_calibration BIGINT NOT NULL,
        accepted_errors BIGINT NOT NULL,
        fingerprint VARCHAR NOT NULL,    -- hash of the rows and scores used
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE decision (
        pair_id VARCHAR NOT NULL,
        calibration_id INTEGER NOT NULL,
        decision VARCHAR NOT NULL,       -- accept | abstain
        label VARCHAR,                   -- a | b when accepted
        reason VARCHAR NOT NULL
    );
    CREATE TABLE run (
        run_id INTEGER NOT NULL,
        version VARCHAR NOT NULL,
        command VARCHAR NOT NULL,
        result VARCHAR NOT NULL,         -- JSON: run.json
        recorded_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE TABLE setting (name VARCHAR NOT NULL, value VARCHAR NOT NULL);
    CREATE TABLE annotator_weight (      -- empty: every annotator's word weighs the same
        annotator VARCHAR,               -- NULL: everybody else
        weight DECIMAL(9, 6) NOT NULL    -- how far the annotator agrees with others
    );
    CREATE TABLE prompt_trait (          -- of `curator hygiene`: prompts that it has read
        prompt_id VARCHAR NOT NULL,
        language VARCHAR NOT NULL,       -- of what people say in it, ISO 639; und: cannot be told
        cluster VARCHAR NOT NULL,        -- of prompts that are near duplicates: the least prompt_id of them
        bands UINTEGER[] NOT NULL        -- two prompts that share one in its place may be near duplicates
    );
    CREATE TABLE pair_trait (
        pair_id VARCHAR NOT NULL,
        language_a VARCHAR NOT NULL,
        language_b VARCHAR NOT NULL,
        alike DOUBLE NOT NULL,           -- share of three-word runs that both responses have
        near_group VARCHAR NOT NULL      -- of pairs that are near duplicates: the least pair_id of them
    );
    CREATE TABLE evaluation (            -- sets that the prompts are compared with
        name VARCHAR NOT NULL,
        run UBIGINT NOT NULL,            -- hash of 13 words in a row, or of all words of a shorter text
        line BIGINT NOT NULL             -- of its file, where the run stands first
    );
    CREATE TABLE leak (                  -- prompts of which a run stands in an evaluation set
        prompt_id VARCHAR NOT NULL,
        against VARCHAR NOT NULL,        -- name of the set
        line BIGINT NOT NULL
    );

    CREATE VIEW input AS                 -- the distinct pairs of the latest input, each where it stood first
        SELECT pair_id, position, role FROM input_row WHERE NOT duplicate;
    CREATE VIEW suspect AS               -- pairs of which a response talks to the judge
        SELECT pair_id, list(DISTINCT sign ORDER BY sign) AS signs FROM sign GROUP BY pair_id;
    CREATE VIEW held AS                  -- those that the latest decision leaves to people
        SELECT * FROM suspect WHERE (SELECT arg_max(suspects, calibration_id) FROM calibration) = 'queue';
    CREATE VIEW word AS                  -- the latest of each annotator, before and after the pair came back in doubt
        SELECT * FROM (
            SELECT human_label.*, coalesce(number > after_number, false) AS again
            FROM human_label LEFT JOIN recheck USING (pair_id)
            QUALIFY row_number() OVER (PARTITION BY pair_id, annotator, again ORDER BY number DESC) = 1
        ) WHERE verdict <> 'withdrawn';
    CREATE VIEW latest_label AS          -- the latest of each annotator
        SELECT * FROM word QUALIFY row_number() OVER (PARTITION BY pair_id, annotator ORDER BY number DESC) = 1;
    CREATE VIEW last_word AS             -- what counts of each annotator; of a pair that came back, what was said then
        {_LAST};
    CREATE VIEW label AS                 -- one verdict a pair
        {_verdict("SELECT * FROM last_word")};
    CREATE VIEW first_label AS           -- one verdict a pair, from what was said before anybody doubted it
        {_verdict(_FIRST)};
    CREATE VIEW blind_label AS           -- of these, from people who had not been shown what the judge says
        {_verdict(_BLIND)};
    CREATE VIEW recheck_waiting AS
        SELECT pair_id FROM recheck WHERE pair_id NOT IN (SELECT pair_id FROM word WHERE again);
    CREATE VIEW calibration_label AS     -- labels that may set a threshold: blind, and of a random draw
        WITH drawn AS (
            -- A pair labelled for review before it was drawn would count while its fellows still wait: such a draw
            -- counts only when all of it is labelled, or labels would be kept or dropped by how hard a pair is.
            -- Pairs that came later had no chance to be drawn with the others: up to the first of them that waits, the
            -- labelled pairs are a random draw from today's input; behind it they are one from an older input.
            SELECT pair_id, late, bool_and(verdict IS NOT NULL) OVER (PARTITION BY draw_number) AS complete,
                   bool_or(verdict IS NOT NULL AND NOT random) OVER (PARTITION BY draw_number) AS mixed,
                   position >= min(position) FILTER (late AND verdict IS NULL) OVER () AS outgrown
            FROM draw SEMI JOIN input USING (pair_id) LEFT JOIN blind_label USING (pair_id)
        )
        SELECT pair_id, verdict FROM blind_label LEFT JOIN drawn USING (pair_id)
        WHERE CASE WHEN drawn.pair_id IS NULL THEN random
                   ELSE (late OR complete OR NOT mixed) AND NOT coalesce(outgrown, false) END;
    CREATE VIEW example AS               -- the pairs of the latest input, for conditions (--where)
        {_EXAMPLE};
    CREATE VIEW saved_judgment AS        -- as a log that `label --judgments` reads; JSON knows no infinite number
        SELECT pair_id AS id, name || '-' || left(judge_id, 8) AS judge, pair_order AS "order",
               status = 'failed' AS failed,
               if(bare, NULL, logprob_a) AS logprob_a, if(bare, NULL, logprob_b) AS logprob_b,
               if(bare, NULL, logprob_tie) AS logprob_tie,
               if(bare, exp(j.logprob_a), NULL) AS p_a, if(bare, exp(j.logprob_tie), NULL) AS p_tie,
               CASE WHEN stated_p_a > 0.5 THEN 'a' WHEN stated_p_a < 0.5 THEN 'b' WHEN stated_p_a = 0.5 THEN 'tie' END
                   AS verdict,
               greatest(stated_p_a, 1 - stated_p_a) AS confidence
        FROM (
            SELECT *, coalesce(isinf(logprob_a) OR isinf(logprob_b) OR isinf(logprob_tie), false) AS bare FROM judgment
        ) j JOIN judge USING (judge_id);
    CREATE VIEW saved_label AS           -- as a file that `import` reads: what came with raw rows comes with them again
        SELECT 'curator' AS tool, pair_id,
               CASE WHEN verdict NOT IN ('a', 'b') THEN verdict WHEN verdict = left_side THEN 'left' ELSE 'right' END
                   AS label,
               annotator, note, seconds, coalesce(said_at, recorded_at)::VARCHAR AS said_at,
               if(left_side = 'a', response_a, response_b) AS "left",
               if(blind, NULL, {{'shown': true}}) AS judge
        -- Of a pair that came back in doubt, what was said first: it is what calibrates.
        FROM word JOIN pair USING (pair_id) WHERE left_side IS NOT NULL AND NOT again ORDER BY number;
    """,
)
