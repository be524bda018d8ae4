"""From a Matplotlib figure to SVG that lies inside a page: its colours are the page's own, light or dark.

Matplotlib is imported when a report is written, and not before. No text of a user goes into a figure.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, ACCEPTED, ABSTAINED, PAPER = (f"#00000{number}" for number in range(1, 7))
"""Stand-ins for colours; the page says what they are in each scheme."""

_VARIABLES = dict(
    zip(
        (INK, MUTED, LINE, ACCEPTED, ABSTAINED, PAPER),
        ("ink", "muted", "line", "accepted", "abstained", "paper"),
        strict=True,
    )
)

WIDTH = 4.0
"""Inches. A phone shows a figure nearly as wide as that, so that 8.5 points can be read."""

_STYLE: dict[Any, Any] = {
    "font.size": 8.5, "axes.titlesize": 8.5, "axes.labelsize": 8.5, "axes.titlelocation": "left", "axes.titlepad": 6.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": LINE, "axes.linewidth": 0.8,
    "axes.labelcolor": MUTED, "axes.titlecolor": INK, "text.color": INK, "text.parse_math": False,
    "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.facecolor": "none", "figure.facecolor": "none", "lines.linewidth": 1.6, "hatch.linewidth": 0.8,
    "svg.fonttype": "none", "svg.hashsalt": "curator", "figure.constrained_layout.use": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with what it says in words and numbers.

    Attributes:
        name: tells it from the other figures of a page; letters and digits.
        title, description: the text alternative.
        svg: to lie inside a page.
        columns, rows: the numbers that were plotted, as a table.
    """

    name: str
    title: str
    description: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def drawn(name: str, title: str, description: str, height: float, draw: Callable[[Figure], None]) -> Markup:
    """Have a figure drawn, and give it as SVG with a text alternative. Equal figures give equal bytes.

    Args:
        name: of letters and digits; begins every id inside.
        height: inches.
        draw: puts axes into an empty figure.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user's own settings are
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(WIDTH, height))
        canvas = FigureCanvasSVG(figure)
        draw(figure)
        out = io.BytesIO()
        canvas.print_svg(out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))  # type: ignore[no-untyped-call]
    return _inline(out.getvalue(), name, title, description)


_LIGHT = {
    "ink": "#1b1f24", "muted": "#59636e", "line": "#d5dae0", "accepted": "#0b66b3", "abstained": "#b45309",
    "paper": "#ffffff",
}  # fmt: skip
"""The colours of the page in its light scheme."""


def standalone(picture: Picture) -> bytes:
    """A figure as an SVG file of its own, on white. Equal figures give equal bytes."""
    svg = str(picture.svg)
    for variable, colour in _LIGHT.items():
        svg = svg.replace(f"var(--{variable})", colour)
    root = ElementTree.fromstring(svg)  # noqa: S314 - of our own making
    *_, width, height = root.attrib["viewBox"].split()
    root.attrib.update({"xmlns": "http://www.w3.org/2000/svg", "width": width, "height": height})
    root.attrib["font-family"] = "system-ui, sans-serif"
    paper = ElementTree.Element("rect", width=width, height=height, fill=_LIGHT["paper"])
    root.insert(2, paper)  # behind everything but the words
    svg = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return f"{svg}\n".encode()


def _inline(svg: bytes, name: str, title: str, description: str) -> Markup:
    root = ElementTree.fromstring(svg)  # noqa: S314 - Matplotlib wrote it a moment ago
    for parent in root.iter():
        for child in list(parent):
            if child.tag.rpartition("}")[2] in {"style", "metadata"}:
                parent.remove(child)
    used = set(re.findall(r"(?:href=\"#|url\(#)(\w+)", svg.decode()))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.text if element.tag == "text" else None
        element.tail = None
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            if key == "id" and value not in used:
                continue
            element.set(key.rpartition("}")[2], _attribute(key, value, name))
    box = root.attrib["viewBox"]
    root.attrib.clear()
    ids = (f"{name}-title", f"{name}-desc")
    root.attrib.update({"viewBox": box, "role": "img", "aria-labelledby": " ".join(ids)})
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        words = ElementTree.Element(tag, id=ids[place])
        words.text = text
        root.insert(place, words)
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))  # noqa: S704 - escaped


def _attribute(key: str, value: str, name: str) -> str:
    """An attribute without what belongs to the page: its colours, its typeface, ids of its own for each figure."""
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href"):
        return value.replace("#", f"#{name}-")
    if key == "d":
        return " ".join(value.split())
    value = value.replace("url(#", f"url(#{name}-")
    for stand_in, variable in _VARIABLES.items():
        value = value.replace(stand_in, f"var(--{variable})")
    return re.sub(r"font-family: [^;]*;? ?", "", value)
