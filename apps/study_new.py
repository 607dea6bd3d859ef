"""Write the file of a study, an ablation or a claim, to be filled in; it can be run as it is.

sharpvae study new mine                        studies/mine.yaml
sharpvae study new mine --kind ablation        ablations/mine.yaml
sharpvae study new mine --kind claim           claims/mine.yaml
sharpvae study new mine --title "my network with half the latent dimensions"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from ruamel.yaml import YAML

from apps import command
from apps.study import WIDTH, known, say_how_to_run
from sharpvae.config.names import ABLATIONS, CLAIMS, NAME, STUDIES, is_name, read_params
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import locked, unwritable, write_text

SKELETON = Template("""\
# A study is a system that keeps its settings, whatever the shared sections of params.yaml say: one
# of the literature, or one of your own. Run this one beside the variants of params.yaml with
#
#   dvc exp run -S '++variants.$name.study=$name'
#
# or in every run, by a line under `variants` of params.yaml: `$name: {study: $name}`.
#
# It may set the sections model, loss, train and sample. What each key means, and the values that it
# takes, stand in params.yaml. Until you change them, the settings below are the improved recipe.
# Change what differs and keep the rest: what is left out is as params.yaml says, and moves with it.
# `sharpvae study show $name` prints what stands here.

# One line, for the list of `sharpvae study`.
title: $title
# What it is, where it was published, and in what it differs from that.
about: >
  To be filled in.
# What was said of it, a sentence each; `claims: []` where nothing was.
claims:
  - To be filled in.

# The network. width_scale is left to the run.
model:
  family: conv
  latent_dim: 512
  widths: [128, 256, 512, 1024]
  activation: leaky_relu
  negative_slope: 0.2
  norm: batch
  dropout: 0.0
  kernel: 4
  blocks: plain
  ends: normed
  upsampling: transposed
  head: upsampling
  init: kaiming
  log_var_clamp: [-15.0, 15.0]
  conditional: false

# reconstruction_weight * (mse * MSE + l1 * L1 + ...) + beta * KL. A term that `weights` does not
# list weighs nothing; one that it does may have a section of its own, as `perceptual` is.
loss:
  beta: 0.5
  kl_reduction: sum
  kl_floor: 0.0
  free_bits: 0.0
  kl_share: 0.0
  reduction: sum
  reconstruction_weight: 1.0
  weights: {mse: 1.0, l1: 0.25, perceptual: 0.5}
  schedules:
    beta: {shape: linear, unit: fraction, start: 0.0, length: 0.166666666666667, cycle: 0.0,
           every: step}
    perceptual: {shape: constant, unit: epochs, start: 0.0, length: 0.0, cycle: 0.0, every: step}
  perceptual: {distance: relative}

# The optimiser. Epochs or updates, learning rate, batch and precision are left to the run.
train:
  optimizer: adamw
  weight_decay: 1.0e-05
  scheduler: plateau
  lr_factor: 0.5
  lr_patience: 5
  grad_clip: 1.0
  early_stop_patience: 10
  keep: best
  best_by: loss
  ema: 0.0
  flip: false

# What the samples that it is judged by are drawn from: normal | mixture | flow | validation.
# sample: {prior: normal}

# Sizes under single presets, as they were published; the shared sections override them.
# presets:
#   paper: {train: {epochs: 100, batch_size: 256, lr: 1.0e-4}}
""")

ABLATION = Template("""\
# Which change from one variant to another brings what; docs/studies.md says how to read it.
#
#   sharpvae study ablation $name --plan    # what would be trained
#   sharpvae study ablation $name
title: $title
from: original           # two variants of params.yaml
to: improved
seeds: [0, 1, 2]         # three at least for intervals over seeds
match: updates           # what arms have in common: updates, or multiply_adds of all networks
settings: {}             # dotted key: value, in every arm, such as train.updates: 500
factors:                 # name: settings switched as one; every difference is in one factor
  network: [model]
  loss: [loss]
  optimiser: [train]
""")
CLAIM = Template("""\
# Does it hold? docs/studies.md says what each key means.
#
#   sharpvae study claims $name --plan    # what would be trained
#   sharpvae study claims $name
document: ours
claim: $title
arms:                    # name -> as under `variants` of params.yaml
  original: {study: s000-original}
  without-l1: {loss: {weights: {l1: 0.0}}}
params: {}               # dotted key of params.yaml: value, for all arms
seeds: [0, 1, 2]         # three at least for a verdict
expect:                  # all must hold: <arm>.<score>, or two with / or -, then < or > a number
  - without-l1.fid / original.fid < 1
needs: []                # pretrained weights, such as vgg19
note: ""
""")
KINDS = {"study": (STUDIES, SKELETON), "ablation": (ABLATIONS, ABLATION), "claim": (CLAIMS, CLAIM)}


def parser() -> argparse.ArgumentParser:
    """What `sharpvae study new` takes."""
    made = command.parser("study new", __doc__)
    made.add_argument("name", help="letters, digits, '-' and '_'")
    made.add_argument("--kind", choices=tuple(KINDS), default="study")
    made.add_argument("--title", help="one line: what it is, or what is claimed")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the action; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options.name, options.title, options.kind))


def serve(name: str, title: str | None, kind: str = "study") -> None:
    """Write a file that can be run at once, and print how.

    Raises:
        UserError: `name` cannot be one, or is taken; `title` is not a line; the disk refuses.
    """
    check_name(name, kind)
    check_title(title)
    known()  # or this is not the top of a repository
    folder, skeleton = Path(KINDS[kind][0]), KINDS[kind][1]
    path = folder / f"{name}.yaml"
    folder.mkdir(exist_ok=True)
    text = skeleton.substitute(
        name=name, title=json.dumps(title or f"{name}: to be filled in", ensure_ascii=False)
    )
    try:
        with locked(folder):  # or another process might write it between the look and the writing
            if path.exists():
                fix = "take another name, or edit or remove that file"
                raise UserError(str(path), "no such file yet", "a file", fix)
            write_text(path, text)
    except OSError as error:
        raise unwritable(folder, path.name, 0, error) from None
    if kind != "study":
        action = "ablation" if kind == "ablation" else "claims"
        command.say(WIDTH, f"{path} is there to be filled in:\n  sharpvae study {action} {name}")
        return
    command.say(WIDTH, f"{path} is there to be filled in. Beside the variants of params.yaml:")
    say_how_to_run(name)


def check_name(name: str, kind: str) -> None:
    """UserError unless it can be called so, and no variant is called as a study would be."""
    where = f"the name of the {kind}"
    fix = f"choose another, such as {name}-study" if is_name(name) else "choose another"
    if not is_name(name) or not _is_text(name):
        raise UserError(where, f"{NAME} that reads as no number or other value", repr(name), fix)
    variants = read_params(Path("params.yaml")).get("variants")
    if kind == "study" and isinstance(variants, dict) and name in variants:
        raise UserError(where, "one that no variant has", f"{name}, a variant of params.yaml", fix)


def check_title(title: str | None) -> None:
    """UserError if it is not one line that can be read."""
    if title is not None and (not title.isprintable() or not title.strip()):
        raise UserError("--title", "one line of text", repr(title), "leave out what is not text")


def _is_text(name: str) -> bool:
    """Whether `-S` and params.yaml take it as it stands: not for 12, 1e5, nan, true or a date."""
    try:
        float(name)  # reads 1_000 and nan, as -S does
    except ValueError:
        return isinstance(YAML(typ="safe", pure=True).load(name), str)
    return False
