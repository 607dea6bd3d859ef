"""Pretrained weights: what there is, what is on disk, and getting the rest.

sharpvae weights                      list every file
sharpvae weights vgg16 alexnet        download and verify, to where the stages look
sharpvae weights vgg16 --mirror /srv/mirror          from a mirror, folder or http address
sharpvae weights vgg16 --into /srv/mirror/weights    fill a mirror for others
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from apps import command
from sharpvae.core.console import Display, exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import copy_file, expanded
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.datasets.fetch import MIRROR_VARIABLE, Place, is_address, obtain
from sharpvae.perception.pretrained import PRETRAINED, Pretrained, cache, location

WIDTH = 118  # columns of the list where there is no terminal
USES = {
    "alexnet": "loss.lpips.network: alex",
    "vgg16": "loss.perceptual.network: vgg16, loss.lpips.network: vgg",
    "vgg19": "loss.perceptual.network: vgg19",
    "inception": "metrics.features: inception",
}


def parser() -> argparse.ArgumentParser:
    """What `sharpvae weights` takes."""
    made = command.parser("weights", __doc__)
    made.add_argument("names", nargs="*", metavar="name", help="weights; none: list them all")
    made.add_argument("--mirror", help=f"folder or http(s) address; then ${MIRROR_VARIABLE}")
    made.add_argument("--into", type=Path, help="folder to put them in (default: torch's cache)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options), command.RESUMABLE)


def serve(options: argparse.Namespace) -> None:
    """List or fetch; UserError for a wrong name, or a file that no place has."""
    command.check(options.names, PRETRAINED, "weights", "the name of a file")
    for name in options.names:
        path = fetch(PRETRAINED[name], options.mirror, options.into or cache())
        print(f"verified: {path}")
    if not options.names:
        list_all()


def list_all() -> None:
    """Print one line a file."""
    table = command.table("name", ">size", "on disk", "used by")
    for name, entry in PRETRAINED.items():
        there = "yes" if location(name, None).is_file() else "no"
        table.add_row(name, f"{entry.size / 1e6:.0f} MB", there, USES[name])
    known = (f"\n{name}: {entry.title}\n  {entry.address}" for name, entry in PRETRAINED.items())
    command.say(WIDTH, table, *known)
    folder = f"\nThe stages look in {cache()}. Get one: sharpvae weights <name>"
    command.say(WIDTH, folder, wrap=False)


def fetch(weights: Pretrained, mirror: str | None, into: Path) -> Path:
    """The path in `into` of one file, verified, which is fetched unless it is there.

    Args:
        mirror: folder or http(s) address tried before the public one, and its folder `weights`.

    Raises:
        UserError: the mirror does not exist, or no place has the file.
    """
    into = expanded(str(into)).absolute()
    file = File(weights.file, f"sha256:{weights.digest}", None)
    entry = Entry(into.name, weights.title, "", "", "folder", weights.address, files=(file,))
    folders = {"there already": str(into)}
    if into != cache():
        folders["torch's cache"] = str(cache())
    tried = [Place(name, folder, (folder,)) for name, folder in folders.items()]
    tried += [*_mirrors(mirror), Place("public", weights.base, (weights.base,))]
    try:
        with closing(Display()) as display:
            found = obtain(entry, tried, into.parent, display)[file.name]
    except UserError as error:
        if not error.where.startswith("data.name"):  # the disk, not the places
            raise
        raise UserError(
            weights.name, error.expected, error.found,
            f"get {weights.address} on a machine that reaches it, and copy it to "
            f"{into / weights.file}; or name a folder or http address that has it with --mirror "
            f"or ${MIRROR_VARIABLE}",
        ) from None  # fmt: skip
    target = into / weights.file
    return found if found == target else copy_file(found, target)


def _mirrors(mirror: str | None) -> list[Place]:
    """The mirror of the command line, which must exist, then that of the environment."""
    if mirror is not None and not is_address(mirror) and not expanded(mirror).is_dir():
        raise UserError("--mirror", "an existing folder or an http(s) address", mirror)
    places = []
    given = {"--mirror": mirror, f"${MIRROR_VARIABLE}": os.environ.get(MIRROR_VARIABLE)}
    for said_by, base in given.items():
        if base:
            base = base.rstrip("/") if is_address(base) else str(expanded(base))
            places.append(Place(said_by, base, (f"{base}/weights", base)))
    return places
