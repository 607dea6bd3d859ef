"""The typed schema of params.yaml: every section, every key, its type and its range.

No key has a hidden default: what a run uses is in params.yaml, presets/ or studies/. `None` (YAML
`null`) is allowed only where the type includes it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, field_serializer, field_validator, model_validator

from sharpvae.config.tune import TuneConfig
from sharpvae.core.config import Count, GivenStage, Section, nested_section
from sharpvae.datasets.config import DataConfig, Minimum, PrepareStage
from sharpvae.datasets.given import digest as samples_digest
from sharpvae.objective.config import LossConfig
from sharpvae.perception.config import ClassifierConfig, CriticStage
from sharpvae.report.evidence import ReportStage
from sharpvae.sampling.config import SampleConfig, SampleStage
from sharpvae.scoring.config import EvaluateStage, MetricsConfig, ReferenceStage
from sharpvae.training.config import Before, LoggingConfig, TrainConfig, TrainStage
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.reference import digest


class VariantConfig(Section):
    """All that may differ between variants."""

    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    sample: SampleConfig
    before: Before | None = Field(default=None, exclude_if=lambda value: value is None)

    @field_serializer("before")
    def _differing(self, before: Before) -> dict[str, Any]:
        """Only what is not the variant's own, which is also how a person writes it."""
        own = {name: getattr(self, name).model_dump() for name in Before.model_fields}
        return _without(before.model_dump(), own)

    @model_validator(mode="after")
    def _same_processes(self) -> VariantConfig:
        if self.before is not None:
            for key in ("devices", "nodes"):
                if getattr(self.before.train, key) != getattr(self.train, key):
                    raise ValueError(f"one train.{key}, before as after")
        return self


def _without(tree: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What of `tree` differs from `other`, section by section."""
    return {
        key: _without(value, other[key]) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value != other[key]
    }


class GivenConfig(Section):
    """A variant that is images made elsewhere, which stand beside those of the trained ones."""

    samples: str


class Experiment(Section):
    """params.yaml, resolved: the settings of all stages.

    Attributes:
        variants: those that are trained here.
        given: those that are images made elsewhere.
        order: the names of both, as params.yaml has them; the first is the baseline.
    """

    preset: str
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    device: str
    threads: Count
    data: DataConfig
    judge: ClassifierConfig
    critic: ClassifierConfig
    metrics: MetricsConfig
    logging: LoggingConfig
    tune: TuneConfig
    variants: Annotated[dict[str, VariantConfig], Field(min_length=1)]
    given: dict[str, GivenConfig]
    order: list[str]

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("a list of different integers, such as [0, 1, 2]")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError("auto, cpu, mps, cuda or cuda:<index>")
        return value


def _sections(parent: type[Section]) -> dict[str, type[Section]]:
    """The keys of `parent` that are sections themselves."""
    nested = {key: nested_section(parent, key) for key in parent.model_fields}
    return {key: section for key, section in nested.items() if section is not None}


SHARED_SECTIONS = _sections(Experiment)
VARIANT_SECTIONS = _sections(VariantConfig)
BEFORE_SECTIONS = _sections(Before)
SECTIONS = SHARED_SECTIONS | VARIANT_SECTIONS
PRESET_SECTIONS = {name: SECTIONS[name] for name in ("data", "model", "loss", "train")}


def stage_files(experiment: Experiment) -> dict[str, Section]:
    """Path below configs/ -> the settings of that stage.

    Raises:
        UserError: the code of a network of the user's own cannot be read, or given samples.
    """
    metrics, dumped = experiment.metrics, experiment.model_dump()
    machine: Any = {"device": experiment.device, "threads": experiment.threads}
    files: dict[str, Section] = {
        "prepare.json": prepare_stage(experiment),
        "critic.json": CriticStage(critic=experiment.critic, **machine),
        "reference.json": ReferenceStage(judge=experiment.judge, metrics=metrics, **machine),
        "report.json": ReportStage(
            **{key: dumped[key] for key in ReportStage.model_fields if key != "variants"},
            variants={
                name: (dumped["variants"] | dumped["given"])[name] for name in dumped["order"]
            },
        ),
    }
    for name, variant in experiment.variants.items():
        files[f"{name}/train.json"] = train_stage(experiment, name)
        files[f"{name}/sample.json"] = SampleStage(
            variant=name,
            sample=variant.sample,
            likelihood=variant.loss.likelihood,
            **machine,
        )
    for name, given in experiment.given.items():
        stage = _given_stage(name, given.samples, experiment)
        files |= {f"{name}/train.json": stage, f"{name}/sample.json": stage}
    for name in experiment.order:
        files[f"{name}/evaluate.json"] = EvaluateStage(variant=name, metrics=metrics, **machine)
    return files


def _given_stage(name: str, samples: str, experiment: Experiment) -> GivenStage:
    """Of images made elsewhere, of which as many are scored as the first trained variant draws."""
    count = next(iter(experiment.variants.values())).sample.count
    return GivenStage(variant=name, samples=samples, sha256=samples_digest(samples), count=count)


def prepare_stage(experiment: Experiment) -> PrepareStage:
    """Which images are prepared, and how few are enough.

    These are a full batch to train on, two images to validate and to test on, or `kid_subset_size`.
    Judge and critic take what is there. A score that needs more images than there are is left out.
    """
    trainings = [
        phase.train
        for variant in experiment.variants.values()
        for phase in (variant, variant.before)
        if phase is not None
    ]
    batches = [train.batch_size for train in trainings]
    fewest = [min(variant.sample.mixture.components) for variant in experiment.variants.values()]
    minimum = Minimum(
        train=max(batches), validation=2, test=experiment.metrics.kid_subset_size or 2,
        mixture=2 * max(fewest),
    )  # fmt: skip
    return PrepareStage(data=experiment.data, minimum=minimum)


def train_stage(experiment: Experiment, name: str) -> TrainStage:
    """How the variant `name` is trained.

    Raises:
        UserError: the code of a network of the user's own cannot be read.
    """
    variant = experiment.variants[name]
    return TrainStage(
        variant=name,
        model=variant.model,
        loss=variant.loss,
        train=variant.train,
        logging=experiment.logging,
        device=experiment.device,
        threads=experiment.threads,
        code=digest(variant.model.family) if variant.model.own else None,
        before=variant.before,
    )
