"""Image operations: not there."""

from typing import Any

from torchvision._missing import names_of

InterpolationMode: Any = None  # set by the package, which defines it

__getattr__ = names_of(__name__)
