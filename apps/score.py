"""Score samples of any generator against real images; no repository is needed around it.

sharpvae score samples.npy --real train.npy
sharpvae score vae/ vaegan/ --real photographs/        compare two, the first is the baseline
sharpvae score mine=run7/out.npz --real cifar.npz --reconstructions pairs.npz --out run7/

Each is a folder or .zip of image files, a .npy or a .npz: uint8 or floats in [0, 1], (N, H, W, C),
(N, C, H, W) or (N, H, W). Judges are trained on the real images the first time, and kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from apps import command
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError

WIDTH = 100  # columns where there is no terminal


def parser() -> argparse.ArgumentParser:
    """What `sharpvae score` takes."""
    made = command.parser("score", __doc__)
    made.add_argument("samples", nargs="+", help="a set of samples: PATH or NAME=PATH")
    made.add_argument("--real", required=True, help="real images, best those it learned from")
    made.add_argument(
        "--reconstructions", metavar="PAIRS", action="append", default=[],
        help="PATH or NAME=PATH of the samples' set: a .npz with the arrays images and "
        "reconstructions, or a folder with two of these names",
    )  # fmt: skip
    made.add_argument("--out", default=".", help="folder for score.html, .json, .md (here)")
    made.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:<index>")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options), "nothing was written")


def serve(options: argparse.Namespace) -> None:
    """Score, write the three files, and print the outcome.

    Raises:
        UserError: a mistake in the images or their names; the folder cannot be written to.
    """
    from sharpvae.given.score import score, set_name  # imports PyTorch

    sets = named(options.samples, set_name)
    pairs = dict(_pair(text, next(iter(sets))) for text in options.reconstructions)
    if Path(options.out).exists() and not Path(options.out).is_dir():
        raise UserError(options.out, "a folder for the scores", "a file", "give another --out")
    result = score(sets, options.real, pairs, options.device)
    result.save(options.out)
    command.say(WIDTH, result.sentence, *result.steps, "", result.table, "")
    for line in (*result.findings, *result.notes):
        command.say(WIDTH, line)
    command.say(WIDTH, f"page: {Path(options.out) / 'score.html'}", wrap=False)


def named(texts: Sequence[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """Name -> path of each set; UserError for a name that two have.

    Where `name_of` says the same of two paths, as of `a/out.npy` and `b/out.npy`, the folder before
    it is put in front.
    """
    given = [_pair(text, "") for text in texts]
    short = [name or name_of(path) for name, path in given]
    names = [
        own if name or short.count(own) == 1 else f"{Path(path).absolute().parent.name}/{own}"
        for own, (name, path) in zip(short, given, strict=True)
    ]
    for name in names:
        if names.count(name) > 1:
            raise UserError(name, "a name for each set", "twice that name", "name them: mine=path")
    return {name: path for name, (_, path) in zip(names, given, strict=True)}


def _pair(text: str, name: str) -> tuple[str, str]:
    """`NAME=PATH`, or a path alone that gets `name`; a path that exists may hold an `=`."""
    before, found, after = text.partition("=")
    if not found or Path(text).exists():
        return name, text
    return before, after
