"""Every score the report knows: its name, what it measures, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Goal = Literal["lower", "higher", "one", "zero", "none"]

GOAL_TEXT: dict[Goal, str] = {
    "lower": "lower \N{DOWNWARDS ARROW}",
    "higher": "higher \N{UPWARDS ARROW}",
    "one": "\N{RIGHTWARDS ARROW} 1",
    "zero": "\N{RIGHTWARDS ARROW} 0",
    "none": "",
}
PRIOR = "Samples from the prior"
MIXTURE = "Samples from the mixture fitted to the codes"
RECONSTRUCTION = "Reconstructions of test images"
LATENT = "Latent space and objective"


@dataclass(frozen=True)
class Metric:
    """One row of the table of scores.

    Attributes:
        key: its name in scores.json.
        label: its name for a reader, with the unit.
        group: its heading.
        goal: which value is better; "none" where no value is.
        signed: whether a plus sign is shown.
        places: the least number of digits after the point.
    """

    key: str
    label: str
    group: str
    goal: Goal
    meaning: str
    signed: bool = False
    places: int = 0


def _exposure(key: str, label: str, statistic: str) -> tuple[Metric, Metric]:
    meaning = f"{statistic} of each image, averaged over the images; pixels in [0, 1]."
    gap = f"{label} of the samples minus that of the real test images."
    return (
        Metric(key, label, PRIOR, "none", meaning),
        Metric(f"{key}_gap", f"{label} gap", PRIOR, "zero", gap, signed=True),
    )


METRICS: tuple[Metric, ...] = (
    Metric("fid", "FID", PRIOR, "lower",
        "Fréchet distance between Gaussians fitted to the features of samples and of real test "
        "images. Biased by the number of images: compare only values made with the same counts."),
    Metric("kid", "KID", PRIOR, "lower",
        "Squared maximum mean discrepancy of the same features with a cubic kernel, averaged over "
        "random subsets. Unbiased, so it can fall slightly below 0.", places=4),
    Metric("sharpness", "Sharpness ratio", PRIOR, "one",
        "Variance of the 3 by 3 Laplacian of each grey image, averaged, divided by the same "
        "average over the real test images. Below 1 is blur; above 1 is noise or checkerboards."),
    Metric("class_agreement", "Right class", PRIOR, "higher",
        "Share of a conditional variant's samples in which the judge sees the class that was asked "
        "for. The judge errs on real images too."),
    *_exposure("brightness", "Brightness", "Mean"),
    *_exposure("contrast", "Contrast", "Standard deviation"),
    *_exposure("minimum", "Darkest pixel", "Minimum"),
    *_exposure("maximum", "Brightest pixel", "Maximum"),
    Metric("fid_mixture", "FID", MIXTURE, "lower",
        "As above, for samples whose codes come from a Gaussian mixture fitted, after training, to "
        "the codes of the training images. What it gains on the prior's FID, the prior loses."),
    Metric("kid_mixture", "KID", MIXTURE, "lower", "As above, for the mixture.", places=4),
    Metric("sharpness_mixture", "Sharpness ratio", MIXTURE, "one", "As above, for the mixture."),
    Metric("fid_reconstruction", "FID", RECONSTRUCTION, "lower",
        "As above, for reconstructions. The distance from here to the FID of the samples is what "
        "the prior costs; the rest is the decoder's."),
    Metric("kid_reconstruction", "KID", RECONSTRUCTION, "lower",
        "As above, for reconstructions.", places=4),
    Metric("sharpness_reconstruction", "Sharpness ratio", RECONSTRUCTION, "one",
        "As above, for reconstructions."),
    Metric("psnr", "PSNR, dB", RECONSTRUCTION, "higher",
        "Peak signal-to-noise ratio of each reconstruction against its test image, averaged."),
    Metric("ssim", "SSIM", RECONSTRUCTION, "higher",
        "Structural similarity of each reconstruction to its test image, averaged; 1 is "
        "identical."),
    Metric("active_units", "Active units", LATENT, "none",
        "Latent dimensions whose posterior mean varies over the test images by more than the "
        "threshold. Near 0 the decoder ignores the code: posterior collapse."),
    Metric("kl", "KL, nats", LATENT, "none",
        "Kullback-Leibler divergence from posterior to prior, summed over latent dimensions, "
        "averaged over test images."),
    Metric("beta_sigma", "beta_sigma", LATENT, "none",
        "Weight of the KL summed over latent dimensions against the squared error summed over "
        "pixels: what the objective amounts to, whatever its own scaling."),
)  # fmt: skip
BY_KEY = {metric.key: metric for metric in METRICS}

# What goes to reports/metrics.json, where `dvc metrics diff` compares it.
HEADLINE = (
    "fid", "fid_mixture", "fid_reconstruction", "kid", "sharpness", "sharpness_mixture",
    "brightness_gap", "contrast_gap", "psnr", "active_units", "class_agreement", "beta_sigma",
)  # fmt: skip
# Scores of conditional variants; they are left out where no variant is one.
CONDITIONAL = ("class_agreement",)
OPTIONAL = ("beta_sigma", *CONDITIONAL)  # null in scores.json where a variant has none
# Scores that a collapsed model can win by accident: they measure local texture alone.
MEANINGLESS_WHEN_COLLAPSED = ("sharpness", "sharpness_mixture", "sharpness_reconstruction")
