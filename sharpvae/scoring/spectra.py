"""Blur in pixels and artefacts, from the spectra of grey images.

A Gaussian blur multiplies the power spectrum of every image by the same known curve. `blur_px`
looks for the blur that turns the mean spectrum of real images into that of the fakes. Three
things keep artefacts out of it: contrast is free; a floor of white noise is free; patterns that
repeat every 2 or 4 pixels, the checkerboards of strided layers, are taken away and the surroundings
of their frequencies left out. What the blur cannot explain is the `artefact`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import correlate1d
from scipy.optimize import nnls

from sharpvae.scoring.measures import grey
from sharpvae.scoring.sharpness import check_images, is_constant

Floats = NDArray[np.float64]

MIN_SIZE = 16  # px; the band of the fit has too few frequencies below
MIN_IMAGES = 10
_BAND = (1 / 16, 0.45)  # cycles/px that are fitted; below, fakes differ in shape, not in blur
_NOTCH = 0.075  # cycles/px around the frequencies of checkerboards
_PERIOD = 4  # px, of the longest checkerboard
_BOX = np.array([0.5, 1, 1, 1, 0.5]) / _PERIOD  # a mean that no period of 2 or 4 px survives
_SAME = 1e-8  # mean squares of relative errors that make no difference
_ENOUGH = 1000  # images; of fewer, _UNSEEN grows as the standard error: 99 % of pairs, down to 12
_HIDDEN = 0.5  # of the power; where reals make up less at every frequency, no blur is seen
_PASSES = 3  # of the fit, each weighted by the one before
_LEAST_SHARE = 0.2  # that weight's lower end: the noise must stay known
_MOST_EXPLAINED = 2.0  # of the whole variance; more is a blur that explains nothing
# Blurs that two samples of 1000 real digits seem to differ by: 0.009 px^2 (standard deviation),
# 0.036 the most of 40. Less is none.
_UNSEEN = 0.035
_HIGH = 0.3  # cycles/px above which texture is fine
_LEEWAY = 0.1  # the part of the reals' power that sampling may add
_SEEN = 0.1  # of an image's deviation; VAEs without artefacts come to 0.00 to 0.03
_CHUNK = 64  # images transformed at once


@dataclass(frozen=True)
class Spectra:
    """Radial power spectra of N images in B rings of frequencies.

    Constant images have no contrast to divide by: `constant` marks them, and their `power` and
    `pattern` are NaN.
    """

    size: tuple[int, int]  # height and width in px
    frequency: Floats  # (B,) cycles/px, root mean square over the ring
    power: Floats  # (N, B), mean over the ring; white noise alone has 1 everywhere
    pattern: Floats  # (N,) share of the variance that repeats every 4 px, in [0, 1]
    constant: NDArray[np.bool_]  # (N,)

    @property
    def count(self) -> int:
        """Images that are not constant."""
        return int((~self.constant).sum())

    def mean(self, keep: NDArray[np.bool_] | None = None) -> Floats:
        """Mean power of the images in `keep` (N,) that are not constant => (B,)

        Raises ValueError where fewer than MIN_IMAGES are left.
        """
        use = ~self.constant if keep is None else keep & ~self.constant
        if use.sum() < MIN_IMAGES:
            raise ValueError(f"{use.sum()} images that are not constant; {MIN_IMAGES} are needed")
        return self.power[use].mean(axis=0)

    def mean_pattern(self, keep: NDArray[np.bool_] | None = None) -> float:
        """Mean pattern of the same images."""
        return float(np.nanmean(self.pattern if keep is None else self.pattern[keep]))


@dataclass(frozen=True)
class BlurFit:
    """fake = contrast * blur(real) + floor, as mean power spectra."""

    sigma: float  # px, >= 0
    contrast: float  # >= 0
    floor: float  # >= 0; the white noise's share of the variance
    misfit: float  # root mean square of (fitted - fake) / fake, weighted as in the fit
    passed: Floats  # (B,) the part of the power that the blur lets through
    seen: float  # the blurred reals' share of the fitted power, where it is largest; in [0, 1]


@dataclass(frozen=True)
class Artefact:
    """What fakes show that a blur of real images cannot explain.

    All three are standard deviations as shares of the image's own: >= 0, and 1 for nothing else.
    """

    amount: float  # root of noise^2 + checkerboard^2
    noise: float
    checkerboard: float

    @property
    def kind(self) -> Literal["noise", "checkerboard"] | None:
        """The larger of the two; None below 0.1, where the eye sees neither."""
        if self.amount < _SEEN:
            return None
        return "noise" if self.noise >= self.checkerboard else "checkerboard"


@dataclass(frozen=True)
class _Rings:
    order: NDArray[np.int64]  # flat indices of the coefficients in use, ring by ring
    start: NDArray[np.int64]  # where each ring begins in `order`
    count: NDArray[np.int64]
    frequency: Floats

    def mean(self, flat: Floats) -> Floats:
        """(N, H * W) => (N, B)"""
        return np.add.reduceat(flat[:, self.order], self.start, axis=1) / self.count


def radial_power(images: NDArray[np.uint8]) -> Spectra:
    """Radial power spectra of the grey images, each divided by its image's variance.

    By the cosine transform (DCT-II): its basis mirrors the image at its borders, so they are no
    edges, black or not, and a blur that mirrors too (SciPy's default) is an exact product. Up to
    the corner at 0.71 cycles/px, without the surroundings of the checkerboards' frequencies.
    uint8 (N, H, W, C), H and W at least MIN_SIZE => Spectra.  Raises ValueError for other shapes.
    """
    check_images(images, MIN_SIZE)
    size = (images.shape[1], images.shape[2])
    rings = _rings(size)
    powers, patterns, variances = [], [], []
    for at in range(0, len(images), _CHUNK):
        g = grey(images[at : at + _CHUNK])
        variances.append(g.var(axis=(1, 2)))
        plain, pattern = _without_pattern(g)
        coefficients = dctn(plain, axes=(1, 2), norm="ortho").reshape(len(g), -1)
        powers.append(rings.mean(coefficients**2))
        patterns.append(pattern)
    variance = np.concatenate(variances)
    constant = is_constant(variance)
    scale = np.where(constant, np.nan, variance)
    return Spectra(
        size, rings.frequency, np.concatenate(powers) / scale[:, None],
        np.concatenate(patterns) / scale, constant,
    )  # fmt: skip


def blur_px(real: Spectra, fake: Spectra) -> float:
    """Sigma in pixels of the Gaussian blur that gives `real` the spectrum of `fake`.

    0 for fakes that are as sharp as the reals or sharper: a blur has no negative sigma, and too
    much of high frequencies counts as `artefact`. At most a quarter of the shorter side. Clipping
    to [0, 255] narrows the strokes of a digit: noise or a checkerboard of 0.1 take 0.1 px away.
    Reals so smooth that rounding to bytes hides their texture leave the blur unknown.
    Raises ValueError for two sizes, fewer than MIN_IMAGES images that are not constant, or fakes
    that hold less of the reals than of white noise at every frequency.
    """
    _check_pair(real, fake)
    fewer = min(real.count, fake.count)
    fit = fit_blur(real.mean(), fake.mean(), real.size, fewer)
    if fit.seen < _HIDDEN:
        raise ValueError("noise drowns what these images share with real ones: no blur is seen")
    return fit.sigma


def fit_blur(real: Floats, fake: Floats, size: tuple[int, int], images: int = _ENOUGH) -> BlurFit:
    """The fit behind `blur_px`, on mean spectra: 1 ms, cheap enough for a jackknife.

    Least squares of relative errors: contrast and floor are solved for each of a row of blurs, and
    a parabola finds the best between them. Frequencies that the floor dominates are then weighted
    down, since remains of artefacts are not quite white. Sigma is the kernel's standard deviation,
    which is SciPy's sigma from 0.7 px up (0.46 for its 0.5). At last Breiman's (1995) garrote,
    s - t^2 / s for s = sigma^2 and t = 0.035 px^2, takes away what sampling alone brings about;
    t grows with the standard error where fewer than 1000 `images` make up the smaller set.
    float64 (B,) from `Spectra.mean` of images of `size`, twice => BlurFit.  Raises ValueError where
    they do not fit together, are not finite or not above zero.
    """
    rings, table = _rings(size), _transfer(size)
    for mean in (real, fake):
        _check_mean(mean, rings)
    explained = table.power * real
    most = _MOST_EXPLAINED * rings.count.sum() / (explained @ rings.count)
    band = (rings.frequency >= _BAND[0]) & (rings.frequency <= _BAND[1])
    blurred, white = explained[:, band] / fake[band], 1 / fake[band]
    count = rings.count[band].astype(np.float64)
    weight = count
    for _ in range(_PASSES):
        weight = weight / weight.sum()
        contrast, floor, error = _solve(blurred, white, weight, most)
        best = int((error <= error.min() + _SAME).argmax())  # the least blur that does
        signal = contrast[best] * blurred[best]
        share = signal / (signal + floor[best] * white)
        weight = count * np.maximum(share, _LEAST_SHARE) ** 2
    variance = _lowest(table.variance, error, best)
    unseen = _UNSEEN * max(1.0, _ENOUGH / images) ** 0.5
    variance = variance - unseen**2 / variance if variance > unseen else 0.0
    return BlurFit(
        variance**0.5, float(contrast[best]), float(floor[best]), float(error[best] ** 0.5),
        table.power[best], float(share.max()),
    )  # fmt: skip


def artefact(real: Spectra, fake: Spectra) -> Artefact:
    """Noise and checkerboards of the fakes, beyond what blurred reals would have.

    Raises ValueError as `blur_px` does.
    """
    _check_pair(real, fake)
    means, patterns = (real.mean(), fake.mean()), (real.mean_pattern(), fake.mean_pattern())
    return fit_artefact(means, patterns, real.size, min(real.count, fake.count))


def fit_artefact(
    power: tuple[Floats, Floats], pattern: tuple[float, float], size: tuple[int, int],
    images: int = _ENOUGH,
) -> Artefact:  # fmt: skip
    """Behind `artefact`: mean power and mean pattern, of reals and of fakes.

    A VAE blurs some parts of an image more than others, so fakes are taken for a mixture of real
    images at every blur, plus white noise: non-negative least squares of relative errors above 1/16
    cycles/px, where a sharp part's falling spectrum is told from a flat one. The checkerboard is
    the part that repeats every 4 (or 2) pixels, less that of the noise and of the mixture. A tenth
    of the mixture's own fine texture and pattern is allowed for sampling, more where fewer than
    1000 `images` make up the smaller set.
    """
    (before, after), (own, found) = power, pattern
    rings, table = _rings(size), _transfer(size)
    for mean in power:
        _check_mean(mean, rings)
    band = rings.frequency >= _BAND[0]
    weight = np.sqrt(rings.count[band] / rings.count[band].sum()) / after[band]
    columns = np.concatenate([table.power * before, np.ones((1, len(before)))])[:, band]
    *parts, white = nnls((columns * weight).T, after[band] * weight)[0].tolist()
    kept, high = np.dot(parts, table.power), rings.frequency >= _HIGH
    texture = float(np.average((kept * before)[high], weights=rings.count[high]))
    leeway = _LEEWAY * max(1.0, _ENOUGH / images) ** 0.5
    noise = min(1.0, max(0.0, white - leeway * texture))
    longest = int(np.abs(rings.frequency - 1 / _PERIOD).argmin())
    repeats = noise * (_PERIOD**2 - 1) / (size[0] * size[1])  # noise does so a little too
    board = max(0.0, found - repeats - (1 + leeway) * kept[longest] * own)
    return Artefact(min(1.0, noise + board) ** 0.5, noise**0.5, board**0.5)


def _check_mean(mean: Floats, rings: _Rings) -> None:
    if mean.shape != rings.frequency.shape:
        raise ValueError(f"{mean.shape} is no mean spectrum of {rings.frequency.shape}")
    if not (np.isfinite(mean).all() and (mean > 0).all()):
        raise ValueError("a mean spectrum must be finite and above zero")


def _check_pair(real: Spectra, fake: Spectra) -> None:
    if real.size != fake.size:
        raise ValueError(f"real images have {real.size} pixels, fakes {fake.size}")


def _without_pattern(g: Floats) -> tuple[Floats, Floats]:
    """Each image without what repeats every 4 px in both directions, and the variance of that.

    Estimated on what a mean over one period leaves: a slope must not pass for a pattern. The
    outermost 2 px are not used for it, since a mirrored pattern is out of step there.
    """
    rough = g - correlate1d(correlate1d(g, _BOX, axis=1), _BOX, axis=2)
    inner = np.zeros(g.shape[1:], np.bool_)
    inner[2:-2, 2:-2] = True
    phases = [
        (slice(i, None, _PERIOD), slice(j, None, _PERIOD))
        for i, j in product(range(_PERIOD), repeat=2)
    ]
    means = np.array([rough[:, *phase][:, inner[phase]].mean(axis=1) for phase in phases])
    means -= means.mean(axis=0)
    plain = g.copy()
    for phase, mean in zip(phases, means, strict=True):
        plain[:, *phase] -= mean[:, None, None]
    return plain, np.square(means).mean(axis=0)


@lru_cache(maxsize=8)
def _rings(size: tuple[int, int]) -> _Rings:
    """Rings one step of the shorter side's frequencies wide, without the checkerboards' notches."""
    u, v = np.meshgrid(*(np.arange(n) / (2 * n) for n in size), indexing="ij")
    frequency = np.hypot(u, v)
    use = frequency > 0
    for a, b in product((0, 0.25, 0.5), repeat=2):
        if a or b:
            use &= np.hypot(u - a, v - b) > _NOTCH
    ring = np.where(use, np.round(frequency * 2 * min(size)), -1).astype(np.int64).ravel()
    order = np.argsort(ring, kind="stable")[np.count_nonzero(~use) :]
    _, start, count = np.unique(ring[order], return_index=True, return_counts=True)
    square = np.add.reduceat(frequency.ravel()[order] ** 2, start) / count
    return _Rings(order, start, count, np.sqrt(square))


@dataclass(frozen=True)
class _Table:
    """What each of S blurs does."""

    variance: Floats  # (S,) px^2, of the kernel along one axis
    power: Floats  # (S, B), the part of the power that it lets through


def _sigmas(most: float) -> Floats:
    """The blurs that are tried, in px: in steps of 0.05 up to 2, of a fortieth up to `most`.

    None below 0.25, where SciPy's kernel is a single pixel.
    """
    wide = np.geomspace(2, most, int(40 * np.log(most / 2)) + 2)
    return np.concatenate([np.arange(0.25, 1.99, 0.05), wide])


@lru_cache(maxsize=8)
def _transfer(size: tuple[int, int]) -> _Table:
    """Blurs by SciPy's kernel: the Gaussian at whole pixels up to 4 sigma, divided by its sum."""
    variance, power = [0.0], [np.ones_like(_rings(size).frequency)]
    for sigma in _sigmas(min(size) / 4):
        k = np.arange(int(4 * sigma + 0.5) + 1)
        kernel = np.exp(-0.5 * (k / sigma) ** 2) * np.where(k > 0, 2, 1)
        kernel /= kernel.sum()
        rows, columns = (np.cos(np.pi * np.outer(np.arange(n) / n, k)) @ kernel for n in size)
        variance.append(float(kernel @ k**2))
        power.append(_rings(size).mean((np.outer(rows, columns) ** 2).reshape(1, -1))[0])
    return _Table(np.array(variance), np.array(power))


def _solve(
    blurred: Floats, white: Floats, weight: Floats, most: Floats
) -> tuple[Floats, Floats, Floats]:
    """min of the weighted mean of (c * blurred + k * white - 1)^2 for each row of blurred (S, B).

    With 0 <= c <= most (S,) and k >= 0.  => c, k, mean, all (S,)
    """
    bb, bw, ww = blurred**2 @ weight, blurred @ (white * weight), white**2 @ weight
    ba, wa = blurred @ weight, white @ weight
    with np.errstate(divide="ignore", invalid="ignore"):
        c = (ba * ww - wa * bw) / (bb * ww - bw**2)
        alone = np.minimum(np.where(bb > 0, ba / bb, 0), most)  # without noise
    c = np.clip(np.where(np.isfinite(c), c, alone), 0, most)
    k = (wa - c * bw) / ww
    c, k = np.where(k < 0, alone, c), np.maximum(k, 0)
    return c, k, np.square(c[:, None] * blurred + k[:, None] * white - 1) @ weight


def _lowest(x: Floats, error: Floats, best: int) -> float:
    """Where the parabola through `best` and its two neighbours is lowest."""
    if best in (0, len(x) - 1):
        return float(x[best])
    left, right = x[[best - 1, best + 1]] - x[best]
    up_left, up_right = error[[best - 1, best + 1]] - error[best]
    bend = up_right * left - up_left * right  # < 0 unless the three lie on a line
    if bend >= 0:
        return float(x[best])
    lowest = 0.5 * (up_right * left**2 - up_left * right**2) / bend
    return float(x[best] + np.clip(lowest, left, right))  # beyond, where `best` is nearly as good
