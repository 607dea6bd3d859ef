"""One resolved JSON per stage (and variant): a stage reruns only when its own file changes."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from sharpvae.artefacts import read_json
from sharpvae.config.loss_schema import LossConfig
from sharpvae.config.schema import (
    ClassifierConfig,
    DataConfig,
    Experiment,
    LoggingConfig,
    MetricsConfig,
    ModelConfig,
    SampleConfig,
    TrainConfig,
    VariantConfig,
)
from sharpvae.config.section import Count, Section
from sharpvae.errors import UserError


class Minimum(Section):
    """How few images of each split the later stages can work with."""

    train: Count
    validation: Count
    test: Count


class PrepareStage(Section):
    """configs/prepare.json"""

    data: DataConfig
    minimum: Minimum


class CriticStage(Section):
    """configs/critic.json"""

    critic: ClassifierConfig
    device: str


class ReferenceStage(Section):
    """configs/reference.json"""

    judge: ClassifierConfig
    metrics: MetricsConfig
    device: str


class TrainStage(Section):
    """configs/<variant>/train.json"""

    variant: str
    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    logging: LoggingConfig
    device: str


class SampleStage(Section):
    """configs/<variant>/sample.json"""

    variant: str
    sample: SampleConfig
    device: str


class EvaluateStage(Section):
    """configs/<variant>/evaluate.json"""

    variant: str
    metrics: MetricsConfig
    device: str


class ReportStage(Section):
    """configs/report.json"""

    preset: str
    seeds: list[int]
    data: DataConfig
    metrics: MetricsConfig
    variants: dict[str, VariantConfig]


Stage = TypeVar("Stage", bound=Section)


def stage_files(experiment: Experiment) -> dict[str, Section]:
    """Relative file name under configs/ -> what that stage is to do."""
    device = experiment.device
    files: dict[str, Section] = {
        "prepare.json": PrepareStage(data=experiment.data, minimum=_minimum(experiment)),
        "critic.json": CriticStage(critic=experiment.critic, device=device),
        "reference.json": ReferenceStage(
            judge=experiment.judge, metrics=experiment.metrics, device=device
        ),
        "report.json": ReportStage(
            preset=experiment.preset,
            seeds=experiment.seeds,
            data=experiment.data,
            metrics=experiment.metrics,
            variants=experiment.variants,
        ),
    }
    for name, variant in experiment.variants.items():
        files[f"{name}/train.json"] = TrainStage(
            variant=name,
            model=variant.model,
            loss=variant.loss,
            train=variant.train,
            logging=experiment.logging,
            device=device,
        )
        files[f"{name}/sample.json"] = SampleStage(
            variant=name, sample=variant.sample, device=device
        )
        files[f"{name}/evaluate.json"] = EvaluateStage(
            variant=name, metrics=experiment.metrics, device=device
        )
    return files


def _minimum(experiment: Experiment) -> Minimum:
    """A full batch to train on, an image to validate on (two for a FID), a KID subset to test on.

    The judge and the critic each see half of the training split, and the floor of the FID
    compares as many training images with the test split as one KID subset holds.
    """
    batches = [variant.train.batch_size for variant in experiment.variants.values()]
    batches += [2 * experiment.judge.batch_size, 2 * experiment.critic.batch_size]
    return Minimum(
        train=max(*batches, experiment.metrics.kid_subset_size),
        validation=2 if any(v.train.best_by == "fid" for v in experiment.variants.values()) else 1,
        test=experiment.metrics.kid_subset_size,
    )


def load_stage(path: Path, stage: type[Stage]) -> Stage:
    """Read what `configure` wrote for one stage.

    Raises:
        UserError: the file is missing or does not fit, as after an update of the code.
    """
    try:
        return stage.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            str(path),
            f"the file that `configure` writes for {stage.__name__}",
            f"{key}: {first['msg']}",
            "write it anew: dvc repro configure",
        ) from None
