"""The soak of `python -m tests.survival soak`, for a moment, and what it would say of a run that does not survive."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.survival.soak import HARMLESS, Look, soak, trends

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.mark.survival
def test_a_minute_of_it(tmp_path: Path) -> None:
    """Memory has not settled in that time, so that only what must hold in any time is asked for."""
    result = soak(tmp_path, 0.5, 4_000)
    print(f"\n{result.summary()}")
    assert [what for what in result.objections() if "grow" not in what] == []
    assert result.stored["judgments"] > 500
    assert sum(result.told["faults"].values()) > 0
    assert set(result.told["faults"]) - HARMLESS


def test_what_it_objects_to() -> None:
    flat = [Look(10.0 * i, 500.0 + i % 3, 400.0, 300.0, 20 + i % 2, 12, 1.0 * i, 100 * i) for i in range(60)]
    assert [(one.name, one.flat) for one in trends(flat)] == [
        ("resident", True), ("own", True), ("files", True), ("threads", True),
    ]  # fmt: skip
    leaking = [replace(one, own=400.0 + 1.0 * i, files=20 + i) for i, one in enumerate(flat)]
    assert {one.name: round(one.gain) for one in trends(leaking) if not one.flat} == {"own": 29, "files": 29}
