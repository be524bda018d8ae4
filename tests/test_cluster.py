"""Shards of a cluster judge, without a cluster: what is written, read again, taken over and never sent."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from curator.errors import JudgeError
from curator.judges import cluster
from curator.judges.cluster import ClusterJudge
from curator.judges.sglang import SGLangJudge
from curator.pair import Judgment, Order
from curator.recipes import load_template
from tests.test_sglang_judge import questions

MAKE = partial(SGLangJudge, template=load_template("chat"))


def judged(count: int) -> list[Judgment]:
    return [
        Judgment(f"p{i}", order, -0.1 * i, -2.0, 0.9, prompt_tokens=100 + i, cached_tokens=3, seconds=0.1)
        for i in range(count)
        for order in Order
    ]


def test_questions_and_judgments_come_back_as_they_went(tmp_path: Path) -> None:
    asked = questions(600)
    assert cluster._write_questions(tmp_path, iter(asked)) == 5
    found = [question for number in range(5) for question in cluster._read_questions(tmp_path, number)]
    assert found == asked
    third = Judgment("p7", Order.AB, -1.0, -2.0, 0.9, logprob_tie=-1.5)
    replies = [
        *judged(3),
        third,
        Judgment("p9", Order.BA, failed="HTTP 400: \x1b[31m"),
        Judgment("p8", Order.AB, note="cut"),
    ]
    cluster._write_judgments(cluster._shard(tmp_path, 0), replies, "j" * 32)
    assert cluster._read_judgments(cluster._shard(tmp_path, 0)) == replies


def test_left_over_shards_answer_what_is_asked_again(tmp_path: Path) -> None:
    """Good judgments of the same judge are used; failures, other judges and broken files are not."""
    for name, judge, replies in (
        ("one", "same", [*judged(2), Judgment("p5", Order.AB, failed="gone")]),
        ("two", "other", judged(9)),
    ):
        cluster._write_judgments(cluster._shard(tmp_path / name, 0), replies, judge)
    broken = cluster._shard(tmp_path / "three", 0)
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"PAR1 half")
    left, runs = cluster._left_over(tmp_path, "same")
    assert runs == [tmp_path / "one"]
    found: list[Judgment] = []
    open_ = list(cluster._unanswered(questions(6), left, found))
    assert found == judged(2)
    assert [question.pair_id for question in open_] == ["p2", "p2", "p3", "p3", "p4", "p4", "p5", "p5"]


def test_credentials_are_not_sent_through_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="SGLANG_API_KEY") as raised:
        ClusterJudge(["http://me:pa55word@127.0.0.1:1"], MAKE, "auto", tmp_path)
    assert "pa55word" not in str(raised.value)


def test_no_cluster_at_that_address(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(JudgeError, match="no Ray cluster at 'nonsense'"):
        asyncio.run(asyncio.to_thread(cluster._connect, "nonsense"))
