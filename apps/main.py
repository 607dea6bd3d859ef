"""What runs beside the pipeline; the pipeline itself is `dvc repro`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from apps import command
from apps.command import Command
from sharpvae.core.console import settle

COMMANDS = {
    "datasets": Command("apps.datasets", "the datasets: what there is, what is on disk, fetching"),
    "weights": Command("apps.weights", "pretrained weights: what there is, fetching"),
    "describe": Command("apps.describe", "a variant's layers, parameters and multiply-adds"),
    "study": Command("apps.study", "published systems, ablations, claims: which change helps"),
    "score": Command(
        "apps.score", "any samples against real images: blur, fidelity, copies, floors"
    ),
    "export": Command("apps.export", "a trained VAE as ONNX, safetensors or for Hugging Face"),
    "experiments": Command("apps.experiments", "what each experiment changed, and what came of it"),
    "init": Command("apps.init", "lay out an experiment of your own in another directory"),
    "gallery": Command("apps.gallery", "look at trained VAEs in a browser, side by side"),
    "tune": Command("apps.tune", "a search for better settings: Ray Tune and Optuna"),
    "checkpoints": Command("apps.checkpoints", "interrupted trainings: what lies there, removing"),
    "completion": Command("apps.completion", "the script by which a shell completes all of this"),
}
EXAMPLES = """\
examples:
  sharpvae datasets celeba              all about one dataset, and how to get it
  sharpvae study show s003-composite    one study: settings, claims, the command that runs it
  sharpvae score samples/ --real photos/  how good samples of any generator are
  sharpvae study ablation               which change from original to sharp brings what

All about one command: sharpvae <command> --help
"""


def parser() -> argparse.ArgumentParser:
    """What `sharpvae` without a command takes."""
    made = command.parser("", command.overview(__doc__, "commands", COMMANDS))
    made.usage, made.epilog = "sharpvae <command> [argument ...]", EXAMPLES
    made.add_argument("--version", action="store_true", help="print the version and exit")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` begin with, those of the terminal if None.

    Returns:
        the exit code: that of the command; 2 where there is none of that name.
    """
    settle()
    given = sys.argv[1:] if arguments is None else list(arguments)
    code = command.dispatch("sharpvae", COMMANDS, given)
    if code is not None:
        return code
    if parser().parse_args(given).version:
        from importlib.metadata import version  # as slow as all else here

        print(f"sharpvae {version('sharpvae')}")
    else:
        parser().print_help()
    return 0
