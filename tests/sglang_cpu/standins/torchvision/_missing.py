"""A module's `__getattr__` whose names exist and raise when called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def names_of(module: str) -> Callable[[str], Callable[..., NoReturn]]:
    """Return the `__getattr__` of `module`."""

    def lookup(name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_args: Any, **_kwargs: Any) -> NoReturn:
            raise NotImplementedError(f"{module}.{name}: this is curator's stand-in for CPU tests")

        return missing

    return lookup
