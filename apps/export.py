"""Take a trained VAE away: as ONNX, as safetensors, or as a folder for Hugging Face.

sharpvae export sharp --to onnx                  encoder.onnx and decoder.onnx, checked
sharpvae export sharp --to safetensors --seed 1  a folder that sharpvae.load takes
sharpvae export sharp --to hub --out card/       with a model card; then hf upload puts it online

What is written where is in docs/python.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from apps import command
from sharpvae.core.console import exit_code

WIDTH = 100  # columns where there is no terminal
FORMS = ("onnx", "safetensors", "hub")


def parser() -> argparse.ArgumentParser:
    """What `sharpvae export` takes."""
    made = command.parser("export", __doc__)
    made.add_argument("variant", help="one that is trained")
    made.add_argument("--to", required=True, choices=FORMS, dest="form")
    made.add_argument("--seed", type=int, default=0, help="of its training (0)")
    made.add_argument(
        "--out", type=Path, help="folder, replaced whole (exports/<variant>/<seed>/<form>)"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options), "nothing was written")


def serve(options: argparse.Namespace) -> None:
    """Export, and say where to; UserError as of `sharpvae.trained.export.export`."""
    from sharpvae.trained.export import export  # imports PyTorch

    variant, seed, form = options.variant, options.seed, options.form
    out = options.out or Path("exports") / variant / str(seed) / form
    said = export(Path(), variant, seed, form, out)
    command.say(WIDTH, *filter(None, [said, f"{variant}, seed {seed}: {out}"]), wrap=False)
    if form == "hub":
        command.say(WIDTH, f"put it online: hf upload <owner>/<name> {out}", wrap=False)
