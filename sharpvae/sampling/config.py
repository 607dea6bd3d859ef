"""The section `sample`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sharpvae.core.config import Count, NonNegative, Positive, Section, Units
from sharpvae.core.errors import UserError, nearest

Likelihood = Literal["none", "bernoulli", "gaussian"]


class MixtureConfig(Section):
    """The ex-post density of the codes; see `sampling.mixture`."""

    components: Annotated[list[Count], Field(min_length=1)]
    draws: Annotated[int, Field(ge=2)]
    signal: NonNegative
    axes: Count
    iterations: Count


class FlowConfig(Section):
    """The learned prior; see `sampling.flow`."""

    steps: Count
    width: Units
    batch_size: Annotated[int, Field(ge=2)]


class TraversalConfig(Section):
    """Which dimensions are walked through, how far and in how many steps."""

    dimensions: Count
    reach: Positive
    steps: Annotated[int, Field(ge=2)]


class InterpolationConfig(Section):
    """How many pairs of images, with how many images on the way, by which path."""

    pairs: Count
    steps: Annotated[int, Field(ge=2)]
    path: Literal["linear", "spherical"]


class LikelihoodConfig(Section):
    """How many posterior draws estimate log p(x) of an image; see `sampling.likelihood`."""

    samples: Annotated[int, Field(ge=0)]


class SampleConfig(Section):
    """What a trained VAE draws: the images that are scored, and the pictures to look at."""

    count: Annotated[int, Field(ge=2)] | None
    batch_size: Count
    columns: Count
    prior: Literal["normal", "mixture", "flow", "validation"]
    temperatures: Annotated[list[NonNegative], Field(min_length=1)]
    mixture: MixtureConfig
    flow: FlowConfig
    traversal: TraversalConfig
    interpolation: InterpolationConfig
    likelihood: LikelihoodConfig
    arithmetic: list[Annotated[list[str], Field(min_length=3, max_length=3)]] | None

    def drawn(self, test: int) -> int:
        """How many images to draw; `test` as `scored` has it."""
        return scored(self.count, test)


def scored(count: int | None, test: int) -> int:
    """How many images are scored: `count`, else as many as there are in `test`, 2 to 10 000."""
    return count or max(2, min(test, 10_000))


def unknown_classes(
    where: str, rows: Sequence[Sequence[str]] | None, class_names: Sequence[str]
) -> list[UserError]:
    """One error for each name in `rows`, which stands at the dotted key `where`, of no class."""
    return [
        UserError(f"{where}[{index}]", "names of classes", repr(name), nearest(name, class_names))
        for index, row in enumerate(rows or [])
        for name in row
        if name not in class_names
    ]


class SampleStage(Section):
    """configs/<variant>/sample.json"""

    variant: str
    sample: SampleConfig
    likelihood: Likelihood  # of the images, as the loss has it
    device: str
    threads: Count
