"""Arrays of Dask's other kind, expressions, give the same pyramids: what they are is chosen for a whole process."""

import os
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
import xarray as xr

import msi_lazy as msi

PLANNING = """
import dask
dask.config.set({"array.query-planning": True})
import dask.array as expressions
assert expressions.array_expr_enabled()
"""
PACKAGE = """
import dask_array as expressions
import dask_array.xarray
dask_array.xarray.register()
"""
COMMON = """
import numpy as np
import xarray as xr
import zarr
import msi_lazy as msi

PIXELS = np.arange(64 * 70, dtype="u2").reshape(64, 70)

def image(array):
    return xr.DataArray(array, dims=("y", "x"), name="image")

def source():
    return expressions.from_array(PIXELS, chunks=(16, 20))

def stored(path):
    return [zarr.open_array(f"{path}/scale{level}/image")[...] for level in range(3)]

def build(array, **options):
    return msi.to_multiscale(image(array), [2, 2], chunks=8, block_bytes=4000, **options)
"""
CASES = {
    "written": """
        ARRAYS = {"plain": (source(), PIXELS), "edited": (source() + 1, PIXELS + 1),
                  "cropped": (source()[2:, 3:], PIXELS[2:, 3:]), "NumPy": (PIXELS, PIXELS),
                  "planes": (expressions.from_array(PIXELS, chunks=(1, 70)), PIXELS)}
        for method in ("mean", "gaussian"):
            for label, (given, pixels) in ARRAYS.items():
                tree = build(given, method=method)
                plan = str(msi.explain(tree))
                path = f"{label}-{method}.zarr"
                msi.to_zarr(tree, path)
                levels = stored(path)
                np.testing.assert_array_equal(levels[0], pixels)
                msi.to_zarr(build(pixels, method=method), f"numpy-{path}")
                for one, other in zip(levels, stored(f"numpy-{path}"), strict=True):
                    np.testing.assert_array_equal(one, other)
                for one, node in zip(levels, tree.children.values(), strict=True):
                    np.testing.assert_array_equal(one, node["image"].values)
    """,
    "opened, edited, refused": """
        msi.to_zarr(build(source()), "one.zarr")
        msi.to_zarr(msi.open_multiscale("one.zarr"), "other.zarr")
        for one, other in zip(stored("one.zarr"), stored("other.zarr"), strict=True):
            np.testing.assert_array_equal(one, other)
        tree = build(source()).map_over_datasets(lambda level: level.chunk(13) + 1 if level.data_vars else level)
        msi.to_zarr(tree, "edited.zarr")
        np.testing.assert_array_equal(stored("edited.zarr")[0], PIXELS + 1)
        msi.to_zarr(build(source()), "own.zarr")
        read = expressions.from_array(zarr.open_array("own.zarr/scale0/image"), chunks=16) + 1
        try:
            msi.to_zarr(build(read), "own.zarr", mode="w")
        except ValueError as error:
            assert "own.zarr" in str(error)
        else:
            raise AssertionError("the source was overwritten")
        np.testing.assert_array_equal(stored("own.zarr")[0], PIXELS)
        msi.to_zarr(msi.to_multiscale(msi.to_spatial_image(source(), dims="yx"), [2, 2]), "spatial.zarr")
        np.testing.assert_array_equal(stored("spatial.zarr")[0], PIXELS)
    """,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["planning", "package"])
def test_expressions_are_levels_like_any_other(kind, case, tmp_path):
    if kind == "package":
        pytest.importorskip("dask_array")
    script = (PLANNING if kind == "planning" else PACKAGE) + COMMON + dedent(CASES[case])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Foreign:
    """A chunked array of some other library."""

    shape, dtype, ndim, size, chunks = (8, 8), np.dtype("u1"), 2, 64, ((4, 4), (4, 4))

    def __array_function__(self, *_):
        return NotImplemented

    def __array_ufunc__(self, *_, **__):
        return NotImplemented

    def __getitem__(self, key):
        return self


def test_chunked_arrays_of_other_libraries_are_refused_in_plain_words():
    image = xr.DataArray(Foreign(), dims=("y", "x"))
    with pytest.raises(TypeError, match=r"Foreign; give a Dask, Zarr or NumPy array"):
        msi.to_multiscale(image, [2])
