"""Writes what the latest decisions came to in the forms that trainers read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from curator.exports.base import Facts
from curator.exports.card import PICTURE, dataset_card
from curator.exports.header import About
from curator.exports.registry import EXPORTS, RANKING
from curator.exports.writing import write_export
from curator.options import LabelOptions, Wanted
from curator.softening import Softening
from curator.steps.ranking import export_ranking
from curator.steps.reporting import risk_picture
from curator.steps.results import Result
from curator.steps.softening import latest_label_smoothing, latest_softening
from curator.store import Store
from curator.store.dataset import UNKNOWN_STRENGTH, dataset, examples

_ALL = Wanted()


def export_all(store: Store, result: Result, options: LabelOptions) -> None:
    """Write the data set and the other exports that are wanted; the result says what came out."""
    result["exports"] = []
    picture, softening = risk_picture(store, result), latest_softening(store)
    for wanted in (_ALL, *options.exports):
        name = f"exports/{wanted.to}" if result["exports"] else "dataset"
        made = _export(store, result, options.out / name, wanted, None, picture, softening)
        result["exports"].append({"folder": name, **made})
    result["dataset"] = result["exports"][0]["rows"]


def export_dataset(
    store: Store, result: Result, folder: Path, wanted: Wanted = _ALL, about: About | None = None
) -> Result:
    """Write an export, its card with the picture on it, and its trainer's configuration: a whole folder or none.

    Args:
        about: what the owner says of the data.

    Returns:
        One of `exports` in `schemas/run.schema.json`, but for its folder.
    """
    return _export(store, result, folder, wanted, about, risk_picture(store, result), latest_softening(store))


def _export(
    store: Store,
    result: Result,
    folder: Path,
    wanted: Wanted,
    about: About | None,
    picture: tuple[bytes, str] | None,
    softening: Softening,
) -> Result:
    """Write one export. Picture and slope are those of the decision, whatever is exported."""
    if wanted.to == RANKING:
        return export_ranking(store, folder, wanted)

    def facts(rows: Mapping[str, int]) -> Facts:
        return Facts(*latest_label_smoothing(store, result, rows))

    found = examples(store, wanted, softening)
    by = list(found.chosen)
    if softening.reason is not None and UNKNOWN_STRENGTH in found.left_out:
        by.append(f"the judge's labels have no p_target, and with it no strength: {softening.reason}")
    selection = {"of": found.every * EXPORTS[wanted.to].copies, "by": by} if by else None
    result = {**result, "selection": selection}
    written = write_export(
        folder, EXPORTS[wanted.to], dataset(store, found, wanted.test), wanted, facts,
        lambda contents: dataset_card(result, contents, about, picture and picture[1]),
        tools=found.tools, rationale=found.rationale, beside={PICTURE: picture[0]} if picture else {},
    )  # fmt: skip
    return {
        "to": wanted.to, "rows": written.sources, "splits": written.splits,
        "left_out": {**found.left_out, **written.left_out}, "selection": selection,
    }  # fmt: skip
