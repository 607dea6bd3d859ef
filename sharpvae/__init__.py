"""Finds out what makes a VAE's images blurry, and proves what mends it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpvae.core.errors import UserError
    from sharpvae.given.score import Result, score
    from sharpvae.trained.model import TrainedVAE, load

# Where each name stands. It is imported when it is first asked for, since PyTorch takes seconds and
# most commands do without it.
_MODULES = {
    "Result": "sharpvae.given.score",
    "TrainedVAE": "sharpvae.trained.model",
    "UserError": "sharpvae.core.errors",
    "load": "sharpvae.trained.model",
    "score": "sharpvae.given.score",
}

__all__ = ["Result", "TrainedVAE", "UserError", "load", "score"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # so that it is looked up here once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
