"""Templates of others, a judge's prompt or a model's chat template: sandboxed, and with an end. Pure.

Jinja2's own sandbox keeps a template from this program's insides. It does not keep one from running for ever, or from
asking for all memory; here the turns of loops and the calls of one rendering are counted, and what is put together of
texts and lists has a largest size.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

STEPS = 1_000_000
"""Turns of loops and calls of one rendering; a chat template takes a few for each message."""

CALL = 10
"""Steps that a call counts for: it takes as long as ten turns."""

LARGEST = 2**27
"""Length of the longest text or list that a template may put together, and bits of the largest number."""

TEMPLATE_ERRORS = (
    jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError,
    SyntaxError, MemoryError,
)  # fmt: skip
"""What a template can end in, compiled or filled in: it is a program, though one that reaches nothing."""

_TURNS, _JOINED = "curator_turns", "curator_joined"


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An immutable sandbox in which a rendering ends: see `fill`."""

    intercepted_binops = frozenset(["+", "*", "**"])

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._rendering = threading.local()
        self.filters |= {_TURNS: self._turns, _JOINED: _not_too_large}

    def fill(self, template: jinja2.Template, variables: dict[str, Any]) -> str:
        """A template of this environment with its variables filled in.

        Raises:
            TemplateError: it fails, takes more than `STEPS`, or makes something larger than `LARGEST`.
        """
        self._rendering.left = STEPS
        try:
            return template.render(variables)
        except (RecursionError, MemoryError) as error:
            raise jinja2.TemplateRuntimeError(f"takes too much ({type(error).__name__})") from None

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._count(CALL)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            large = _bits(left) * (right if isinstance(right, int) else 0)
        elif operator == "*":
            large = max(_length(left) * _number(right), _length(right) * _number(left))
        else:
            large = _length(left) + _length(right)
        _require(large)
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Marked().visit(super()._parse(source, name, filename))
        return tree

    def _turns(self, value: Iterable[Any]) -> Iterable[Any]:
        """What a loop goes over, counted: at once where its length is known."""
        if isinstance(value, Sized):
            self._count(len(value))
            return value
        return self._one_by_one(value)

    def _one_by_one(self, value: Iterable[Any]) -> Iterator[Any]:
        for one in value:
            self._count(1)
            yield one

    def _count(self, steps: int) -> None:
        self._rendering.left = getattr(self._rendering, "left", STEPS) - steps
        if self._rendering.left < 0:
            raise jinja2.TemplateRuntimeError(f"takes more than {STEPS:,} steps")


class _Marked(NodeTransformer):
    """Has loops counted, and the size of what `~` puts together looked at."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the name that Jinja2 looks for
        self.generic_visit(node)
        node.iter = _through(_TURNS, node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_JOINED, node)


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _not_too_large(value: str) -> str:
    _require(len(value))
    return value


def _require(length: int) -> None:
    if length > LARGEST:
        raise jinja2.TemplateRuntimeError(f"makes something larger than {LARGEST:,}")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple)) else 0


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _bits(value: Any) -> int:
    return abs(value).bit_length() if isinstance(value, int) else 0
