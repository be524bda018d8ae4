"""Traits of pairs: near duplicates, languages, and prompts that stand in evaluation sets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from curator.duplicates import long_runs, near, runs_of
from curator.errors import InputError
from curator.pair import Message, Pair
from curator.progress import Progress
from curator.resources import first_error
from curator.steps.hygiene import find_traits
from curator.store import Store, open_store
from curator.store.pairs import replace_input
from tests.conftest import Cli, read_rows, write_rows

SENTENCE = "how does one bake a loaf of bread at home without an oven or a pan on a rainy day in late november"
WORDS = [f"w{i}" for i in range(200)]


def texts(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=40)) for _ in range(count)]


def pair(prompt: str, a: str, b: str, *before: Message, **more: Any) -> Pair:
    return Pair((*before, Message("user", prompt)), a, b, file="raw.jsonl", **more)


def near_of(store: Store, pairs: Sequence[Pair]) -> list[int | None]:
    """The place of the pair that each is a near duplicate of."""
    place = {one.pair_id: i for i, one in enumerate(pairs)}
    found = dict(store.rows("SELECT pair_id, near_duplicate_of FROM example"))
    return [None if found[one.pair_id] is None else place[found[one.pair_id]] for one in pairs]


def stored(tmp_path: Path, pairs: Sequence[Pair], name: str = "store") -> Store:
    store = open_store(tmp_path / f"{name}.duckdb")
    replace_input(store, [("pool", pairs)])
    return store


def test_a_near_duplicate_is_near_in_prompt_and_both_responses_on_whichever_side(tmp_path: Path) -> None:
    a, b, c = texts(1, 3)
    pairs = [
        pair(SENTENCE, a, b),
        pair(SENTENCE.upper() + "?", a + " more", b),
        pair(SENTENCE, b, a),
        pair(SENTENCE, a, c),
        pair("something else entirely", a, b),
        pair(SENTENCE, a, b, Message("system", "be brief")),  # what answers alike is alike, whoever was told what
    ]
    with stored(tmp_path, pairs) as store:
        found = find_traits(store, Progress())
        same = [0, 1, 2, 5]
        kept = min(same, key=lambda i: pairs[i].pair_id)
        assert near_of(store, pairs) == [kept if i in same and i != kept else None for i in range(6)]
        clusters = dict(store.rows("SELECT prompt_id, cluster FROM prompt_trait"))
        assert len({clusters[pairs[i].prompt_id] for i in (0, 1, 2, 3, 5)}) == 1
        assert clusters[pairs[4].prompt_id] == pairs[4].prompt_id
        assert (found["pairs"], found["prompts"], found["near_prompts"]) == (6, 4, 2)
        assert (found["near_duplicates"], found["alike"], found["new"]) == (3, 0, 6)


def test_a_long_common_beginning_makes_no_prompts_near(tmp_path: Path) -> None:
    (talk,) = texts(2, 1)
    before = (Message("user", talk * 9), Message("assistant", talk * 9))
    pairs = [pair("And the first?", "a", "b", *before), pair("Who came last of all?", "a", "b", *before)]
    pairs += [pair(f"question {i}", "a", "b", Message("system", talk * 9)) for i in ("one", "two")]
    with stored(tmp_path, pairs) as store:
        assert find_traits(store, Progress())["near_prompts"] == 0


def mixture(seed: int) -> list[Pair]:
    """Pairs about few prompts with few responses, many of them changed in a word."""
    chance = random.Random(seed)
    prompts, answers = texts(seed, 2), texts(seed + 1, 3)

    def changed(text: str) -> str:
        words = text.split()
        for _ in range(chance.choice([0, 0, 1, 3])):
            words[chance.randrange(len(words))] = chance.choice(WORDS)
        return " ".join(words)

    made = []
    for _ in range(80):
        one, other = chance.sample(answers, 2)
        made.append(pair(changed(chance.choice(prompts)), changed(one), changed(other)))
    return list({one.pair_id: one for one in made}.values())


def components(count: int, edges: Sequence[tuple[int, int]]) -> list[set[int]]:
    groups = [{i} for i in range(count)]
    for one, other in edges:
        merged = groups[one] | groups[other]
        for i in merged:
            groups[i] = merged
    return groups


def brute_force(pairs: Sequence[Pair], similarity: float) -> list[int | None]:
    """Each text compared with each: clusters of prompts, in each of them clusters of responses, and equal pairs."""

    def clusters(items: list[str]) -> dict[str, int]:
        runs = [(runs_of(text),) for text in items]
        edges = [(i, j) for i, j in combinations(range(len(items)), 2) if near(runs[i], runs[j], similarity)]
        return {text: min(group) for text, group in zip(items, components(len(items), edges), strict=True)}

    of_prompt = clusters(sorted({one.prompt[0].content for one in pairs}))
    found: list[int | None] = [None] * len(pairs)
    for cluster in set(of_prompt.values()):
        inside = [i for i, one in enumerate(pairs) if of_prompt[one.prompt[0].content] == cluster]
        sides = clusters(sorted({text for i in inside for text in (pairs[i].response_a, pairs[i].response_b)}))
        groups: dict[frozenset[int], list[int]] = {}
        for i in inside:
            groups.setdefault(frozenset((sides[pairs[i].response_a], sides[pairs[i].response_b])), []).append(i)
        for group in groups.values():
            kept = min(group, key=lambda i: pairs[i].pair_id)
            for i in group:
                found[i] = None if i == kept else kept
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_found_is_what_comparing_each_with_each_finds(tmp_path: Path, seed: int) -> None:
    pairs = mixture(seed)
    expected = brute_force(pairs, 0.8)
    assert 10 < len([one for one in expected if one is not None]) < 70
    with stored(tmp_path, pairs) as store:
        find_traits(store, Progress())
        assert near_of(store, pairs) == expected


def test_neither_the_order_nor_the_portions_change_what_is_found(tmp_path: Path) -> None:
    pairs = mixture(4)
    shuffled = random.Random(5).sample(pairs, len(pairs))
    tables = []
    with stored(tmp_path, pairs, "whole") as store:
        find_traits(store, Progress())
        tables.append([store.rows(f"SELECT * FROM {name} ORDER BY ALL") for name in ("prompt_trait", "pair_trait")])
    with open_store(tmp_path / "portions.duckdb") as store:
        for end, new in ((30, 30), (31, 1), (31, 0), (len(pairs), len(pairs) - 31)):
            replace_input(store, [("pool", shuffled[:end])])
            assert find_traits(store, Progress())["new"] == new
        tables.append([store.rows(f"SELECT * FROM {name} ORDER BY ALL") for name in ("prompt_trait", "pair_trait")])
    assert tables[0] == tables[1]


def test_of_near_duplicates_in_this_input_one_is_kept(tmp_path: Path) -> None:
    """Whatever was kept of an earlier input."""
    a, b = texts(1, 2)
    pairs = sorted([pair(SENTENCE + end, a, b) for end in ("", ".", "?", "!")], key=lambda one: one.pair_id)
    with stored(tmp_path, pairs) as store:
        find_traits(store, Progress())
        assert near_of(store, pairs) == [None, 0, 0, 0]
        replace_input(store, [("pool", pairs[2:])])
        assert near_of(store, pairs[2:]) == [None, 0]


def test_another_similarity_finds_all_anew_and_is_kept(tmp_path: Path) -> None:
    a, b = texts(1, 2)
    half = " ".join(a.split()[:30] + ["x"] * 10)
    pairs = [pair(SENTENCE, a, b), pair(SENTENCE, half, b)]
    with stored(tmp_path, pairs) as store:
        assert find_traits(store, Progress())["near_duplicates"] == 0
        assert find_traits(store, Progress(), similarity=0.5)["near_duplicates"] == 1
        again = find_traits(store, Progress())
        assert (again["new"], again["similarity"], again["near_duplicates"]) == (0, 0.5, 1)


def test_prompts_of_evaluation_sets_are_found_now_and_later(tmp_path: Path) -> None:
    first = write_rows(
        tmp_path / "test.jsonl", [{"question": f"Think hard. {SENTENCE}, then explain."}, {"text": "What is 1 + 1?"}]
    )
    second = write_rows(tmp_path / "chat.jsonl", [{"turns": 1}, {"prompt": [{"role": "user", "content": "Who am I"}]}])
    pairs = [pair(prompt, "a", "b") for prompt in (SENTENCE, "what is 1 1", "what is 1", "Who am I?", "none of these")]
    pairs[4] = pair("none of these", "a", "b", Message("user", "who am i"), Message("assistant", SENTENCE))
    query = "SELECT against, against_line FROM example ORDER BY line"
    pairs = [Pair(one.prompt, "a", "b", file="raw", line=i) for i, one in enumerate(pairs)]
    one, two = str(first), str(second)
    with stored(tmp_path, pairs[:2]) as store:
        find_traits(store, Progress(), against=[one])
        assert store.rows(query) == [(one, 1), (one, 2)]
        replace_input(store, [("pool", pairs)])
        find_traits(store, Progress())
        assert store.rows(query) == [(one, 1), (one, 2), (None, None), (None, None), (None, None)]
        found = find_traits(store, Progress(), against=[two])
        assert found["read"] == [{"name": two, "rows": 1, "rejected": 1}]
        assert found["against"] == [
            {"name": two, "prompts": 2, "pairs": 2},
            {"name": one, "prompts": 2, "pairs": 2},
        ]
        assert store.rows(query) == [(one, 1), (one, 2), (None, None), (two, 2), (two, 2)]
        write_rows(first, [{"question": "What is 1?"}])
        find_traits(store, Progress(), against=[one])
        assert store.rows(query)[:3] == [(None, None), (None, None), (one, 1)]


def test_a_set_without_text_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "set.jsonl", [{"input": "What is 1?"}])
    with stored(tmp_path, [pair("what is 1", "a", "b")]) as store:
        with pytest.raises(InputError, match=r"no text to compare with in it; --against-field says where .*line 1"):
            find_traits(store, Progress(), against=[str(path)])
        assert store.count("SELECT count(*) FROM pair_trait") == 0
        found = find_traits(store, Progress(), against=[str(path)], field="input")
        assert found["against"] == [{"name": str(path), "prompts": 1, "pairs": 1}]


def test_the_command_says_what_it_found_and_what_to_do(cli: Cli, tmp_path: Path) -> None:
    a, b = texts(1, 2)
    asked = write_rows(tmp_path / f"{'long name ' * 10}.jsonl", [{"prompt": "What is the capital of France?"}])
    pairs = [pair(SENTENCE, a, b), pair(SENTENCE, b, a), pair("what is the capital of france", "Paris.", "paris")]
    db = tmp_path / "store.duckdb"
    stored(tmp_path, pairs).__exit__(None, None, None)
    assert cli("hygiene", "--db", db, "--against", asked) == 0
    assert "1 are near duplicates of another, responses and all" in cli.out
    assert "1 pairs have two responses that are near duplicates of each other" in cli.out
    assert f"{asked}: 1 prompts stand in it (1 pairs)" in cli.out
    assert 'curator label RAW --where "near_duplicate_of IS NULL AND against IS NULL"' in cli.out
    result = cli.json("hygiene", "--db", db)
    assert first_error("hygiene", result) is None
    assert result["languages"] == {"en": 3}
    assert cli("hygiene", "--db", db, "--against-field", "x") == 2
    assert cli("hygiene", "--db", db, "--similarity", "0") == 2


@pytest.mark.parametrize("name", ["llmbar.jsonl", "prd_lfqa.jsonl"])
def test_real_pairs_are_their_own_contamination(tmp_path: Path, shared_data: Any, cli: Cli, name: str) -> None:
    """Each prompt stands in the file that it comes from, and prompts and pairs once more change nothing."""
    from curator.formats.read import read
    from curator.options import Reading
    from curator.sources import source_rows

    path = str(shared_data(name))
    pairs = [one for one in read(source_rows(path), Reading()) if isinstance(one, Pair)]
    twice = [
        Pair((Message("user", one.prompt[0].content.upper() + " "),), one.response_b, one.response_a) for one in pairs
    ]
    with stored(tmp_path, [*pairs, *twice]) as store:
        found = find_traits(store, Progress(), against=[path])
        assert found["against"][0]["pairs"] == found["pairs"] == store.count("SELECT count(*) FROM input")
        assert found["near_duplicates"] >= len(pairs)
        kept = store.count("SELECT count(*) FROM example WHERE near_duplicate_of IS NULL")
        assert kept + found["near_duplicates"] == found["pairs"]


def test_pairs_outside_an_evaluation_set_share_no_thirteen_words_with_it(tmp_path: Path, shared_data: Any) -> None:
    """Of real prompts, half of which are the set: the condition leaves those that comparing all with all leaves."""
    rows = read_rows(shared_data("llmbar.jsonl"))
    half = write_rows(tmp_path / "half.jsonl", [{"prompt": f"Answer this. {row['prompt']}"} for row in rows[::2]])
    pairs = [pair(row["prompt"], "a", "b") for row in rows]
    known = {run for row in read_rows(half) for run in long_runs(row["prompt"])}
    clean = {row["prompt"] for row in rows if not known & set(long_runs(row["prompt"]))}
    with stored(tmp_path, pairs) as store:
        find_traits(store, Progress(), against=[str(half)])
        assert {row[0] for row in store.rows("SELECT prompt FROM example WHERE against IS NULL")} == clean
    assert len(rows) / 4 < len(clean) < len(rows)
