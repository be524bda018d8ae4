"""Whether texts say nearly the same: what counts, and that what is found fast is what comparing all finds."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.duplicates import Clusters, banding, bands_of, jaccard, long_runs, near, runs_of, words_of
from curator.languages import language_of

TEXT = " ".join(f"word{i}" for i in range(40))


@pytest.mark.parametrize("other", [TEXT.upper(), TEXT.replace(" ", "\n \t"), TEXT.replace(" ", ", ") + "!"])
def test_case_spaces_and_punctuation_do_not_count(other: str) -> None:
    assert jaccard(runs_of(TEXT), runs_of(other)) == 1
    assert long_runs(TEXT) == long_runs(other)
    assert bands_of(runs_of(TEXT), 0.8) == bands_of(runs_of(other), 0.8)


def test_similarity_is_the_share_of_common_runs() -> None:
    changed = TEXT.replace("word20 ", "other ")
    assert jaccard(runs_of(TEXT), runs_of(changed)) == 35 / 41  # 38 runs each, three of which hold the word
    assert near([runs_of(TEXT)], [runs_of(changed)], 0.85)
    assert not near([runs_of(TEXT)], [runs_of(changed)], 0.86)
    assert not near([runs_of(TEXT), runs_of("a b c")], [runs_of(TEXT), runs_of("a b d")], 0.5)


@pytest.mark.parametrize(("one", "other", "same"), [("?!", "?!", 1), ("?!", "??", 0), ("", "", 1), ("Yes", "yes.", 1)])
def test_texts_without_words_are_compared_as_they_are(one: str, other: str, same: int) -> None:
    assert jaccard(runs_of(one), runs_of(other)) == same


def test_signs_of_scripts_without_spaces_are_words() -> None:
    assert words_of("今日は暑い ok") == ["今", "日", "は", "暑", "い", "ok"]
    assert jaccard(runs_of("今日はとても暑いですね"), runs_of("今日はとても暑いですよ")) == 8 / 10


def test_thirteen_words_in_a_row_are_found_in_a_longer_text_and_twelve_are_not() -> None:
    words = TEXT.split()
    whole = set(long_runs(TEXT))
    assert len(whole) == 28
    assert set(long_runs("Please say: " + " ".join(words[5:18]) + ". Thanks")) & whole
    assert not set(long_runs("Please say: " + " ".join(words[5:17]) + ". Thanks")) & whole
    assert long_runs("What is 1 + 1?") == long_runs("what is 1 1")
    assert not set(long_runs("What is 1")) & set(long_runs("What is 1 1"))
    assert long_runs("?!") == []


@pytest.mark.parametrize("similarity", [0.1, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_find_texts_of_the_similarity_in_99_of_100_cases(similarity: float) -> None:
    bands, rows = banding(similarity)
    assert bands * rows <= 128
    assert 1 - (1 - similarity**rows) ** bands >= 0.99


@pytest.mark.parametrize("bad", [0, -1, 1.1, float("nan")])
def test_what_is_no_similarity_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="over 0 and at most 1"):
        banding(bad)


def test_near_texts_share_a_band_and_few_others_do() -> None:
    """Of 60 texts and near copies of them: what shares a band, against comparing each with each."""
    chance = random.Random(1)
    vocabulary = [f"w{i}" for i in range(400)]
    texts = []
    for _ in range(60):
        words = chance.choices(vocabulary, k=chance.randint(30, 90))
        texts.append(" ".join(words))
        words[chance.randrange(len(words))] = "changed"
        texts.append(" ".join(words))
    runs = [runs_of(text) for text in texts]
    bands = [bands_of(one, 0.8) for one in runs]
    pairs = list(combinations(range(len(texts)), 2))
    candidates = {(i, j) for i, j in pairs if any(a == b for a, b in zip(bands[i], bands[j], strict=True))}
    brute = {(i, j) for i, j in pairs if jaccard(runs[i], runs[j]) >= 0.8}
    assert len(brute) > 50
    assert {(i, j) for i, j in candidates if near([runs[i]], [runs[j]], 0.8)} == brute
    assert len(candidates) < 100


def test_bands_are_the_same_everywhere() -> None:
    """Written out: another release of the library must not change what is stored."""
    assert bands_of(runs_of("the quick brown fox jumps over the lazy dog"), 0.8)[:3] == [
        1958523283,
        4028292106,
        2669228685,
    ]


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_clusters_are_connected_components(count: int, edges: list[tuple[int, int]]) -> None:
    made = Clusters(np.arange(count))
    groups = [{i} for i in range(count)]
    for one, other in edges:
        if max(one, other) < count:
            made.join(one, other)
            merged = groups[one] | groups[other]
            for i in merged:
                groups[i] = merged
    assert made.roots.tolist() == [min(group) for group in groups]
    assert made.several(range(count)) == (len(groups[0]) < count)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France, and why?", "en"), ("Wie geht es dir heute?", "de"), ("ok", "und"),
        ("今日はとても暑いですね", "ja"), ("for i in range(10): print(i)", "und"), ("", "und"), ("\ud800", "und"),
    ],
)  # fmt: skip
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language
