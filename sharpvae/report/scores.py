"""The scores: what each measures, and which way is better."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from sharpvae.core.artefacts import AGAIN, load_artefact
from sharpvae.core.config import GIVEN
from sharpvae.core.errors import UserError
from sharpvae.report.artefacts import Scores

Goal = Literal["lower", "higher", "one", "zero", "none"]

GOAL_TEXT: dict[Goal, str] = {
    "lower": "lower \N{DOWNWARDS ARROW}",
    "higher": "higher \N{UPWARDS ARROW}",
    "one": "\N{RIGHTWARDS ARROW} 1",
    "zero": "\N{RIGHTWARDS ARROW} 0",
    "none": "",
}
SAMPLES = "Samples"
RECONSTRUCTION = "Reconstructions of test images"
LATENT = "Latent space and objective"


class Draw(NamedTuple):
    """Where codes are drawn from, to be decoded, scored and shown."""

    kind: str  # the name of its file of images
    heading: str
    reading: str  # what its samples tell


DRAWS = (
    Draw("headline", SAMPLES,
        "Are the strokes or edges as crisp as in the real images, is every sample something real, "
        "and do the samples differ from each other as real images do?"),
    Draw("prior", "Samples from N(0, I)",
        "The prior that the VAE was trained with. Where its samples are worse than those of mixture"
        " or flow, decoder and codes are sound, and the prior is what spoils them."),
    Draw("mixture", "Samples from the mixture fitted to the codes",
        "A Gaussian mixture, fitted to the codes of the training images after training."),
    Draw("flow", "Samples from the flow fitted to the codes",
        "A network that carries noise to the codes of the training images, fitted after training."),
)  # fmt: skip
# What a variant draws from, a word for each kind but the headline's, which is one of them.
SOURCES = {
    "prior": "the prior N(0, I)", "mixture": "the mixture fitted to its codes",
    "flow": "the flow fitted to its codes", GIVEN: "codes that are not known",
}  # fmt: skip
# What the keys of the scores of some images end in; those of the headline samples have no ending.
SUFFIXES = {draw.heading: f"_{draw.kind}" for draw in DRAWS}
SUFFIXES |= {SAMPLES: "", RECONSTRUCTION: "_reconstruction"}


class Metric(NamedTuple):
    """One row of the table of scores."""

    key: str  # in scores.json
    label: str  # with the unit
    group: str  # its heading
    goal: Goal  # which value is better; "none" where no value is
    meaning: str
    signed: bool = False  # whether a plus sign is shown
    places: int = 0  # the least number of digits after the point

    @property
    def base(self) -> str:
        """The key without the set of images: that of the floors."""
        return self.key.removesuffix(SUFFIXES.get(self.group, ""))

    @property
    def name(self) -> str:
        """The label, with the set of images where it is not the headline's."""
        suffix = SUFFIXES.get(self.group, "") if self.base != self.key else ""
        return f"{self.label}{suffix.replace('_', ', ')}"

    @property
    def ratio(self) -> bool:
        """Whether factors between its values count, not differences."""
        return self.base == "fid"  # its limit may fall below 0


def _exposure(key: str, label: str, statistic: str) -> tuple[Metric, Metric]:
    meaning = f"{statistic} of each image, averaged over the images; pixels in [0, 1]."
    gap = f"{label} of the images minus that of the real test images."
    return (
        Metric(key, label, SAMPLES, "none", meaning),
        Metric(f"{key}_gap", f"{label} gap", SAMPLES, "zero", gap, signed=True),
    )


# Of every set of images.
_IMAGES: tuple[Metric, ...] = (
    Metric("fid", "FID", SAMPLES, "lower",
        "Fréchet distance from the real test images in the features of several judges: the "
        "geometric mean of the judges that have a weight. Compare only within one data set."),
    Metric("blur_px", "Blur, px", SAMPLES, "lower",
        "Standard deviation of the Gaussian blur that gives real images the spectrum of these."),
    Metric("artefact", "Artefact", SAMPLES, "lower",
        "Amplitude of noise and checkerboards beyond what blurred real images have, where an "
        "image's standard deviation is 1."),
    Metric("coverage", "Coverage", SAMPLES, "higher",
        "Share of real test images with one of these images among their nearest neighbours."),
    Metric("density", "Density", SAMPLES, "higher",
        "How many neighbourhoods of real test images hold one of these images, over the number "
        "expected; about 1 for real images."),
    Metric("precision", "Precision", SAMPLES, "higher",
        "Share of these images that lie within the neighbourhoods of real test images."),
    Metric("recall", "Recall", SAMPLES, "higher",
        "Share of real test images that lie within the neighbourhoods of these images."),
    Metric("kid", "KID", SAMPLES, "lower",
        "Squared maximum mean discrepancy of the first judge's features with a cubic kernel, "
        "averaged over random subsets. Unbiased, so it can fall below 0.", places=4),
    Metric("fid_limit", "FID of endless images", SAMPLES, "lower",
        "The first judge's distance, extrapolated to any number of images."),
    Metric("sharpness", "Sharpness ratio", SAMPLES, "one",
        "Variance of the 3 by 3 Laplacian of each grey image, averaged, divided by the same "
        "average over the real test images. Below 1 is blur or low contrast; above 1 is noise."),
    Metric("sharpness_normalised", "Sharpness at equal contrast", SAMPLES, "one",
        "The same with each image's Laplacian variance divided by its variance."),
    Metric("sharpness_spread", "Sharpness spread", SAMPLES, "lower",
        "Distance between the distributions of the logarithm of the Laplacian variance; 0 where "
        "as many images are as sharp as among the real ones."),
    Metric("gradient_sharpness", "Gradient sharpness", SAMPLES, "one",
        "The sharpness ratio with second central differences, a Laplacian two pixels wide; blind "
        "to checkerboards."),
    Metric("distinct", "Different images", SAMPLES, "higher",
        "Number of different images over the number of images."),
    Metric("nn_ratio", "Nearest neighbour ratio", SAMPLES, "one",
        "Distance of these images to the nearest training image over that to the nearest test "
        "image, against the same of real images. Well below 1 is copying."),
    Metric("copied", "Copied", SAMPLES, "lower",
        "Share of these images that are nearer to a training image than real images ever are."),
    *_exposure("brightness", "Brightness", "Mean"),
    *_exposure("contrast", "Contrast", "Standard deviation"),
    *_exposure("minimum", "Darkest pixel", "Minimum"),
    *_exposure("maximum", "Brightest pixel", "Maximum"),
)  # fmt: skip
_NOT_OF_RECONSTRUCTIONS = ("distinct", "nn_ratio", "copied")  # they are of test images


def _of(group: str) -> list[Metric]:
    """The scores of one set of images."""
    suffix = SUFFIXES[group]
    return [
        metric._replace(key=f"{metric.key}{suffix}", group=group)
        for metric in _IMAGES
        if group != RECONSTRUCTION or metric.key not in _NOT_OF_RECONSTRUCTIONS
    ]


METRICS: tuple[Metric, ...] = (
    *_of(SAMPLES),
    Metric("class_agreement", "Right class", SAMPLES, "higher",
        "Share of a conditional variant's samples in which the judge sees the class that was asked "
        "for. The judge errs on real images too."),
    *(metric for draw in DRAWS[1:] for metric in _of(draw.heading)),
    *_of(RECONSTRUCTION),
    Metric("psnr", "PSNR, dB", RECONSTRUCTION, "higher",
        "Peak signal-to-noise ratio of each reconstruction against its test image, averaged."),
    Metric("ssim", "SSIM", RECONSTRUCTION, "higher",
        "Structural similarity of each reconstruction to its test image, averaged; 1 is "
        "identical."),
    Metric("nll", "-log p(x), nats", LATENT, "lower",
        "Minus the log-likelihood of a test image, averaged, of variants whose loss is one: of "
        "black and white pixels, or of a Gaussian's density. Compare within one kind alone; it "
        "says little of sharpness.", places=2),
    Metric("elbo_gap", "Gap of the ELBO, nats", LATENT, "none",
        "How far the bound that is trained on lies below log p(x): the divergence from the "
        "encoder's posterior to the true one.", places=2),
    Metric("kl", "KL, nats", LATENT, "none",
        "Kullback-Leibler divergence from posterior to prior, summed over latent dimensions, "
        "averaged over test images: information and marginal KL together."),
    Metric("information", "Information, nats, at most", LATENT, "none",
        "What a code tells of its image, a bound from above."),
    Metric("information_least", "Information, nats, at least", LATENT, "none",
        "The same from below; no more than the logarithm of the number of test images."),
    Metric("marginal_kl", "Marginal KL, nats", LATENT, "none",
        "Divergence of all codes together from the prior: what samples of the prior miss."),
    Metric("signal_axes", "Signal axes", LATENT, "none",
        "Principal axes along which the codes vary by more than a tenth of their noise."),
    Metric("active_units", "Active units", LATENT, "none",
        "Latent dimensions whose posterior mean varies over the test images by more than the "
        "threshold. They may vary together, or by less than their noise: see signal axes."),
    Metric("mig", "MIG", LATENT, "higher",
        "Mutual information gap: by how much of a factor's entropy one latent dimension tells more "
        "of it than any other does, averaged over the known factors of the test images."),
    Metric("dci", "DCI disentanglement", LATENT, "higher",
        "Whether a latent dimension by which trees predict one known factor is of no use for the "
        "others; 1 where each serves one alone. Chance gives more where dimensions are many."),
    Metric("beta_sigma", "beta_sigma", LATENT, "none",
        "Weight of the KL summed over latent dimensions against the squared error summed over "
        "pixels: what the objective amounts to, whatever its own scaling."),
    Metric("beta_whole", "beta_whole", LATENT, "none",
        "The same against all terms of the reconstruction together."),
)  # fmt: skip
BY_KEY = {metric.key: metric for metric in METRICS}

# The rows of the first table, in which variants are compared with the baseline.
TABLE = (
    "fid", "blur_px", "artefact", "coverage", "sharpness", "psnr", "fid_prior",
    "fid_reconstruction",
)  # fmt: skip
OF_GIVEN = ("distinct", "copied")  # and these, where nobody knows how images were made
# What is told of the step from each variant to the next.
STEP = ("fid", "blur_px", "coverage")
# What goes to reports/metrics.json, where `dvc metrics diff` compares it.
HEADLINE = (
    "fid", "fid_prior", "fid_mixture", "fid_flow", "fid_reconstruction", "kid", "sharpness",
    "blur_px", "coverage", "artefact", "brightness_gap", "contrast_gap", "psnr", "active_units",
    "signal_axes", "class_agreement", "beta_sigma", "nll", "mig", "dci", "distinct", "copied",
)  # fmt: skip
# Scores of conditional variants, of those whose likelihood was asked for, and of images whose
# factors are known; they are left out where no variant has them.
OPTIONAL = ("class_agreement", "nll", "elbo_gap", "mig", "dci")
# Scores that a collapsed model can win by accident: they measure local texture alone.
MEANINGLESS_WHEN_COLLAPSED = ("sharpness", "sharpness_normalised", "gradient_sharpness")


def load_scores(path: Path) -> Scores:
    """Read one scores.json, which must name every score that the report shows of such images.

    Raises:
        UserError: see `load_artefact`; or a score is missing. It may be null.
    """
    found = load_artefact(path, Scores)
    keys = [metric.key for metric in _IMAGES] if found.headline == GIVEN else BY_KEY
    missing = [key for key in keys if key not in found.scores]
    if missing:
        raise UserError(str(path), f"a number or null for {', '.join(missing)}", "nothing", AGAIN)
    return found


def distance(value: float, goal: Goal) -> float:
    """How far `value` is from the goal; of two values, the better has the lower distance."""
    if goal in ("one", "zero"):
        return abs(value - (1.0 if goal == "one" else 0.0))
    return -value if goal == "higher" else value
