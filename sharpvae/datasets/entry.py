"""What the catalogue says of a dataset: plain declarations, cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reader = Literal[
    "celeba", "cifar10", "csv", "dsprites", "flowers102", "folder", "fruits", "idx", "svhn",
    "wikiart",
]  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file of a dataset, as its publishers name it.

    Attributes:
        name: as published. Where `unpacked` holds, a `.gz` may also lie about without that ending.
        digest: `sha256:<hex>`, `md5:<hex>`, the hex digits as far as the publishers state them; or
            None where they state none: then the reader's own look at the contents is all the
            proof there is.
        size: in bytes; None where unknown.
        unpacked: whether `digest` and `size` are those of what gzip holds, so that a file packed
            anew still passes; else they are those of the file as published.
    """

    name: str
    digest: str | None
    size: int | None
    unpacked: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names under which a copy may lie about."""
        short = self.name.removesuffix(".gz")
        return (self.name, short) if self.unpacked and short != self.name else (self.name,)


@dataclass(frozen=True)
class Entry:
    """One dataset.

    Attributes:
        name: what `data.name` says.
        reader: which reader of `readers.py` understands its files.
        native_size: height and width in pixels; None where images differ.
        channels: 1 or 3; None where the images decide.
        class_names: in the order of the labels; None where the images decide, or without labels.
        labelled: False where the publishers sort the images into no classes.
        images: how many in all; None where unknown.
        own_splits: the splits that its publishers set apart.
        source: where it comes from, in words.
        files: what has to be at hand; empty where the user brings the files.
        download: bytes of all files as published, about; None where unknown.
        addresses: public base addresses; `<address><file name>` is the file.
        folders: local folders where a system's package installs the files.
        by_hand: where no program may download it: what to download, and from where.
        groups: class name -> the folders of the publishers that make it up.
    """

    name: str
    title: str
    licence: str
    citation: str
    reader: Reader
    source: str
    native_size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    class_names: tuple[str, ...] | None = None
    labelled: bool = True
    images: int | None = None
    own_splits: tuple[Literal["train", "validation", "test"], ...] = ()
    files: tuple[File, ...] = ()
    download: int | None = None
    addresses: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    by_hand: str = ""
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
