"""curator: people label a few hundred pairs, judges label the rest, and it says how often the judges may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from curator.api import label as label

__all__ = ["__version__", "label"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Importing curator must stay cheap; `curator.label` brings DuckDB and Arrow with it when it is first used.
    if name == "label":
        from curator.api import label

        return label
    raise AttributeError(f"module 'curator' has no attribute {name!r}")
