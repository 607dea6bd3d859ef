"""A network of the user's own, loaded and built; docs/networks.md has the contract that it keeps.

To load one runs its code, which is the user's, from the repository or an installed package. A file
of weights never brings any.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from torch import Tensor, nn

from sharpvae.core.errors import UserError, nearest
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.reference import digest, locate, parse, where

METHODS = ("encode", "decode")


def make(config: ModelConfig, image_channels: int, image_size: int, classes: int) -> nn.Module:
    """The network that `model.family` names, given what the contract says.

    Args:
        classes: 0 for an unconditional VAE, whose network is not told of any.

    Raises:
        UserError: it cannot be loaded or built, or is no network; what its code raises is told.
    """
    given: dict[str, Any] = {
        "image_channels": image_channels, "image_size": image_size, "latent_dim": config.latent_dim,
    }  # fmt: skip
    given |= ({"classes": classes} if classes else {}) | copy.deepcopy(config.arguments)
    kind = load(config.family)
    with explained(config.family, f"a class that takes {', '.join(given)}"):
        network = kind(**given)
    for method in METHODS:
        if not callable(getattr(network, method, None)):
            expected, found = f"a class with the methods {' and '.join(METHODS)}", f"no {method}"
            raise UserError(where(config.family), expected, found, "see docs/networks.md")
    return network


def load(family: str) -> type[nn.Module]:
    """The class that `family` names.

    Raises:
        UserError: its code cannot be found or raises, or has no such class.
    """
    reference, path = parse(family), locate(family).path
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` has it, and a command on PATH has not
    with explained(family, "code that can be imported"):
        module = _of_file(path) if reference.is_file else _of_package(reference.place, path)
    kinds = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    if reference.name not in kinds:
        expected = f"{reference.name}, a subclass of torch.nn.Module, in {reference.place}"
        found = "something else" if hasattr(module, reference.name) else "no such name"
        raise UserError(where(family), expected, found, nearest(reference.name, kinds))
    return kinds[reference.name]


class _AsItIs(SourceFileLoader):
    """Runs the file as it is now, and writes no bytecode beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _of_file(path: Path) -> ModuleType:
    """The module in a file, run once for each content that it has."""
    name = f"own_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _AsItIs(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _of_package(name: str, path: Path) -> ModuleType:
    """The module of this name; ImportError where it is of another file than `path`."""
    module = importlib.import_module(name)
    if module.__file__ is None or not path.samefile(module.__file__):
        raise ImportError(f"{name} is {module.__file__ or 'no file'} here, not {path}")
    return module


def require_code(family: str, expected: str | None, recorded: str, fix: str) -> None:
    """UserError unless the code of a network is that of a digest, which `recorded` holds."""
    if digest(family) != expected:
        found = "another: it has changed, or a file of the repository that it imports"
        raise UserError(where(family), f"the code whose digest {recorded} holds", found, fix)


@contextmanager
def explained(family: str, expected: str) -> Iterator[None]:
    """UserError in place of whatever the user's code raises within the block, with its line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(where(family), expected, _told(family, error)) from error


def _told(family: str, error: BaseException) -> str:
    """The first line of an exception, and which line of the network's file it went through last."""
    said = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())[:200]]))
    path = locate(family).path
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).exists() and path.samefile(frame.filename)
    ]
    return said + (f" ({path}, line {lines[-1]})" if lines else "")


def nearest_weight(images: Tensor) -> Tensor:
    """The weight of the layer that drew `images`: the first that their graph comes to, backwards.

    Biases, of one dimension, do not count. ValueError where there is none.
    """
    level: list[Any] = [images.grad_fn]
    seen = set(level)
    while level:
        parents = [parent for node in level if node for parent, _ in node.next_functions]
        for parent in parents:
            weight: Tensor | None = getattr(parent, "variable", None)  # of a leaf of the graph
            if weight is not None and weight.ndim >= 2:
                return weight
        level = [parent for parent in dict.fromkeys(parents) if parent not in seen]
        seen.update(level)
    raise ValueError("images that depend on no weight of two dimensions or more")
