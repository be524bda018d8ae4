"""The second version of the transforms: only `functional` is imported."""

from torchvision._missing import names_of
from torchvision.transforms.v2 import functional

__all__ = ["functional"]
__getattr__ = names_of(__name__)
