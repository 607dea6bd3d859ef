from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sharpvae.datasets.pack import Moments, glance, summary
from sharpvae.scoring.measures import exposure, laplacian_variance

images_of_any_shape = arrays.arrays(
    np.uint8, st.tuples(*[st.integers(1, 5)] * 3, st.sampled_from([1, 3]))
)


@given(images_of_any_shape)
def test_moments_are_numpy_s_own(images: np.ndarray) -> None:
    moments = Moments(images.shape[3])
    for image in images:
        moments.add(image[None])
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(moments.mean(), scaled.mean((0, 1, 2)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(moments.std(), scaled.std((0, 1, 2)), rtol=1e-6, atol=1e-12)


def test_moments_do_not_overflow() -> None:
    """40 white images of 256x256: more than 32 bits hold."""
    moments = Moments(3)
    moments.add(np.full((40, 256, 256, 3), 255, np.uint8))
    assert moments.mean() == [1.0, 1.0, 1.0]
    assert moments.std() == [0.0, 0.0, 0.0]


def test_glances_add_up() -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8) for count in (7, 5))
    found = summary(
        [glance(train[:2], sharpness=False), glance(train[2:], sharpness=False)],
        [glance(test[:4], sharpness=True), glance(test[4:], sharpness=True)],
    )
    assert found.mean == pytest.approx((train / 255).mean((0, 1, 2)))
    assert found.std == pytest.approx((train / 255).std((0, 1, 2)))
    assert found.sharpness == pytest.approx(laplacian_variance(test).mean())
    assert found.brightness == pytest.approx(exposure(test).brightness)
