"""Work among servers: each as much as it bears, whole prompts together, nothing lost when one goes and comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import JudgeError, JudgeUnreachable
from curator.judges import serving
from curator.judges.ahead import RUN_PROMPTS, RUN_QUESTIONS, in_runs
from curator.judges.serving import MOST_IN_FLIGHT, START_IN_FLIGHT, Window
from curator.pair import Message, Order
from curator.prompts import Question
from tests.fake_sglang import FakeSGLang
from tests.test_sglang_judge import ask, assert_right, client, questions


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SGLANG_API_KEY", raising=False)


def of_prompt(name: str, count: int) -> list[Question]:
    return [Question(f"{name}-{i}", Order.AB, (Message("user", name),), "x", "y") for i in range(count)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40) | st.integers(500, 600), max_size=12), st.integers(1, 16))
def test_runs_hold_whole_conversations_dealt_out(sizes: list[int], size: int) -> None:
    asked = [question for i, count in enumerate(sizes) for question in of_prompt(f"p{i}", count)]
    runs = list(in_runs(asked, size))
    assert sorted(q.pair_id for run in runs for q in run) == sorted(q.pair_id for q in asked)
    for number, run in enumerate(runs):
        names = [question.conversation for question in run]
        assert len(run) <= max(RUN_QUESTIONS, size)
        assert len(set(names)) <= RUN_PROMPTS
        # Turn by turn: nobody has a second turn before all have had a first.
        turn: dict[object, int] = {}
        turns = [turn.setdefault(name, 0) for name in names if turn.update({name: turn.get(name, -1) + 1}) is None]
        assert turns == sorted(turns)
        for name in set(names):
            whole = [question for question in asked if question.conversation == name]
            mine = [question for question in run if question.conversation == name]
            assert mine == whole or (len(whole) > RUN_QUESTIONS and mine[0] in whole)
        assert number != 0 or len(set(names)) <= max(1, size), "the first run is short"


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(serving.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def serve(window: Window, clock: Clock, slots: int, requests: int, seconds: float = 1.0) -> None:
    """A server that takes `seconds` for a request and serves so many at a time, always asked as much as allowed."""
    for _ in range(requests):
        clock.now += seconds / min(window.limit, slots)
        window.answered(16, window.limit)


@pytest.mark.parametrize(("slots", "least", "most"), [(1, 4, 8), (4, 4, 8), (32, 32, 64), (10_000, 64, 64)])
def test_the_window_grows_as_far_as_the_server_gains(clock: Clock, slots: int, least: int, most: int) -> None:
    window = Window()
    assert window.limit == START_IN_FLIGHT
    serve(window, clock, slots, 4_000)
    assert least <= window.limit <= most <= MOST_IN_FLIGHT


def test_the_window_follows_a_server_that_becomes_larger_and_smaller(clock: Clock) -> None:
    window = Window()
    serve(window, clock, 4, 1_000)
    assert window.limit <= 8
    serve(window, clock, 64, 10_000)
    assert window.limit >= 32
    for _ in range(3):
        window.crowded()
    assert window.limit <= 8


def test_a_server_that_waits_for_prompts_says_nothing_about_the_window(clock: Clock) -> None:
    window = Window()
    for _ in range(1_000):
        clock.now += 1.0
        window.answered(16, 1)
    assert window.limit == START_IN_FLIGHT


def test_a_fixed_window_stays(clock: Clock) -> None:
    window = Window(3)
    serve(window, clock, 64, 1_000)
    window.crowded()
    assert window.limit == 3


def test_more_is_sent_to_a_server_that_bears_more() -> None:
    with FakeSGLang(delay=0.02, at_once=32) as wide, FakeSGLang(delay=0.02, at_once=1) as narrow:
        asked = questions(1_200)
        assert_right(ask(client(wide, narrow, in_flight=None), asked), asked)
        assert wide.most_at_once >= 8
        assert wide.prompts > 3 * narrow.prompts > 0


def test_all_questions_about_a_prompt_go_to_one_server() -> None:
    """Its prefix cache serves all but the first; only at the very end one server helps out another."""
    seen: list[dict[str, set[int]]] = [{}, {}]

    def watch(server: int) -> Callable[[str], str | None]:
        def look(text: str) -> None:
            name = text.partition("topic ")[2].split("\n")[0]
            seen[server].setdefault(name, set()).add(hash(text))

        return look

    asked = []
    for i in range(400):
        conversation = (Message("user", f"topic {i}"),)
        for k in range(1 + i % 7):
            a, b = f"quality {k}.5", f"another, quality {k}"
            asked += [Question(f"p{i}-{k}", Order.AB, conversation, a, b)]
            asked += [Question(f"p{i}-{k}", Order.BA, conversation, b, a)]
    with FakeSGLang(delay=0.01) as one, FakeSGLang(delay=0.003) as other:
        one.poison, other.poison = watch(0), watch(1)
        replies = ask(client(one, other, batch=4), asked)
    assert len(replies) == len(asked)
    assert all(seen)
    assert len(set(seen[0]) | set(seen[1])) == 400
    assert len(set(seen[0]) & set(seen[1])) < 60


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "FIRST_PAUSE", 0.05)


@contextmanager
def restarted(
    server: FakeSGLang, after: int, seconds: float, *, model: str = "org/fake-judge"
) -> Iterator[list[FakeSGLang]]:
    """A server that dies once it has got `after` prompts, and comes back at its address some seconds later."""
    back: list[FakeSGLang] = []
    over = threading.Event()

    def restart() -> None:
        while server.prompts < after:
            time.sleep(0.005)
        server.die()
        time.sleep(seconds)
        with FakeSGLang(port=server.port, model=model, delay=0.01) as again:
            back.append(again)
            over.wait(20)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield back
    finally:
        over.set()
        thread.join()


def test_a_server_that_comes_back_is_asked_again(quick: None) -> None:
    """The only server, so that nothing but its return can finish the run."""
    asked = questions(100)
    with FakeSGLang(delay=0.01) as server, restarted(server, 40, 0.5) as back:
        assert_right(ask(client(server, retry_seconds=20), asked), asked)
    assert back[0].prompts > 0
    assert server.prompts + back[0].prompts <= 200 + 2 * 4  # no more than was in flight is asked twice


def test_while_one_server_is_away_the_other_does_its_work(quick: None) -> None:
    asked = questions(600)
    with FakeSGLang(delay=0.02) as steady, FakeSGLang(delay=0.01) as leaving, restarted(leaving, 20, 0.2) as back:
        assert_right(ask(client(steady, leaving, retry_seconds=20), asked), asked)
    assert back[0].prompts > 0, "it is given work again"


def test_another_model_in_its_place_is_refused(quick: None) -> None:
    with (
        FakeSGLang(delay=0.01) as server,
        restarted(server, 20, 0.1, model="org/another"),
        pytest.raises(JudgeError, match=r"came back and serves .*org/another.* another judge"),
    ):
        ask(client(server, retry_seconds=20), questions(100))


def test_a_run_does_not_wait_for_a_server_that_is_away(quick: None) -> None:
    """What it had is done by the other; that it stays away is nobody's concern then."""
    with FakeSGLang(delay=0.02) as steady, FakeSGLang(delay=0.005) as leaving:
        leaving.poison = lambda text: "die" if leaving.requests > 2 else None
        asked = questions(60)
        start = time.monotonic()
        assert_right(ask(client(steady, leaving, retry_seconds=60), asked), asked)
        assert time.monotonic() - start < 10


def test_cancelling_while_a_server_is_away_ends_at_once(quick: None) -> None:
    async def gather() -> None:
        async with client(server, retry_seconds=60) as judge:
            async for _ in judge.judge(questions(100)):
                server.die()

    with FakeSGLang(delay=0.01) as server:

        async def cancelled() -> None:
            task = asyncio.create_task(gather())
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(asyncio.wait_for(cancelled(), 5))


def test_what_a_busy_server_gives_up_is_answered_once(quick: None) -> None:
    """It is asked in vain until it is given up; what it had is asked of the others, and of each but once."""
    with FakeSGLang(delay=0.002) as fast, FakeSGLang(delay=0.05) as slow, FakeSGLang() as full:
        full.poison = lambda text: "429"
        asked = questions(1_500)
        assert_right(ask(client(fast, slow, full, retry_seconds=0.3), asked), asked)


def test_a_request_that_fells_every_server_does_not_go_round_for_ever(quick: None) -> None:
    with FakeSGLang() as one, FakeSGLang() as other:
        one.poison = other.poison = lambda text: "reset" if "POISON" in text else None
        start = time.monotonic()
        with pytest.raises(JudgeUnreachable):
            ask(client(one, other, retry_seconds=0.5), questions(200, poison=[50]))
        assert time.monotonic() - start < 10


def test_a_server_that_is_not_quite_back_yet_is_no_other_judge(quick: None) -> None:
    """While it starts it may answer for itself, or a proxy for it, with anything but its settings."""
    asked = questions(60)
    with FakeSGLang(delay=0.01) as server:
        server.poison = lambda text: "reset" if server.requests == 6 else None
        pages = dict(server.pages)

        def start() -> None:
            while server.requests < 6:
                time.sleep(0.002)
            for odd in ({"/server_info": 503}, {"/model_info": {"status": "loading"}}, {"/model_info": 403}):
                server.pages = {**pages, **odd}
                time.sleep(0.15)
            server.pages = pages

        thread = threading.Thread(target=start)
        thread.start()
        assert_right(ask(client(server, in_flight=1, retry_seconds=20), asked), asked)
        thread.join()


def test_wanting_to_stop_is_noticed_while_no_server_answers(quick: None) -> None:
    stop = threading.Event()

    async def gather() -> int:
        count = 0
        async with client(server, retry_seconds=60) as judge:
            async for replies in judge.judge(questions(400), stop.is_set):
                count += len(replies)
                if not server.gone:
                    server.die()
                    asyncio.get_running_loop().call_later(0.5, stop.set)
        return count

    with FakeSGLang(delay=0.01) as server:
        start = time.monotonic()
        assert 0 < asyncio.run(asyncio.wait_for(gather(), 20)) < 400
        assert time.monotonic() - start < 5


def test_a_caller_that_is_slow_slows_the_servers_down() -> None:
    """Answers that nobody has taken are lost when the process dies: there are not many of them."""

    async def first() -> int:
        async with client(server) as judge:
            stream = judge.judge(questions(5_000))
            await anext(aiter(stream))
            await asyncio.sleep(2)
            prompts = server.prompts
            await stream.aclose()  # type: ignore[attr-defined]
        return prompts

    with FakeSGLang() as server:
        assert asyncio.run(first()) <= 4 * (serving.MOST_UNSEEN + 8)
