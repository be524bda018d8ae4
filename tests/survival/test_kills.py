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


def test_every_step_of_writing_a_data_set_over_another() -> None:
    with trials("export") as stage:
        seen = ("os.rename", "os.remove", "os.rmdir", "curator.exchange")
        steps = [point for point, what in enumerate(stage.points) if what.startswith(seen)]
        assert any("exchange" in stage.points[point] for point in steps)
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
        for point in (*range(4, len(stage.points), 40), report):
            stage.at(point)
        settled(stage, 3)


@pytest.mark.survival
@pytest.mark.parametrize(
    ("name", "every"),
    [("again", 12), ("import", 3), ("queue", 2), ("calibrate", 5), ("rationale", 12), ("sources", 20), ("hygiene", 9)],
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
