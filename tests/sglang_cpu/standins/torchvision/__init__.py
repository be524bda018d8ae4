"""Stands in for `torchvision`, whose PyPI build does not load beside the CPU build of torch.

SGLang imports it at start for image models. The tests judge text, so names exist and raise when called.
"""

from torchvision import io, transforms

__all__ = ["io", "transforms"]
__version__ = "0.28.0"  # transformers reads it to choose between its image back ends
