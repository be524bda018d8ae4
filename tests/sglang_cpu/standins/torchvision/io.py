"""Image files: not there."""

from torchvision._missing import names_of

__getattr__ = names_of(__name__)
