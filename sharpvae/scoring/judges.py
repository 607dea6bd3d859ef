"""The networks of the panel: each maps images to features that blur, noise and wrong shapes move.

Means over space see what an image holds, deviations where it holds it, and noise and checkerboards,
which means cannot see.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharpvae.core.artefacts import Artefact, load_artefact
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.core.seeds import generator
from sharpvae.core.weights import load_weights, save_weights
from sharpvae.perception.critic import ClassifierShape, Critic
from sharpvae.perception.efficientnet import load_efficientnet
from sharpvae.perception.pretrained import find

PURPOSE = "Judge"  # of the random draws; another word is another judge, and moves every score
DESCRIPTION = "judge.json"  # beside its weights


def moments(maps: Tensor) -> Tensor:
    """Mean and deviation over space of each channel.  (B, F, h, w) => (B, 2 F)"""
    return torch.cat([maps.mean((2, 3)), maps.std((2, 3), unbiased=False)], 1)


class ImageNetJudge(nn.Module):
    """EfficientNet-Lite0 (Tan & Le 2019), trained on ImageNet; never a network of a loss.

    Moments after blocks 0, 2, 4, 7 and 10, means after 15: 864 features. Images of fewer than 64
    pixels a side are enlarged to 64, or the late blocks would see one pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = load_efficientnet((0, 2, 4, 7, 10, 15)).to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W), C 1 or 3 => float32 (B, 864)"""
        pixels = images.float()
        if min(pixels.shape[2:]) < 64:
            pixels = F.interpolate(pixels, (64, 64), mode="bilinear")
        pixels = pixels.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        *early, last = self.network(pixels)
        return torch.cat([*(moments(maps) for maps in early), last.mean((2, 3))], 1)


class LearnedJudge(nn.Module):
    """A small classifier of the user's own images, trained by the stage `reference`.

    Built as the critic is, with other random numbers and from the other half of the training split.
    No norm: one that divides by the deviation would take noise for contrast. Its features are the
    moments after each block.
    """

    def __init__(self, image_channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.classifier = Critic(image_channels, classes, widths)

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) in [0, 1] => class logits (B, K)"""
        logits: Tensor = self.classifier(images)
        return logits

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) => float32 (B, 2 * sum of widths)"""
        layers = self.classifier.features(images.float() / 255)
        return torch.cat([moments(maps) for maps in layers], 1)


class RandomJudge(nn.Module):
    """Three 3x3 convolutions of fixed random weights, absolute values, average pooling.

    Untrained features order images by texture and shape (Naeem et al. 2020, section 4). The first
    filters sum to 0, so that brightness alone does not move them; there is no norm, so that faint
    noise does.
    """

    WIDTHS = (16, 32, 64)

    def __init__(self, image_channels: int) -> None:
        super().__init__()
        random = generator(0, "RandomJudge")
        for index, (a, b) in enumerate(pairwise((image_channels, *self.WIDTHS))):
            weight = torch.randn(b, a, 3, 3, generator=random) * (2 / (9 * a)) ** 0.5
            if index == 0:
                weight -= weight.mean((1, 2, 3), keepdim=True)
            self.register_buffer(f"weight{index}", weight)

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) => float32 (B, 224)"""
        hidden, found = images.float() / 255 - 0.5, []
        for index in range(len(self.WIDTHS)):
            hidden = F.conv2d(hidden, self.get_buffer(f"weight{index}"), padding=index and 1).abs()
            found.append(moments(hidden))
            hidden = F.avg_pool2d(hidden, 2)
        return torch.cat(found, 1)


class PixelJudge(nn.Module):
    """No network: local energy of a Laplacian pyramid (Burt & Adelson 1983), and what it leaves.

    The root mean square of each of three bands, and the last mean, in each cell of a 4x4 grid.
    """

    GRID, LEVELS = 4, 3

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        self.register_buffer("kernel", torch.outer(row, row)[None, None])

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W), H and W at least 16 => float32 (B, 64 C)"""
        level, found = images.float() / 255, []
        kernel = self.get_buffer("kernel").expand(images.shape[1], 1, 5, 5)
        for _ in range(self.LEVELS):
            padded = F.pad(level, (2, 2, 2, 2), mode="reflect")
            smooth = F.conv2d(padded, kernel, groups=images.shape[1])
            energy = F.adaptive_avg_pool2d((level - smooth).square(), self.GRID)
            found.append((energy + 1e-8).sqrt().flatten(1))
            level = smooth[:, :, ::2, ::2]
        found.append(F.adaptive_avg_pool2d(level, self.GRID).flatten(1))
        return torch.cat(found, 1)


class InceptionJudge(nn.Module):
    """torch-fidelity's InceptionV3, the network of published FIDs; 2048 features.

    Args:
        given: `metrics.weights`; None for the place where `sharpvae weights` puts them.

    Raises:
        UserError: the weights are missing or damaged.
    """

    def __init__(self, given: str | None) -> None:
        from torch_fidelity.utils import create_feature_extractor  # takes a second; rarely needed

        super().__init__()
        path = find("inception", given, "metrics.weights", "set metrics.features: panel")
        try:
            torch.load(path, map_location="cpu", weights_only=True)  # torch-fidelity would run code
            self.network = create_feature_extractor(
                "inception-v3-compat", ["2048"], cuda=False, verbose=False,
                feature_extractor_weights_path=str(path),
            )  # fmt: skip
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
            raise UserError(
                str(path), "torch-fidelity's InceptionV3 weights",
                " ".join(str(error).split())[:200],
                "get them with: sharpvae weights inception, or set metrics.features: panel",
            ) from None  # fmt: skip

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W), C 1 or 3 => float32 (B, 2048)"""
        features: Tensor = self.network(images.expand(-1, 3, -1, -1))[0]
        return features


class JudgeTask(Artefact):
    """judge.json, of which `agreement` needs what the judge learned to tell."""

    task: Literal["labels", "rotations"]


def save_learned(directory: Path, judge: LearnedJudge, description: dict[str, Any]) -> None:
    """Write `judge.safetensors`, and `judge.json` with image_channels, classes, widths, task."""
    save_weights(directory / "judge.safetensors", judge)
    write_json(directory / DESCRIPTION, description)


def load_learned(directory: Path) -> LearnedJudge:
    """Read what `save_learned` wrote; UserError where a file is missing or damaged."""
    shape = load_artefact(directory / DESCRIPTION, ClassifierShape)
    judge = LearnedJudge(shape.image_channels, shape.classes, shape.widths)
    load_weights(directory / "judge.safetensors", judge)
    return judge.eval()
