"""Says what is going on, on standard error; a bar only where somebody looks at one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Messages and progress bars. The one of this class is silent; `Terminal` speaks."""

    def say(self, text: str) -> None:
        """One line about what happens now."""

    @contextmanager
    def bar(self, name: str, unit: str, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
        """A bar; the function it gives adds so many units and shows a remark beside them."""
        yield lambda count, remark: None


class Terminal(Progress):
    """Progress on standard error."""

    def say(self, text: str) -> None:
        print(clean(text), file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, name: str, unit: str, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
        from tqdm import tqdm

        with tqdm(desc=name, unit=unit, total=total, file=sys.stderr, disable=None, unit_scale=True) as bar:

            def add(count: int, remark: str) -> None:
                bar.set_postfix_str(remark, refresh=False)
                bar.update(count)

            yield add


def clean(text: str) -> str:
    """Text without terminal escapes and other control characters, line breaks apart."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
