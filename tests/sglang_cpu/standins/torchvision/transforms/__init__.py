"""The enum that SGLang and transformers read while being imported; everything else is not there."""

from enum import Enum

from torchvision._missing import names_of
from torchvision.transforms import functional


class InterpolationMode(Enum):
    """The values of torchvision 0.28: transformers looks them up by name."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


functional.InterpolationMode = InterpolationMode

__getattr__ = names_of(__name__)
