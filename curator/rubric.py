"""A rubric: the criteria by which a judge compares two responses. Pure.

Criteria are the user's own words. They reach the template as values of its variable `criteria`, never as its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curator.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to judge by.

    Attributes:
        weight: how much it counts beside the others, which the judge is told; 1: as much as any.
    """

    name: str
    text: str
    weight: float = 1.0

    @property
    def values(self) -> dict[str, Any]:
        """What the template sees: a whole weight without its point."""
        weight = int(self.weight) if float(self.weight).is_integer() else self.weight
        return {"name": self.name, "text": self.text, "weight": weight}


@dataclass(frozen=True, slots=True)
class Rubric:
    """Several criteria, the most important first.

    Attributes:
        apart: each criterion makes a judge of its own, which reads every pair by it alone.
    """

    name: str
    criteria: tuple[Criterion, ...]
    apart: bool = False

    def __post_init__(self) -> None:
        """Raises RecipeError where two criteria have one name, or weights stand where nobody would be told them."""
        names = [one.name for one in self.criteria]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RecipeError(f"rubric {self.name!r}: two criteria are named {twice!r}")
        if self.apart and any(one.weight != 1 for one in self.criteria):
            raise RecipeError(
                f"rubric {self.name!r}: criteria judged apart weigh the same (combine: fitted learns weights from "
                "labels); leave their weight out"
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Rubric:
        """Build a rubric from parsed YAML that matches `schemas/rubric.schema.json`."""
        criteria = tuple(Criterion(one["name"], one["text"], one.get("weight", 1.0)) for one in values["criteria"])
        return cls(values["name"], criteria, values.get("apart", False))

    def judges(self) -> tuple[Rubric, ...]:
        """What each of the judges that this rubric makes goes by.

        >>> two = Rubric("r", (Criterion("safe", "It does no harm."), Criterion("true", "It is right.")), apart=True)
        >>> [[one.name for one in rubric.criteria] for rubric in two.judges()]
        [['safe'], ['true']]
        """
        return tuple(Rubric(self.name, (one,)) for one in self.criteria) if self.apart else (self,)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(one.name for one in self.criteria)}{'; apart' if self.apart else ''})"
