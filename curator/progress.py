"""Says what is going on, on standard error; a bar only where somebody looks at one."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LINE_SECONDS = 15.0
"""How often a run whose standard error is no terminal says how far it is."""

_LINE = "{desc}: {n_fmt}/{total_fmt}, {rate_noinv_fmt}, {remaining} left{postfix}"


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
        # A terminal that was closed, a log on a full disk: there is nobody to tell, and the work goes on.
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                print(clean(text), file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, name: str, unit: str, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
        from tqdm import tqdm

        # Where nobody looks at a bar, as in a log file, a line now and then says as much.
        drawn = sys.stderr is not None and sys.stderr.isatty()
        with tqdm(
            desc=name, unit=unit, total=total, file=sys.stderr if drawn else io.StringIO(), unit_scale=True
        ) as bar:
            said = time.monotonic()

            def add(count: int, remark: str) -> None:
                nonlocal said
                bar.set_postfix_str(remark, refresh=False)
                bar.update(count)
                if not drawn and time.monotonic() - said >= LINE_SECONDS:
                    said = time.monotonic()
                    self.say(tqdm.format_meter(**{**bar.format_dict, "bar_format": _LINE, "ncols": None}))

            yield add


def one_line(name: str, most: int = 60) -> str:
    """A name from a file or a server as part of a line: no line breaks, no control characters, not too long.

    >>> one_line("a\\nb"), one_line("x" * 100, 5)
    ('a\N{REPLACEMENT CHARACTER}b', 'xxxx…')
    """
    kept = clean(name.replace("\n", "\N{REPLACEMENT CHARACTER}"))
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def escaped(text: str) -> str:
    """JSON with each character that is not printed as an escape: the same value, and no command to a terminal.

    >>> print(escaped('"a\x9b2J"'))
    "a\\u009b2J"
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def clean(text: str) -> str:
    """Text without terminal escapes and other control characters, line breaks apart."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
