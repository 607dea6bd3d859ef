"""The section `metrics`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sharpvae.core.config import Count, Positive, Section
from sharpvae.perception.config import ClassifierConfig


class MetricsConfig(Section):
    """The judges, and the protocol of the scores."""

    features: Literal["panel", "inception"]
    weights: str | None
    batch_size: Count
    kid_subsets: Count
    kid_subset_size: Annotated[int, Field(ge=2)] | None
    neighbours: Count | None
    active_threshold: Positive


class ReferenceStage(Section):
    """configs/reference.json"""

    judge: ClassifierConfig
    metrics: MetricsConfig
    device: str
    threads: Count


class EvaluateStage(Section):
    """configs/<variant>/evaluate.json"""

    variant: str
    metrics: MetricsConfig
    device: str
    threads: Count
