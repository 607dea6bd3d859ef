"""Print the script by which a shell completes commands, options and paths.

sharpvae completion bash > ~/.local/share/bash-completion/completions/sharpvae
sharpvae completion zsh > "${fpath[1]}/_sharpvae"

It is read by the next shell that opens. It lists what this version has: print it anew after another
one was installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module

import shtab

from apps import command, study
from apps import main as top
from apps.command import Command
from sharpvae.core.console import exit_code

SHELLS = ("bash", "zsh")
PATHS = ("samples", "real", "reconstructions", "out", "into", "mirror", "directory")  # arguments


def parser() -> argparse.ArgumentParser:
    """What `sharpvae completion` takes."""
    made = command.parser("completion", __doc__)
    made.add_argument("shell", choices=SHELLS)
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the script; the exit code is 0."""
    shell = parser().parse_args(arguments).shell
    return exit_code(lambda: print(shtab.complete(whole(), shell)))


def whole() -> argparse.ArgumentParser:
    """All of `sharpvae` as one parser, which takes seconds: every command is imported."""
    made = top.parser()
    made.prog = "sharpvae"
    actions = _add(made, top.COMMANDS)["study"]
    _add(actions, study.ACTIONS)
    return made


def _add(
    above: argparse.ArgumentParser, commands: Mapping[str, Command]
) -> dict[str, argparse.ArgumentParser]:
    """Put the parsers of `commands` below that of what they belong to."""
    below, found = above.add_subparsers(), {}
    for name, entry in commands.items():
        own = import_module(entry.module).parser()
        for action in own._actions:
            if action.dest in PATHS:
                action.complete = shtab.FILE  # as shtab wants it
        found[name] = below.add_parser(name, help=entry.summary, parents=[own], add_help=False)
    return found
