"""A user's own function as a method: cut, checked and fused like ours."""

from dataclasses import replace
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.methods import table
from tests.support.strategies import block_sizes, chunkings, draw_array, pyramids
from tests.support.window_oracles import pyramid_oracle


def largest(array, factors):
    pairs = [n for length, factor in zip(array.shape, factors, strict=True) for n in (length // factor, factor)]
    return array.reshape(pairs).max(axis=tuple(range(1, len(pairs), 2)))


def average(array, factors):
    pairs = [n for length, factor in zip(array.shape, factors, strict=True) for n in (length // factor, factor)]
    return array.reshape(pairs).mean(axis=tuple(range(1, len(pairs), 2)))


def across_three(array, factors):
    """Mean of the first sample of each window and its two neighbours along x; a halo of one sample on all sides."""
    return (array[1:-1:2, :-2:2] + array[1:-1:2, 1:-1:2] + array[1:-1:2, 2::2]) / 3


def image_of(array, chunks=None):
    return xr.DataArray(array if chunks is None else da.from_array(array, chunks=chunks), dims=("y", "x"))


@settings(max_examples=40)
@given(case=pyramids(max_extent=24), data=st.data())
def test_a_function_gives_what_our_own_method_gives(case, data):
    shape, factors = case
    dims = ("z", "y", "x")[-len(shape) :]
    array = draw_array(data.draw, data.draw(st.sampled_from(["u1", "i8", "f2", "?"])), shape)
    boundary = data.draw(st.sampled_from(["trim", "pad"]))
    array[array != array] = 0
    tree = msi.to_multiscale(
        xr.DataArray(da.from_array(array, chunks=data.draw(chunkings(shape))), dims=dims),
        [dict(zip(dims, step, strict=True)) for step in factors],
        method=largest,
        chunks=data.draw(st.integers(1, 8)),
        boundary=boundary,
        block_bytes=data.draw(block_sizes(shape, array.itemsize)),
    )
    with dask.config.set(scheduler="synchronous"):
        for number, level in enumerate(pyramid_oracle(array, factors, "max", boundary)):
            np.testing.assert_array_equal(tree[f"scale{number}"].image.values, level, strict=True)


def test_it_is_fused_like_ours(tmp_path):
    array = np.random.default_rng(0).integers(0, 999, (256, 256), dtype="u2")
    trees = [
        msi.to_multiscale(image_of(array, 64), [2, 2], method=method, chunks=32, block_bytes=64 * 64 * 2)
        for method in (largest, "max")
    ]
    assert trees[0].pyramid.explain().tasks == trees[1].pyramid.explain().tasks
    graphs = [tree.pyramid.to_zarr(MemoryStore(), compute=False) for tree in trees]
    assert len(dict(graphs[0].dask)) == len(dict(graphs[1].dask))
    for number, tree in enumerate(trees):
        tree.pyramid.to_zarr(tmp_path / f"{number}.zarr")
    for level in range(3):
        stored = [zarr.open_group(tmp_path / f"{number}.zarr")[f"scale{level}/image"][:] for number in (0, 1)]
        np.testing.assert_array_equal(*stored)


def test_a_lambda_a_partial_and_a_callable_object_will_do():
    class Corner:
        def __call__(self, array, factors):
            return array[:: factors[0], :: factors[1]]

    array = np.arange(64).reshape(8, 8)
    for method in (lambda a, f: a[:: f[0], :: f[1]], partial(lambda k, a, f: a[:: f[0], :: f[1]], 1), Corner()):
        level = msi.to_multiscale(image_of(array), [2], method=method)["scale1"].image
        np.testing.assert_array_equal(level, array[::2, ::2])


def test_it_is_called_only_when_something_is_computed(tmp_path):
    calls = []

    def counted(array, factors):
        calls.append(array.shape)
        return array[:: factors[0], :: factors[1]]

    tree = msi.to_multiscale(image_of(np.ones((8, 8))), [2], method=counted)
    repr(tree), str(tree.pyramid.explain())
    tree.pyramid.to_zarr(tmp_path / "late.zarr", compute=False)
    assert not calls
    tree["scale1"].image.compute()
    assert calls == [(8, 8)]


def test_partial_windows_are_given_as_windows_of_their_own_size():
    calls = []

    def recorded(array, factors):
        calls.append((array.shape, factors))
        return largest(array, factors)

    image = image_of(np.arange(35).reshape(5, 7))
    msi.to_multiscale(image, [{"y": 2, "x": 3}], method=recorded, boundary="pad")["scale1"].image.compute()
    assert sorted(calls) == [((1, 1), (1, 1)), ((1, 6), (1, 3)), ((4, 1), (2, 1)), ((4, 6), (2, 3))]


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda a, f: a, ValueError, r"returned shape \(8, 8\); it must return \(4, 4\)"),
        (lambda a, f: a[0], ValueError, r"for an array of shape \(8, 8\) and factors \(2, 2\) returned shape \(8,\)"),
        (lambda a, f: a[::2, ::2].tolist(), TypeError, "returned list"),
        (lambda a, f: np.ma.masked_equal(a, 1)[::2, ::2], TypeError, "plain NumPy array"),
        (lambda a, f: a[::2, ::2] + 300.0, OverflowError, "uint8 cannot hold"),
        (lambda a, f: a[::2, ::2] - np.int64(2), OverflowError, r"from -1 to -1"),
        (lambda a, f: a[::2, ::2] * np.nan, OverflowError, "uint8 cannot hold"),
        (lambda a, f: a[::2, ::2].astype(complex), TypeError, "dtype complex128, but the image has uint8"),
        (lambda a, f: a.__setitem__(0, 1), ValueError, "read-only"),
    ],
)
def test_a_wrong_result_is_caught_on_the_first_block_and_the_image_is_unharmed(function, error, words, tmp_path):
    array = np.ones((8, 8), np.uint8)
    tree = msi.to_multiscale(image_of(array), [2], method=function)
    with pytest.raises(error, match=words):
        tree.pyramid.to_zarr(tmp_path / "bad.zarr")
    assert (array == 1).all()
    with pytest.raises(ValueError, match="holds an incomplete image"):
        msi.open_multiscale(tmp_path / "bad.zarr")


def test_an_error_of_the_function_says_what_it_was_given():
    def broken(array, factors):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        msi.to_multiscale(image_of(np.ones((8, 8))), [2], method=broken)["scale1"].image.compute()
    assert "broken for an array of shape (8, 8) and factors (2, 2)" in caught.value.__notes__[0]


def test_means_of_integers_are_rounded_half_to_even():
    array = np.random.default_rng(0).integers(-1000, 1000, (40, 60), dtype="i2")
    trees = [msi.to_multiscale(image_of(array, 10), [2, 2], method=method) for method in (average, "mean")]
    for level in ("scale1", "scale2"):
        np.testing.assert_array_equal(trees[0][level].image, trees[1][level].image)


def test_a_function_with_a_halo_registered_under_a_name(monkeypatch):
    monkeypatch.setattr(table, "_TABLE", dict(table._TABLE))
    row = msi.Method.from_function(across_three, name="across", radius=lambda factor: 1, position="corner")
    assert msi.register_method(row) is row
    assert msi.register_method(row) is row
    array = np.random.default_rng(0).random((32, 48))
    expected = across_three(np.pad(array, 1, mode="edge"), (2, 2))
    for limit in (512, 2**20):
        tree = msi.to_multiscale(image_of(array, 7), [2], method="Across", chunks=4, block_bytes=limit)
        np.testing.assert_array_equal(tree["scale1"].image, expected)
        assert tree["scale1"].x.values[1] == 2


def test_metadata_name_the_function(tmp_path):
    msi.to_multiscale(image_of(np.ones((8, 8))), [2], method=largest).pyramid.to_zarr(tmp_path / "out.zarr")
    (multiscale,) = zarr.open_group(tmp_path / "out.zarr").attrs["ome"]["multiscales"]
    assert multiscale["type"] == multiscale["metadata"]["method"] == "test_reducer.largest"
    assert multiscale["metadata"]["description"] == "levels made by msi_lazy: test_reducer.largest"


def test_names_that_are_taken_are_refused(monkeypatch):
    monkeypatch.setattr(table, "_TABLE", dict(table._TABLE))
    with pytest.raises(ValueError, match="another method called 'mean'"):
        msi.register_method(msi.Method.from_function(largest, name="mean"))
    with pytest.raises(ValueError, match="another method called 'mode'"):
        msi.to_multiscale(image_of(np.ones((8, 8))), [2], method=msi.Method.from_function(largest, name="mode"))
    for name in ("itk_bin_shrink", "Peak", ""):
        with pytest.raises(ValueError, match="in lower case and not one of msi's"):
            msi.register_method(replace(msi.Method.from_function(largest), name=name))
    with pytest.raises(TypeError, match="takes a Method"):
        msi.register_method(largest)
    with pytest.raises(ValueError, match=r"called 'mean'; give yours a name of its own$"):
        msi.register_method(msi.Method.from_function(largest, name="mean"), replace=True)


def test_a_method_of_ones_own_is_replaced_when_asked(monkeypatch):
    monkeypatch.setattr(table, "_TABLE", dict(table._TABLE))
    msi.register_method(msi.Method.from_function(largest, name="own"))
    again = msi.Method.from_function(average, name="own")
    with pytest.raises(ValueError, match="register it with replace=True"):
        msi.register_method(again)
    msi.register_method(again, replace=True)
    image = image_of(np.array([[0.0, 4.0], [0.0, 0.0]]), 2)
    assert msi.to_multiscale(image, [2], method="own")["scale1"].image.values.tolist() == [[1.0]]


def test_nodata_is_refused_for_a_function():
    with pytest.raises(ValueError, match="nodata=0 cannot be left out by the method 'test_reducer"):
        msi.to_multiscale(image_of(np.ones((8, 8))), [2], method=largest, nodata=0)


def test_a_kernel_that_gives_another_dtype_or_shape_is_caught():
    def kernel(array, factors, out_shape, nodata=None):
        return array[::2, ::2] + 300.7 if nodata is None else array

    for nodata in (None, 1):
        tree = msi.to_multiscale(image_of(np.ones((8, 8), "u1")), [2], method=msi.Method("k", kernel), nodata=nodata)
        with pytest.raises(TypeError, match=r"it must return uint8 of shape \(4, 4\)"):
            tree["scale1"].image.compute()
    with pytest.raises(TypeError, match="radius must be a function of the factor"):
        msi.Method.from_function(largest, radius=1)
