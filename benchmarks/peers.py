"""Samples of Pythae's VAE and VAEGAN, of this project's variants and of known faults, on one page.

    dvc repro                     trains the variants
    python -m benchmarks.peers    some minutes on two cores; writes reports/peers/score.html

Needs pip install -e '.[bench]'. Pythae (Chadebec et al. 2022) trains the networks that it has by
itself, perceptrons, with its own trainers, on the same training images, for as many passes as
`laptop` makes; its samples are drawn by its own NormalSampler. (A pass of its convolutional
networks for MNIST takes ten minutes here.) `sharpvae.score` compares them all.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sharpvae.core.seeds import global_seed
from sharpvae.given.score import score

Images = NDArray[np.uint8]  # (N, S, S, 1)

PREPARED, SAMPLES, OUT = Path("data/prepared"), Path("data/samples"), Path("reports/peers")
VARIANTS = ("original", "improved", "sharp")
EPOCHS, BATCH, LR, LATENT = 30, 64, 1e-3, 16
COUNT = 1000  # samples of each
SEED = 0


def main() -> None:
    """Train, draw, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of Pythae's trainings")
    epochs = parser.parse_args().epochs
    reals = np.load(PREPARED / "train.npy")
    sets: dict[str, Images] = {
        "pythae-vae": peer("vae", reals, epochs),
        "pythae-vaegan": peer("vaegan", reals, epochs),
        **{name: np.load(SAMPLES / name / "0/headline.npy") for name in VARIANTS},
        **faults(np.load(PREPARED / "test.npy")),
    }
    everything = np.concatenate([reals, np.load(PREPARED / "validation.npy")])
    result = score({name: own[:COUNT] for name, own in sets.items()}, real=everything)
    print(result)
    result.save(OUT)
    print(OUT / "score.html")


def peer(kind: str, reals: Images, epochs: int) -> Images:
    """Samples of a VAE that Pythae trains."""
    planes = torch.from_numpy(reals).permute(0, 3, 1, 2).float() / 255
    with global_seed(SEED, kind), tempfile.TemporaryDirectory() as folder:
        drawn = _trained(kind, planes, epochs, folder)
    return (drawn.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _trained(kind: str, planes: torch.Tensor, epochs: int, folder: str) -> torch.Tensor:
    from pythae.models import VAE, VAEGAN, VAEConfig, VAEGANConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.samplers import NormalSampler
    from pythae.trainers import BaseTrainerConfig, CoupledOptimizerAdversarialTrainerConfig

    shape: dict[str, Any] = {"input_dim": tuple(planes.shape[1:]), "latent_dim": LATENT}
    run = {"output_dir": folder, "num_epochs": epochs, "per_device_train_batch_size": BATCH}
    if kind == "vae":
        model: Any = VAE(VAEConfig(**shape))
        training: Any = BaseTrainerConfig(learning_rate=LR, **run)
    else:
        model = VAEGAN(VAEGANConfig(**shape))
        rates = ("encoder", "decoder", "discriminator")
        training = CoupledOptimizerAdversarialTrainerConfig(
            **{f"{part}_learning_rate": LR for part in rates}, **run
        )
    TrainingPipeline(training_config=training, model=model)(train_data=planes)
    model = model.to("cpu").eval()
    return torch.as_tensor(NormalSampler(model=model).sample(COUNT, return_gen=True)).cpu()


def faults(test: Images) -> dict[str, Images]:
    """Images whose scores are known beforehand: reals, reals that are blurred, repeated reals."""
    blurred = gaussian_filter(test.astype(np.float64), (0, 1, 1, 0))
    return {
        "reals": test, "reals-blurred-1px": np.rint(blurred).astype(np.uint8),
        "hundred-repeated": np.tile(test[:100], (10, 1, 1, 1)),
    }  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("WANDB_MODE", "disabled")
    logging.disable(logging.INFO)
    torch.set_flush_denormal(True)  # or VAEGAN's updates take ten times as long after a while
    main()
