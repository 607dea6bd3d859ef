"""One file a stage, and no file changes but those whose stage is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpvae.config.experiment import stage_files
from sharpvae.config.resolve import resolve_file
from sharpvae.core.config import load_stage
from sharpvae.core.errors import UserError
from sharpvae.datasets.config import Minimum, PrepareStage
from sharpvae.sampling.config import SampleStage
from sharpvae.training.config import TrainStage

EXPERIMENT = resolve_file(Path(__file__).parents[2] / "params.yaml").experiment


def test_each_variant_has_its_three_files() -> None:
    names = set(stage_files(EXPERIMENT))
    for variant in EXPERIMENT.variants:
        assert {f"{variant}/{stage}.json" for stage in ("train", "sample", "evaluate")} <= names


def test_a_file_round_trips(tmp_path: Path) -> None:
    stage = stage_files(EXPERIMENT)["improved/train.json"]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(stage.model_dump()))
    assert load_stage(path, TrainStage) == stage


def test_more_samples_touch_no_training() -> None:
    variants = {
        name: variant.model_copy(
            update={"sample": variant.sample.model_copy(update={"count": 2000})}
        )
        for name, variant in EXPERIMENT.variants.items()
    }
    before = stage_files(EXPERIMENT)
    after = stage_files(EXPERIMENT.model_copy(update={"variants": variants}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"{name}/sample.json" for name in variants} | {"report.json"}


@pytest.mark.parametrize(
    ("weights", "likelihood"),
    [
        ({"bce": 2.0}, "bernoulli"), ({"gaussian": 1.0}, "gaussian"), ({"mse": 1.0}, "none"),
        ({"bce": 1.0, "l1": 0.1}, "none"), ({"gaussian": 1.0, "perceptual": 1.0}, "none"),
    ],
)  # fmt: skip
def test_sampling_is_told_which_likelihood_the_loss_is(
    loss_config, weights: dict[str, float], likelihood: str
) -> None:
    loss = loss_config(weights={"mse": 0.0, **weights})
    improved = EXPERIMENT.variants["improved"].model_copy(update={"loss": loss})
    changed = EXPERIMENT.model_copy(update={"variants": {"one": improved}, "order": ["one"]})
    sample = stage_files(changed)["one/sample.json"]
    assert isinstance(sample, SampleStage) and sample.likelihood == likelihood


def test_a_stale_file_says_how_to_renew_it(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{"variant": "x"}')
    with pytest.raises(UserError, match="dvc repro configure"):
        load_stage(path, TrainStage)


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        load_stage(tmp_path / "train.json", TrainStage)


@pytest.mark.parametrize(("subset", "test"), [(None, 2), (300, 300)])
def test_the_least_images_are_a_batch_of_every_vae_and_two_to_score(
    subset: int | None, test: int
) -> None:
    metrics = EXPERIMENT.metrics.model_copy(update={"kid_subset_size": subset})
    judge = EXPERIMENT.judge.model_copy(update={"batch_size": 500})  # it takes what is there
    changed = EXPERIMENT.model_copy(update={"metrics": metrics, "judge": judge})
    largest = max(variant.train.batch_size for variant in EXPERIMENT.variants.values())
    prepare = stage_files(changed)["prepare.json"]
    assert isinstance(prepare, PrepareStage)
    assert prepare.minimum == Minimum(train=largest, validation=2, test=test, mixture=2)


def test_the_smallest_mixture_of_every_vae_has_two_images_a_component() -> None:
    """Or `sample` would refuse it, after all trainings."""
    variants = {
        name: variant.model_copy(update={"sample": variant.sample.model_copy(update={
            "mixture": variant.sample.mixture.model_copy(update={"components": components})
        })})
        for (name, variant), components in zip(
            EXPERIMENT.variants.items(), ([400, 300], [100_000], [1]), strict=True
        )
    }  # fmt: skip
    prepare = stage_files(EXPERIMENT.model_copy(update={"variants": variants}))["prepare.json"]
    assert isinstance(prepare, PrepareStage)
    assert prepare.minimum.mixture == 200_000
