"""Pictures of the same images every few epochs, numbered so that they play as a film."""

from __future__ import annotations

from pathlib import Path

import torch

from sharpvae.artefacts import force
from sharpvae.datasets.batches import Feed
from sharpvae.networks.vae import VAE
from sharpvae.sampling.draw import asked_labels, encode_images, from_prior, to_packed
from sharpvae.sampling.grid import grid, pairs

_COLUMNS = 8
_IMAGES = 32


class Film:
    """Writes `reconstructions/<n>.png` and `samples/<n>.png`, n = 0 before the first update.

    Args:
        directory: gets the two folders; may have them, with the frames of an interrupted run.
        every: epochs between frames; 0 films the end alone.
        validation: its first images are reconstructed in every frame.
        seed: of the latents that every frame decodes.
        epochs: done before an interruption, whose frames are there; None at a fresh start.
    """

    def __init__(
        self, directory: Path, every: int, validation: Feed, seed: int, epochs: int | None = None
    ) -> None:
        self.directory, self.every, self.seed = directory, every, seed
        count = min(_IMAGES, validation.count)
        count = count // _COLUMNS * _COLUMNS or count  # whole rows, where there is one
        self.columns = min(_COLUMNS, count)
        self.batch = validation.take(torch.arange(count))
        known = validation.labels
        self.asked = None if known is None else asked_labels(known, 4 * _COLUMNS, seed)
        past = range(1, (epochs or 0) + 1)
        self.frames = 0 if epochs is None else 1 + sum(self.due(n, last=False) for n in past)
        for name in ("reconstructions", "samples"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def due(self, epoch: int, last: bool) -> bool:
        """Whether a frame belongs after `epoch` (0 is before the first)."""
        return last or (self.every > 0 and epoch % self.every == 0)

    @torch.no_grad()
    def shoot(self, vae: VAE) -> tuple[Path, Path]:
        """Write the next frame: reconstructions, samples. The VAE is left in the mode it was in."""
        training = vae.training
        vae.eval()
        encoded = encode_images(vae, *self.batch)
        real = to_packed(self.batch.images)
        reconstructions = pairs(real, encoded.reconstructions, self.columns)
        drawn = from_prior(vae, 4 * _COLUMNS, 4 * _COLUMNS, self.seed, self.asked)
        samples = grid(drawn, _COLUMNS)
        name = f"{self.frames}.png"
        paths = self.directory / "reconstructions" / name, self.directory / "samples" / name
        for path, picture in zip(paths, (reconstructions, samples), strict=True):
            picture.save(path)
            force(path)  # as the checkpoint that counts it
        self.frames += 1
        vae.train(training)
        return paths
