"""TensorStore's downsample driver as an oracle: whole images, several levels, written and read back."""

import numpy as np
import pytest

import msi_lazy as msi
from tests.support.optional import require

ts = require("tensorstore")
DRIVER = {"mean": "mean", "min": "min", "max": "max", "nearest": "stride", "mode": "mode", "median": "median"}


def tensorstore_levels(array, factors, method, boundary):
    """Levels by TensorStore; it always keeps a partial window at the end, which ``trim`` leaves off."""
    levels = [array]
    for step in factors:
        array = levels[-1]
        level = ts.downsample(ts.array(array), list(step), DRIVER[method]).read().result()
        if boundary == "trim":
            level = level[tuple(slice(n // f) for n, f in zip(array.shape, step, strict=True))]
        levels.append(np.ascontiguousarray(level))
    return levels


@pytest.mark.parametrize("boundary", ["trim", "pad"])
@pytest.mark.parametrize("method", DRIVER)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_levels_agree(dtype, method, boundary, tmp_path):
    rng = np.random.default_rng(0)
    top = 2**24 if np.dtype(dtype).kind == "f" else min(np.iinfo(dtype).max, 2**52)
    array = rng.integers(-top if np.dtype(dtype).kind != "u" else 0, top, (23, 41, 34)).astype(dtype)
    factors = [(2, 2, 2), (1, 3, 2), (2, 1, 3)]
    steps = [dict(zip("zyx", step, strict=True)) for step in factors]
    image = msi.to_spatial_image(array)
    tree = msi.to_multiscale(image, steps, method=method, chunks=8, boundary=boundary, block_bytes=20_000)
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    for number, level in enumerate(tensorstore_levels(array, factors, method, boundary)):
        stored = ts.open({"driver": "zarr3", "kvstore": f"file://{tmp_path}/out.zarr/scale{number}/image/"}).result()
        found = stored.read().result()
        if np.dtype(dtype).kind == "f" and method == "mean":
            precision = np.finfo(dtype).eps * top * 8  # TensorStore sums in the image's own precision
            np.testing.assert_allclose(found, level, rtol=0, atol=precision)
        else:
            np.testing.assert_array_equal(found, level)
