"""Judgments are written beside the asking, and all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curator.errors import StoreError
from curator.pair import JudgeInfo, Judgment, Message, Order, Pair
from curator.steps import recorder as module
from curator.steps.recorder import Cost, Recorder
from curator.store import Store, open_store
from curator.store.judgments import add_judge, find_pending
from curator.store.pairs import replace_input

JUDGE = JudgeInfo("j", "sglang", {})
COUNT = 2_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "s.duckdb") as opened:
        replace_input(opened, [("pool", [Pair((Message("user", "p"),), f"a{i}", f"b{i}") for i in range(COUNT)])])
        add_judge(opened, JUDGE)
        yield opened


def judgments(store: Store) -> list[Judgment]:
    ids = [row[0] for row in store.rows("SELECT pair_id FROM pair ORDER BY pair_id")]
    return [Judgment(pair_id, Order.AB, -0.1, -2.0, 0.9, prompt_tokens=10, cached_tokens=4) for pair_id in ids]


def test_what_comes_in_during_a_write_goes_into_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    add = module.add_judgments
    monkeypatch.setattr(module, "add_judgments", lambda s, j, lot: (writes.append(len(lot)), add(s, j, lot)))
    all_ = judgments(store)

    async def run() -> None:
        async with Recorder(store, JUDGE.judge_id) as recorder:
            for start in range(0, COUNT, 10):
                await recorder.add(all_[start : start + 10])
                await asyncio.sleep(0.0005)

    asyncio.run(run())
    assert sum(writes) == COUNT
    assert len(writes) < COUNT / 10 / 2, "not one write a request"
    assert find_pending(store, JUDGE.judge_id).cached == COUNT


def test_what_a_crash_would_lose_is_bounded_however_slow_the_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, 40 requests of answers waited for the first write, and the pause after it was four times as long."""
    taken, written, most = 0, 0, 0
    add = module.add_judgments

    def slow(store: Store, judge_id: str, lot: list[Judgment]) -> None:
        nonlocal written
        time.sleep(0.05)
        add(store, judge_id, lot)
        written += len(lot)

    monkeypatch.setattr(module, "add_judgments", slow)
    all_ = judgments(store)

    async def run() -> None:
        nonlocal taken, most
        async with Recorder(store, JUDGE.judge_id) as recorder:
            for start in range(0, COUNT, 10):
                taken += 10
                most = max(most, taken - written)
                await recorder.add(all_[start : start + 10])
                await asyncio.sleep(0.001)

    asyncio.run(run())
    assert 10 * module.MOST_WAITING < most <= 10 * 2 * module.MOST_WAITING
    assert written == COUNT


def test_everything_is_written_when_asking_fails_or_is_stopped_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    all_ = judgments(store)

    async def ask() -> None:
        async with Recorder(store, JUDGE.judge_id) as recorder:
            for start in range(0, COUNT, 500):
                await recorder.add(all_[start : start + 500])
                await asyncio.sleep(0)
            raise OSError("no server")

    with pytest.raises(OSError, match="no server"):
        asyncio.run(ask())
    assert find_pending(store, JUDGE.judge_id).cached == COUNT
    store.rows("DELETE FROM judgment")

    async def stopped() -> None:
        async def add() -> None:
            async with Recorder(store, JUDGE.judge_id) as recorder:
                await recorder.add(all_[:1000])
                await recorder.add(all_[1000:])
                await asyncio.sleep(60)

        task = asyncio.create_task(add())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    stored = find_pending(store, JUDGE.judge_id).cached
    assert stored in {1000, COUNT}, "what was taken is written"


def test_a_failed_write_ends_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(module, "add_judgments", fail)
    all_ = judgments(store)

    async def run() -> None:
        async with Recorder(store, JUDGE.judge_id) as recorder:
            for start in range(0, COUNT, 10):
                await recorder.add(all_[start : start + 10])
                await asyncio.sleep(0.001)

    with pytest.raises(StoreError, match="disk is full"):
        asyncio.run(run())


def test_the_remark_says_what_it_costs() -> None:
    cost = Cost(start=0.0)
    cost.add([Judgment("p", Order.AB, -0.1, -2.0, 0.9, prompt_tokens=300, cached_tokens=210)] * 4)
    cost.add([Judgment("p", Order.AB, failed="no")])
    assert (cost.judgments, cost.failed, cost.tokens, cost.cached) == (5, 1, 1200, 840)
    assert "70% cached" in cost.remark()
    assert "1 failed" in cost.remark()
