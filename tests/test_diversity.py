"""Topics of texts."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from curator.diversity import MOST_TOPICS, _counted, find_topics

ABOUT = [[f"{subject}{i}" for i in range(30)] for subject in ("cook", "sail", "prove", "paint", "plant")]


def about(subject: int, count: int, seed: int = 0) -> list[str]:
    """Texts of twelve words, nine of which are of the subject."""
    random = np.random.default_rng([seed, subject])
    common = [f"common{i}" for i in range(40)]
    return [" ".join([*random.choice(ABOUT[subject], 9), *random.choice(common, 3)]) for _ in range(count)]


def counts(text: str) -> list[int]:
    """How often each different word is in a text, in order."""
    return sorted(np.exp(_counted(["before", text, "after"])[1].data - 1).round().astype(int).tolist())


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("Salt, rice! salt", [1, 2]),
        ("", []),
        ("... \t\n", []),
        ("x", [1]),
        ("“rice”—salt", [1, 1, 1, 1, 1]),
        ("日本の本", [1, 1, 2]),
        ("日本 and 本 and 🙂", [1, 1, 2, 2]),
        ("Été été ÉTÉ e", [1, 3]),
        ("\0null\0null", [2]),
    ],
)
def test_words_are_counted_whatever_they_are_written_in(text: str, times: list[int]) -> None:
    assert counts(text) == times


def test_a_word_counts_the_same_wherever_it_stands() -> None:
    texts = ["rice", "some rice", "x " * 500 + "rice", "Rice."]
    (first,) = _counted(texts)[0].indices
    assert all(first in _counted(texts)[i].indices for i in range(4))
    assert first not in _counted(["ric", "ricee", "ecir"]).indices


def test_texts_of_a_subject_share_topics_and_subjects_do_not() -> None:
    texts = [text for subject in range(5) for text in about(subject, 80)]
    topics = find_topics(texts, seed=3)
    assert len(topics.centres) == round(math.sqrt(400))
    found = topics.nearest([text for subject in range(5) for text in about(subject, 50, seed=1)])
    subjects = np.repeat(range(5), 50)
    most = sum(Counter(subjects[found == topic]).most_common(1)[0][1] for topic in np.unique(found))
    assert most / 250 > 0.75, "nearly every text is in a topic of its own subject; by chance it would be one in five"


def test_texts_and_seed_decide_everything_also_in_another_process() -> None:
    texts = [text for subject in range(5) for text in about(subject, 30)]
    code = f"from curator.diversity import find_topics\nt = {texts!r}\nprint(find_topics(t, 5).nearest(t).tolist())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.strip() == str(find_topics(texts, 5).nearest(texts).tolist())
    assert find_topics(texts, 6).nearest(texts).tolist() != find_topics(texts, 5).nearest(texts).tolist()


def test_there_are_never_more_topics_than_different_texts() -> None:
    assert len(find_topics([], 1).centres) == 1
    assert find_topics([], 1).nearest(["a", ""]).tolist() == [0, 0]
    assert find_topics(["a"] * 100, 1).nearest(["a", "b"]).tolist() == [0, 0]
    two = find_topics(["a b c", "x y z"] * 50, 1)
    assert len(two.centres) == 2
    assert Counter(two.nearest(["a b c", "x y z", "a b c"]).tolist()).most_common(1)[0][1] == 2
    many = [f"w{i % 70} v{i % 70}" for i in range(MOST_TOPICS**2 + 200)]
    assert len(find_topics(many, 1).centres) == MOST_TOPICS


def test_a_word_of_one_text_alone_tells_nothing() -> None:
    texts = [f"number {i} {'salt rice' if i % 9 else 'wind sail'}" for i in range(90)]
    found = find_topics(texts, 1).nearest(texts)
    assert len(set(found[::9])) == 1
    assert found[0] not in [one for i, one in enumerate(found) if i % 9]
