"""Killed anywhere, the same command again: nothing is lost, nothing half written is seen, and the end is the same."""

from __future__ import annotations

import random

import pytest

from tests.survival import kills
from tests.survival.kills import MOST_TWICE, Trials, trials


def settled(stage: Trials, least: int) -> None:
    """So many kills at least, and nothing wrong after any of them."""
    assert stage.tally.wrong == []
    assert stage.tally.kills >= least, "runs that were over before they could be killed show nothing"
    assert all(0 <= twice <= MOST_TWICE for twice in stage.tally.asked_twice)


@pytest.mark.parametrize(
    "seen",
    [("os.rename", "curator.exchange"), pytest.param(("os.remove", "os.rmdir"), marks=pytest.mark.survival)],
    ids=["into its place", "what was there is removed"],
)
def test_every_step_of_writing_a_data_set_over_another(seen: tuple[str, ...]) -> None:
    with trials("export") as stage:
        steps = [point for point, what in enumerate(stage.points) if what.startswith(seen)]
        assert any("exchange" in what for what in stage.points)
        for point in steps:
            stage.at(point)
        settled(stage, len(steps))


def test_before_and_after_the_first_judgments_are_stored() -> None:
    with trials("served") as stage:
        first = next(point for point, what in enumerate(stage.points) if "INTO judgment" in what)
        for point in (first, first + 1):
            stage.at(point)
        settled(stage, 2)


def test_a_run_that_replaces_all_that_another_left() -> None:
    with trials("again") as stage:
        # Where the run is in the store, and its report not in its place yet, it is not to count as the one before.
        report = next(point for point, what in enumerate(stage.points) if what.endswith("/report.html"))
        for point in (len(stage.points) // 2, report):
            stage.at(point)
        settled(stage, 2)


@pytest.mark.survival
@pytest.mark.parametrize(
    ("name", "every"),
    [("import", 6), ("queue", 6), ("calibrate", 20), ("rationale", 50), ("sources", 40), ("hygiene", 6)],
)
def test_other_stages(name: str, every: int) -> None:
    with trials(name) as stage:
        for point in range(0, len(stage.points), every):
            stage.at(point)
        settled(stage, len(range(0, len(stage.points), every)))


@pytest.mark.survival
def test_people_label_while_it_is_killed() -> None:
    tally = kills.review(5, random.Random(3))
    assert tally.wrong == []
    assert tally.runs > 0, "answers came in"
