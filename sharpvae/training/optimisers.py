"""The optimiser of the VAE, by name; those beyond Adam come with the package pytorch-optimizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sharpvae.core.errors import UserError
from sharpvae.training.config import TrainConfig


def optimiser(vae: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), Lion (Chen et al. 2023), Adan (Xie
    et al. 2022) or Muon (Jordan et al. 2024), with `train.lr` and `train.weight_decay`.

    Muon turns the step of each matrix, and of each kernel flattened to one, into an orthogonal one,
    scaled to the size of AdamW's (Liu et al. 2025), so that both share a learning rate; AdamW takes
    what has fewer dimensions.

    Raises:
        UserError: the package is not installed.
    """
    name, options = config.optimizer, {"lr": config.lr, "weight_decay": config.weight_decay}
    weights = list(vae.parameters())
    if name in ("adam", "adamw"):
        kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
        return kind(weights, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    try:
        import pytorch_optimizer  # here, as it takes two seconds that nobody else shall wait
    except ImportError:
        raise UserError(
            "train.optimizer", f"the package pytorch-optimizer, which has {name}",
            "it is not installed", "pip install -e '.[optimizers]', or set it to adamw",
        ) from None  # fmt: skip
    made: torch.optim.Optimizer
    if name == "muon":
        groups = [
            {"params": [w for w in weights if w.ndim >= 2], "use_muon": True},
            {"params": [w for w in weights if w.ndim < 2], "use_muon": False},
        ]
        made = pytorch_optimizer.Muon(
            [{**group, **options} for group in groups if group["params"]], use_adjusted_lr=True
        )
    else:
        kinds = {"lion": pytorch_optimizer.Lion, "adan": pytorch_optimizer.Adan}
        made = kinds[name](weights, **options, weight_decouple=True)
    return made


def step_unless(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """A step, unless `bad` is 1: fused kernels look there on the device, others wait for it."""
    if optimizer.defaults.get("fused"):
        optimizer.found_inf = bad  # type: ignore[attr-defined]
    elif bool(bad):
        return
    optimizer.step()
