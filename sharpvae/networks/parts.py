"""What a family of networks has to supply for `vae.Encoder` and `vae.Decoder`."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn


class EncoderBody(NamedTuple):
    """Images to features, which the heads of mean and log-variance read."""

    body: nn.Sequential
    features: int


class DecoderParts(NamedTuple):
    """Latents to pixels before the sigmoid: head(body(stem(z)))."""

    stem: nn.Sequential
    body: nn.Sequential
    head: nn.Module  # draws the pixels
