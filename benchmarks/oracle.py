"""How a network that the project never uses orders the variants: VGG19, trained on ImageNet.

    python -m benchmarks.oracle vgg_normalised_conv3_1.pth

After `dvc repro`: Frechet distance of each variant's samples from the test images, seed by seed, in
moments of relu1_1, relu2_1 and relu3_1, beside that of as many training images. The weights are
those of the "normalised" VGG19 of github.com/pietrocarbo/deep-transfer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measuring import markdown
from sharpvae.images.packed import load_split
from sharpvae.perception.fidelity import fid
from sharpvae.scoring.judges import moments
from sharpvae.scoring.panel import Features, Images, Scale, extract

PREPARED, SAMPLES = Path("data/prepared"), Path("data/samples")
LAYERS = (0, 2, 5, 9, 12, 16)  # of the convolutions; the first turns RGB into BGR minus a mean
HALVED, TAPPED = (5, 12), (2, 9, 16)  # those that a pooling follows; whose outputs are compared


class Oracle:
    """VGG19 up to relu3_1, as a judge."""

    def __init__(self, path: Path) -> None:
        self.weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)

    def to(self, device: torch.device) -> Oracle:
        """It stays on the CPU."""
        return self

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W), C 1 or 3 => float32 (B, 896)"""
        hidden, found = images.expand(-1, 3, -1, -1).float() / 255, []
        for layer in LAYERS:
            weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
            if layer:
                hidden = F.pad(hidden, (1, 1, 1, 1), mode="reflect")
            hidden = F.conv2d(hidden, weight, bias)
            hidden = F.relu(hidden) if layer else hidden
            if layer in TAPPED:
                found.append(moments(hidden))
            if layer in HALVED:
                hidden = F.max_pool2d(hidden, 2)
        return torch.cat(found, 1)


def main(weights: str) -> None:
    """Print the table."""
    oracle = Oracle(Path(weights))

    def look(images: Images) -> Features:
        return extract(oracle, images, 32, torch.device("cpu"))

    train, test = (load_split(PREPARED, name).images for name in ("train", "test"))
    seen = look(train)
    scale = Scale.of(seen)
    reals = scale(look(test))
    rows = [["training images", "", f"{fid(reals, scale(seen[: len(test)])):.0f}", "", ""]]
    for folder in sorted(SAMPLES.glob("*/*")):
        drawn = [
            f"{fid(reals, scale(look(np.load(folder / f'{name}.npy')))):.0f}"
            for name in ("prior", "mixture", "reconstruction")
        ]
        rows.append([folder.parent.name, folder.name, *drawn])
    print(markdown(["variant", "seed", "prior", "mixture", "reconstructions"], rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
