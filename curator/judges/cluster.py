"""Judges on a Ray cluster: questions go out as Parquet files, judgments come back as Parquet shards.

The driver stays the one that writes the store. Both kinds of files lie in one folder that every node sees. A worker
that dies loses the questions it was busy with, which Ray gives to another; a driver that dies finds the shards again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from curator import __version__
from curator.errors import CuratorError, JudgeError
from curator.files import whole_file
from curator.judges.sglang import SGLangJudge
from curator.pair import JudgeInfo, Judgment, Order
from curator.prompts import Question, prompt_from_json, prompt_json

SHARD, SMALL_SHARDS, LARGE_SHARD = 256, 256, 2_048
"""Questions a file: what a worker that dies loses at the most. After so many files they become larger, since the work
of a cluster with its books is a matter of files."""

WORKERS = 2
"""Workers a server: while one waits for the last answers of its file, another begins the next."""

FEW = 64
"""Questions that the driver asks itself: for fewer, or for the built-in ones, no cluster need be set in motion."""

LOOK_SECONDS = 0.5
"""How often the driver looks whether the user wants to stop."""

MakeJudge = Callable[[Sequence[str]], SGLangJudge]


class ClusterJudge:
    """A judge whose servers are asked from the nodes of a Ray cluster, each from the node it runs on.

    Args:
        urls: the servers, as the driver and the nodes reach them.
        make: makes the judge of some of them. It goes to the workers, which need the same curator installed, and
            SGLANG_API_KEY in their own environment: no secret is sent.
        address: of the cluster, as `ray.init` takes it.
        folder: on a file system that all nodes see.
    """

    def __init__(self, urls: Sequence[str], make: MakeJudge, address: str, folder: Path) -> None:
        self._urls, self._make, self._address = list(urls), make, address
        self._judge = make(urls)
        self._folder = folder.absolute()
        self._run = self._folder / uuid4().hex
        self._done: list[Path] = []
        if any("@" in urlsplit(url).netloc for url in urls):
            raise JudgeError("credentials in a URL would be sent through the cluster: put a key in SGLANG_API_KEY")

    @property
    def info(self) -> JudgeInfo:
        return self._judge.info

    async def __aenter__(self) -> Self:
        # Said in one place whether the servers are there and are one judge; the workers then compare themselves to it.
        await self._judge.__aenter__()
        try:
            await asyncio.to_thread(_connect, self._address)
        except BaseException:
            await self._judge.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        import ray

        await self._judge.__aexit__(kind, error, at)
        await asyncio.to_thread(ray.shutdown)
        if kind is None:  # everything that came back is stored
            for run in self._done:
                shutil.rmtree(run, ignore_errors=True)
            if self._folder.is_dir() and not any(self._folder.iterdir()):
                self._folder.rmdir()

    async def judge(
        self, questions: Iterable[Question], stopping: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[list[Judgment]]:
        left, taken = await asyncio.to_thread(_left_over, self._folder, self.info.judge_id)
        self._done += taken
        found: list[Judgment] = []
        source = _unanswered(questions, left, found)
        few = await asyncio.to_thread(lambda: list(islice(source, FEW)))
        if len(few) < FEW:
            yield found
            async for judgments in self._judge.judge(few, stopping):
                yield judgments
            return
        self._done.append(self._run)
        count = await asyncio.to_thread(_write_questions, self._run, chain(few, source))
        yield found
        shards = self._shards(count)
        while path := await self._finished(shards, stopping):
            yield await asyncio.to_thread(_read_judgments, path)

    async def _finished(self, shards: Iterator[Path], stopping: Callable[[], bool]) -> Path | None:
        """The next finished shard; meanwhile the workers are told when the user wants to stop."""
        waiting = asyncio.ensure_future(asyncio.to_thread(_next, shards))
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=LOOK_SECONDS)
            if stopping():
                self._run.mkdir(parents=True, exist_ok=True)
                (self._run / "stop").touch()
        return waiting.result()

    def _shards(self, count: int) -> Iterator[Path]:
        """Paths of the shards as they are finished."""
        if not count:
            return
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current()
        context.enable_progress_bars = context.verbose_progress = False
        context.execution_options.preserve_order = False
        places = _places(self._urls)
        shards = ray.data.range(count, override_num_blocks=count).map_batches(
            Worker,
            batch_size=1,
            batch_format="numpy",
            compute=ActorPoolStrategy(min_size=1, max_size=WORKERS * len(self._urls), max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            fn_constructor_args=(self._make, self._urls, self.info.judge_id, __version__, str(self._run)),
            # Workers are spread over the nodes that have servers; over all, where the servers are on none of them.
            label_selector={"ray.io/node-id": f"in({','.join(places)})"} if places else None,
        )
        for row in shards.iter_rows():
            if row["asked"]:
                yield _shard(self._run, int(row["number"]))


class Worker:
    """Answers files of questions, on a node of the cluster."""

    def __init__(self, make: MakeJudge, urls: Sequence[str], judge_id: str, version: str, run: str) -> None:
        if version != __version__:
            raise JudgeError(f"node {socket.gethostname()} has curator {__version__}, the driver has {version}")
        self._run = Path(run)
        self._loop = asyncio.new_event_loop()
        judge = make(_near(urls))
        self._judge = self._loop.run_until_complete(judge.__aenter__())
        if self._judge.info.judge_id != judge_id:
            seen = dict(self._judge.info.settings)
            raise JudgeError(f"seen from node {socket.gethostname()}, the servers are another judge: {seen}")
        self._judge_id = judge_id

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        (number,) = batch["id"]
        if (self._run / "stop").exists():
            return {"number": [number], "asked": [0]}
        judgments = self._loop.run_until_complete(self._ask(_read_questions(self._run, int(number))))
        _write_judgments(_shard(self._run, int(number)), judgments, self._judge_id)
        return {"number": [number], "asked": [len(judgments)]}

    async def _ask(self, questions: list[Question]) -> list[Judgment]:
        return [judgment async for lot in self._judge.judge(questions) for judgment in lot]


def _connect(address: str) -> None:
    try:
        import ray
    except ImportError:
        raise JudgeError("--ray needs Ray: pip install 'preference-curator[ray]'") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise JudgeError(f"no Ray cluster at {address!r}: {reason}") from None


def _next(rows: Iterator[Path]) -> Path | None:
    from ray.exceptions import RayError, RayTaskError

    try:
        return next(rows, None)
    except RayTaskError as error:
        if isinstance(error.cause, CuratorError):
            raise error.cause from None
        raise JudgeError(f"a worker of the cluster failed: {_last_line(error)}") from None
    except RayError as error:
        raise JudgeError(f"the cluster failed: {_last_line(error)}") from None


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _host(url: str) -> str:
    try:
        return socket.gethostbyname(urlsplit(url).hostname or "")
    except OSError:
        return ""


def _near(urls: Sequence[str]) -> list[str]:
    """The servers on this node; all of them where there is none."""
    import ray

    here = {ray.util.get_node_ip_address(), "127.0.0.1"}
    return [url for url in urls if _host(url) in here] or list(urls)


def _places(urls: Sequence[str]) -> list[str]:
    """Ids of the nodes that servers run on."""
    import ray

    hosts = {_host(url) for url in urls}
    return [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeManagerAddress"] in hosts]


_QUESTION = pa.schema([(name, pa.string()) for name in ("pair_id", "pair_order", "conversation", "first", "second")])


def _write_questions(run: Path, questions: Iterator[Question]) -> int:
    """Write questions as numbered files; returns how many files."""
    count = 0
    while lot := list(islice(questions, SHARD if count < SMALL_SHARDS else LARGE_SHARD)):
        columns = [
            [question.pair_id for question in lot],
            [question.order.value for question in lot],
            [prompt_json(question.conversation) for question in lot],
            [question.first for question in lot],
            [question.second for question in lot],
        ]
        with whole_file(run / "questions" / f"{count:06d}.parquet") as aside:
            pq.write_table(pa.table(columns, schema=_QUESTION), aside, compression="zstd")
        count += 1
    return count


def _read_questions(run: Path, number: int) -> list[Question]:
    rows = pq.read_table(run / "questions" / f"{number:06d}.parquet").to_pylist()
    return [
        Question(
            row["pair_id"], Order(row["pair_order"]), prompt_from_json(row["conversation"]), row["first"], row["second"]
        )
        for row in rows
    ]


_NAMES = [field.name for field in fields(Judgment)]
_FLOATS, _INTEGERS = (
    {"logprob_a", "logprob_b", "logprob_tie", "label_mass", "seconds"},
    {"prompt_tokens", "cached_tokens"},
)
_JUDGMENT = pa.schema(
    [
        (name, pa.float64() if name in _FLOATS else pa.int32() if name in _INTEGERS else pa.string())
        for name in _NAMES
    ]
)  # fmt: skip


def _shard(run: Path, number: int) -> Path:
    return run / "judgments" / f"{number:06d}.parquet"


def _write_judgments(path: Path, judgments: Sequence[Judgment], judge_id: str) -> None:
    table = pa.Table.from_pylist([asdict(judgment) for judgment in judgments], schema=_JUDGMENT)
    with whole_file(path) as aside:
        pq.write_table(table.replace_schema_metadata({"judge_id": judge_id}), aside)


def _read_judgments(path: Path) -> list[Judgment]:
    return [Judgment(**{**row, "order": Order(row["order"])}) for row in pq.read_table(path).to_pylist()]


def _left_over(folder: Path, judge_id: str) -> tuple[dict[tuple[str, Order], Judgment], list[Path]]:
    """Good judgments of this judge in shards that earlier runs did not come to store, and the folders of those runs."""
    found, runs = {}, set()
    for path in sorted(folder.glob("*/judgments/*.parquet")):
        try:
            metadata = pq.read_schema(path).metadata or {}
        except (pa.ArrowInvalid, OSError):
            continue  # no shard of ours
        if metadata.get(b"judge_id") == judge_id.encode():
            found.update({(j.pair_id, j.order): j for j in _read_judgments(path) if j.failed is None})
            runs.add(path.parents[1])
    return found, sorted(runs)


def _unanswered(
    questions: Iterable[Question], left: dict[tuple[str, Order], Judgment], found: list[Judgment]
) -> Iterator[Question]:
    """Questions that no shard answers; the answers of the others are put into `found`."""
    for question in questions:
        known = left.get((question.pair_id, question.order))
        if known is None:
            yield question
        else:
            found.append(known)
