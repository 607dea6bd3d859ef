"""Which trained VAEs there are to look at, and what lies beside each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json
from sharpvae.images.packed import CARD, Card, Split, SplitName, load_card, load_split
from sharpvae.sampling.stored import FILE
from sharpvae.trained.interrupted import interrupted
from sharpvae.trained.model import (
    HUB_NETWORK,
    HUB_WEIGHTS,
    NETWORK,
    WEIGHTS,
    TrainedVAE,
    load,
)

MODELS, EXPORTS, PREPARED = "models", "exports", Path("data/prepared")
_OTHERS = {"best.safetensors": "best epoch", "last.safetensors": "last epoch"}


class Entry(NamedTuple):
    """One VAE that can be chosen."""

    name: str  # as people choose it, and as the address has it
    path: Path  # for `load`: a folder, one file of weights, or a checkpoint
    root: Path  # of the workspace with its images and scores

    @property
    def run(self) -> tuple[str, str] | None:
        """Variant and seed of the weights that the workspace scored; None of any other."""
        place = self.path
        scored = place.is_dir() and place.parent.parent == self.root / MODELS
        return (place.parent.name, place.name) if scored else None

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes when the weights do, what was fitted to their codes, or the images."""
        files = [self.path] if self.path.is_file() else sorted(self.path.glob("*.safetensors"))
        if self.run is not None:
            files.append(self.root.joinpath("data/samples", *self.run, FILE))
        files.append(self.root / PREPARED / CARD)
        return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


def entries(root: Path, more: Iterable[Path] = ()) -> dict[str, Entry]:
    """The VAEs of a workspace by name: trained, exported, `more`, other epochs, unfinished ones.

    Nobody can choose another path than these: what is asked for is looked up here by its name.

    Args:
        more: folders, or files of weights, that whoever started the gallery named.
    """
    found = [
        Entry(f"{folder.parent.name}/{folder.name}", folder, root)
        for folder in _folders(root / MODELS, "*/*")
    ]
    others = [
        Entry(f"{entry.name}, {told}", entry.path / file, root)
        for entry in found
        for file, told in _OTHERS.items()
        if (entry.path / file).is_file()
    ]
    found += [
        Entry(str(folder.relative_to(root)), folder, root)
        for folder in _folders(root / EXPORTS, "**")
    ]
    found += [Entry(str(path), path, root) for path in more]
    others += [Entry(f"{name}, in training", path, root) for name, path in interrupted(root)]
    return {entry.name: entry for entry in [*found, *others]}


def toy_root() -> Path:
    """The workspace in the cache where the toy lies, if it was trained."""
    from sharpvae.given.reals import cache  # half a second, which others need not wait for

    return cache().parent / "gallery"


def _folders(place: Path, pattern: str) -> Iterator[Path]:
    """Folders below `place` that `load` takes."""
    for folder in sorted(place.glob(pattern)):
        pairs = ((NETWORK, WEIGHTS), (HUB_NETWORK, HUB_WEIGHTS))
        if any(all((folder / name).is_file() for name in pair) for pair in pairs):
            yield folder


class Data:
    """The packed images of a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def card(self) -> Card:
        return load_card(self.folder)

    @cached_property
    def test(self) -> Split:
        return self._split("test")

    @cached_property
    def train(self) -> Split:
        return self._split("train")

    def _split(self, name: SplitName) -> Split:
        return load_split(self.folder, name)


class Chosen(NamedTuple):
    """A VAE that was chosen, and the images that it can be shown."""

    entry: Entry
    vae: TrainedVAE
    data: Data | None
    missing: str  # why there are no images; "" where there are

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes that it can be asked for; by number where names are not known."""
        return self.vae.class_names or tuple(map(str, range(self.vae.classes)))


def opened(entry: Entry) -> Chosen:
    """Load one.

    Raises:
        UserError: as `load`.
    """
    vae = load(entry.path, "cpu")
    folder = entry.root / PREPARED
    if not (folder / CARD).is_file():
        return Chosen(entry, vae, None, f"no images in {PREPARED}: dvc repro prepare")
    data = Data(folder)
    own, theirs = (vae.image_size, vae.channels), (data.card.image_size, data.card.channels)
    if own != theirs:
        shapes = " and ".join(f"{size}x{size}x{channels}" for size, channels in (own, theirs))
        return Chosen(entry, vae, None, f"its images and those of {PREPARED} differ: {shapes}")
    return Chosen(entry, vae, data, "")


def scores(entry: Entry) -> dict[str, float | None]:
    """What `report` wrote of the variant into metrics.json; empty where there is nothing."""
    metrics = entry.root / "reports/metrics.json"
    if entry.run is None or not metrics.is_file():
        return {}
    try:
        found = read_json(metrics)
        own = found.get(entry.run[0], {})
    except (UserError, AttributeError):
        return {}
    return own if isinstance(own, dict) else {}
