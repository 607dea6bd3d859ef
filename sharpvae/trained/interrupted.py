"""The VAE of a training that was interrupted, or still runs, as its last checkpoint has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from sharpvae.core.config import load_stage
from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json
from sharpvae.images.packed import Card, load_card
from sharpvae.vae.own import require_code
from sharpvae.vae.vae import VAE

FOLDER = ".checkpoints"  # of a repository; a folder of it for each training
_TICKET = "training.json"  # which training that is
_FIX = "go on with the training: dvc repro"


def interrupted(root: Path) -> Iterator[tuple[str, Path]]:
    """Variant and seed, as `sharp/0`, and newest checkpoint of each training without an end.

    The one that was written last comes last.
    """
    found = []
    for ticket in (root / FOLDER).glob(f"*/{_TICKET}"):
        try:
            newest = max(ticket.parent.glob("[0-9]*-*.pt"))
            told = read_json(ticket)
            found.append((newest.stat().st_mtime, f"{told['variant']}/{told['seed']}", newest))
        except (UserError, OSError, ValueError, KeyError, TypeError):
            continue  # none yet, it has just come to its end, or what resumes from there will tell
    for _, name, path in sorted(found):
        yield name, path


def from_checkpoint(path: Path) -> tuple[VAE, Card]:
    """Read `.checkpoints/<training>/<update>-<digest>.pt` of a repository; nothing in it runs.

    Returns:
        The VAE with the weights that training would be judged by there, their moving average where
        there is one; and the card of its images.

    Raises:
        UserError: the checkpoint is missing or damaged; or the repository has other settings or
            code of a network than the training began with, or images of another size.
    """
    from sharpvae.training.checkpoints import identity, read_state, read_ticket  # a second or two
    from sharpvae.training.config import TrainStage

    place = Path(os.path.abspath(path))
    state, ticket = read_state(place), read_ticket(place.parent)
    if state is None or ticket is None:
        broken = path if state is None else path.parent / _TICKET
        raise UserError(str(broken), "a checkpoint of `train`", "none, or a damaged one", _FIX)
    root = place.parents[2]
    settings = root / "configs" / ticket.variant / "train.json"
    config = load_stage(settings, TrainStage)
    phases = [config, config.first_phase()] if config.before else [config]
    device, library = torch.device("cpu"), Path(__file__).parents[1]
    began = [identity(one, ticket.seed, device, (), library)["config"] for one in phases]
    if ticket.identity.get("config") not in began:
        expected, fix = "the settings that the training began with", "bring them back"
        raise UserError(str(settings), expected, "others", f"{fix}, or train anew: dvc repro")
    if config.model.own:
        require_code(config.model.family, config.code, str(settings), _FIX)
    card = load_card(root / "data/prepared")
    try:
        vae = VAE(config.model, card.channels, card.image_size, len(card.class_names or ()))
        vae.load_state_dict(state["average"] or state["update"]["vae"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        expected, found = "weights that fit these settings and images", str(error).splitlines()[0]
        raise UserError(str(path), expected, found, _FIX) from None
    return vae, card
