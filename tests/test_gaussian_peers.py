"""The Gaussians of multiscale-spatial-image, on the whole array by the libraries they are named after."""

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
from dask_image.ndfilters import gaussian_filter

from msi_lazy.methods.weights import bessel_weights, centred_gaussian_weights
from tests.support.itk_oracles import itk_discrete_gaussian
from tests.support.kernels import run_kernel

SHAPE = (37, 52)


def variance_of(factor):
    return (factor**2 - 1) / (8 * np.log(2))


def at_centres(smooth, factors):
    """Odd factors: the sample in the centre of each window; even ones: the mean of the two central samples."""
    for axis, factor in enumerate(factors):
        count = smooth.shape[axis] // factor
        middle = np.arange(count) * factor + (factor - 1) // 2
        smooth = (smooth.take(middle, axis) + smooth.take(middle + 1 - factor % 2, axis)) / 2
    return smooth


def by_dask_image(array, factors):
    smooth = da.from_array(array.astype(float), chunks=array.shape)
    return at_centres(gaussian_filter(smooth, [variance_of(f) ** 0.5 for f in factors]).compute(), factors)


def by_itk(array, factors):
    smooth = itk_discrete_gaussian(array.astype(float), [variance_of(f) for f in factors])
    return at_centres(smooth, factors)


PEERS = {"dask_image_gaussian": by_dask_image, "itk_gaussian": by_itk}


@pytest.mark.parametrize("factors", [(2, 2), (3, 3), (2, 3), (4, 2), (8, 5)])
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_agrees_with_the_whole_array(dtype, name, factors):
    array = np.random.default_rng(0).integers(0, 127, SHAPE).astype(dtype)
    exact = PEERS[name](array, factors)
    found = run_kernel(name, array, factors, exact.shape)
    assert found.dtype == dtype
    precision = 1e-6 if name == "itk_gaussian" else 1e-8  # ITK computes Bessel functions in single precision
    if np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(found, exact, rtol=1e-6 if dtype == "f4" else precision)
    else:
        assert np.abs(found - exact).max() <= 0.5 + precision * 127


@pytest.mark.parametrize("name", PEERS)
def test_an_axis_that_is_not_divided_is_not_smoothed(name):
    array = np.random.default_rng(0).random((20, 30))
    found = run_kernel(name, array, (1, 2), (20, 15))
    for row in (0, 19):
        np.testing.assert_array_equal(found[row], run_kernel(name, array[row], (2,), (15,)))


@pytest.mark.parametrize("name", PEERS)
def test_small_images_are_reflected_or_repeated_more_than_once(name):
    array = np.random.default_rng(0).random((3, 5))
    smooth = scipy.ndimage.gaussian_filter(array, [variance_of(f) ** 0.5 for f in (3, 5)])  # dask-image refuses them
    exact = at_centres(smooth, (3, 5)) if name == "dask_image_gaussian" else by_itk(array, (3, 5))
    np.testing.assert_allclose(run_kernel(name, array, (3, 5), (1, 1)), exact, rtol=1e-6)


def test_a_kernel_of_limited_width_is_narrower_than_a_large_window():
    array = np.zeros((1, 1000))
    array[0, :50] = np.inf  # beyond what the second window's kernel reaches
    array[0, 50:] = 1
    found = run_kernel("itk_gaussian", array, (1, 100), (1, 10))
    assert found[0, 0] == np.inf
    assert (found[0, 1:] == 1).all()
    assert 2 * len(bessel_weights(100)) == 66


@pytest.mark.parametrize("weights", [bessel_weights, centred_gaussian_weights])
def test_weights_sum_to_one_exactly(weights):
    for factor in range(1, 70):
        assert sum(weight * 2**36 for weight in weights(factor)) == 2**35
        assert min(weights(factor)) > 0
