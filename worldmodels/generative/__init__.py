"""Image models: autoencoders, VAEs, GANs and more, on any pictures.

>>> from worldmodels.generative import MODELS, fit_images, load_trained

What is named here is loaded when it is first asked for: no game, no environment comes with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodels.generative.fit import fit_images
    from worldmodels.generative.models.registry import MODELS
    from worldmodels.generative.models.trained import load_trained

__all__ = ["MODELS", "fit_images", "load_trained"]
_HOMES = {"MODELS": "models.registry", "fit_images": "fit", "load_trained": "models.trained"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
