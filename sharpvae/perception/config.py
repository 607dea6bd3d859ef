"""The sections `judge` and `critic`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sharpvae.core.config import Count, Positive, Section, Widths


class ClassifierConfig(Section):
    """Training of a small classifier on real images: the judge or the critic."""

    widths: Widths
    epochs: Count
    lr: Positive
    batch_size: Count
    seed: Annotated[int, Field(ge=0)]


class CriticStage(Section):
    """configs/critic.json"""

    critic: ClassifierConfig
    device: str
    threads: Count
