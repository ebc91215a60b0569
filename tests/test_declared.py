"""Blocks that are not what the image declares: refused with the samples named, wherever they come from."""

from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.methods.samples import as_plain, as_samples
from msi_lazy.plan import runs
from tests.support.wide_method import WIDE

BYTES = np.random.default_rng(0).integers(0, 200, (12, 32, 32), dtype="u1")
WORDS = BYTES.astype("u2") * 300
DIMS = ("z", "y", "x")


class Sliceable:
    """An array of bytes, which some of its planes are not."""

    shape, dtype, ndim = BYTES.shape, BYTES.dtype, 3

    def __init__(self, chunks=None, convert=np.asarray):
        self.convert = convert
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, key):
        found = BYTES[key]
        return self.convert(WORDS[key]) if key[0].stop > 7 else found


def plane(z, convert=np.asarray):
    return convert(WORDS[z]) if z == 7 else BYTES[z]


def planes(convert=np.asarray):
    load = dask.delayed(partial(plane, convert=convert), pure=True)
    return da.stack([da.from_delayed(load(z), BYTES.shape[1:], "u1") for z in range(12)])


def mapped(convert=np.asarray, chunks=(4, 16, 16)):
    meta = np.empty((0, 0, 0), "u1")
    return da.from_array(BYTES, chunks=chunks).map_blocks(
        lambda block, block_info=None: convert(block * 1.0) if block_info[0]["chunk-location"][0] == 1 else block,
        dtype="u1",
        meta=meta,
    )


SOURCES = {
    "planes": planes,  # which are rechunked
    "expression": mapped,
    "expression in the blocks of the plan": partial(mapped, chunks=(8, 16, 16)),
    "windows": lambda convert=np.asarray: da.from_array(Sliceable(convert=convert), chunks=(4, 16, 16)),
    "chunks that are rechunked": lambda convert=np.asarray: da.from_array(
        Sliceable((1, 32, 32), convert), chunks=(1, 32, 32)
    ),
}
OPTIONS = {"chunks": 8, "block_bytes": 2048}


def tree_of(array, **options):
    return msi.to_multiscale(xr.DataArray(array, dims=DIMS), [2, 2], **{**OPTIONS, **options})


@pytest.mark.parametrize("method", ["mean", "gaussian"])  # without a halo, and with one
@pytest.mark.parametrize("kind", SOURCES)
def test_another_dtype_is_refused_lazily_and_when_stored(kind, method):
    tree = tree_of(SOURCES[kind](), method=method)
    for run in (
        tree["scale0"].image.compute,
        tree["scale1"].image.compute,
        partial(tree.pyramid.to_zarr, MemoryStore()),
    ):
        with pytest.raises(TypeError, match=r"a block has dtype (uint16|float64), but .* says uint8") as caught:
            run()
        notes = "\n".join(caught.value.__notes__)
        assert "reading the source, samples [" in notes or "while computing block" in notes


def test_a_run_of_blocks_does_not_join_two_dtypes(monkeypatch):
    class Words(Sliceable):
        """From sample 70 on its dtype is another one, which holds that of the samples before."""

        shape, dtype, ndim, chunks = (16, 128), np.dtype("u2"), 2, (8, 8)

        def __getitem__(self, key):
            return np.zeros([part.stop - part.start for part in key], "u1" if key[1].start >= 70 else "u2")

    image = xr.DataArray(da.from_array(Words(), chunks=(8, 8)), dims=("y", "x"))
    monkeypatch.setattr(runs, "LEAST_TASKS", 1)
    tree = msi.to_multiscale(image, [2], method=WIDE, chunks=8, block_bytes=16 * 16 * 2)
    assert msi.explain(tree).reading.run > 1
    with pytest.raises(TypeError, match="a block has dtype uint8"):
        tree.pyramid.to_zarr(MemoryStore())


def test_what_the_message_says_can_be_pasted():
    image = xr.DataArray(planes(), dims=DIMS)
    with pytest.raises(TypeError) as caught:
        msi.to_multiscale(image, [2], **OPTIONS)["scale1"].image.compute()
    advice = str(caught.value).partition("e.g. ")[2].partition(" for a Dask array")[0]
    image = eval(advice, {"image": image})
    assert image.dtype == "u2"
    whole = np.stack([plane(z) for z in range(12)])
    np.testing.assert_array_equal(msi.to_multiscale(image, [2], **OPTIONS)["scale0"].image, whole)


def hide(block):
    return np.ma.masked_greater(block, 100).astype("u1")


def without_mask(block):
    return np.ma.array(block, "u1", mask=False)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_mask_is_not_dropped(kind):
    for tree in (tree_of(SOURCES[kind](hide)), tree_of(SOURCES[kind](hide), method="gaussian")):
        with pytest.raises(ValueError, match="samples are masked"):
            tree["scale1"].image.compute()
        with pytest.raises(ValueError, match="samples are masked"):
            tree.pyramid.to_zarr(MemoryStore())


def test_what_the_message_on_masks_says_can_be_pasted():
    image = xr.DataArray(planes(hide), dims=DIMS)
    with pytest.raises(ValueError, match="masked") as caught:
        msi.to_multiscale(image, [2], **OPTIONS)["scale1"].image.compute()
    advice = str(caught.value).partition("e.g. ")[2].partition(" for a Dask array")[0]
    image = eval(advice, {"image": image, "np": np})
    tree = msi.to_multiscale(image, [2], nodata=0, **OPTIONS)
    np.testing.assert_array_equal(tree["scale0"].image[7], hide(WORDS[7]).filled(0))


def test_a_mask_that_hides_nothing_is_nothing():
    tree = tree_of(da.from_array(BYTES, chunks=4).map_blocks(without_mask, dtype="u1", meta=np.empty((0, 0, 0), "u1")))
    np.testing.assert_array_equal(tree["scale0"].image, BYTES)
    assert type(tree["scale1"].image.values) is np.ndarray


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8"])
def test_the_order_of_bytes_is_no_other_dtype(dtype):
    samples = WORDS.astype(dtype)
    for declared, stored in (("<", ">"), (">", "<")):
        pixels = da.from_array(samples.astype(declared + dtype), chunks=4).map_blocks(
            lambda block, to: block.astype(to), to=stored + dtype, dtype=declared + dtype
        )
        tree = tree_of(pixels)
        np.testing.assert_array_equal(tree["scale0"].image, samples)
        assert tree["scale0"].image.dtype.isnative


@pytest.mark.parametrize(
    ("block", "dtype", "wide"),
    [
        (np.zeros(2, bool), "u1", "uint8"),
        (np.zeros(2, "u1"), "bool", "uint8"),
        (np.zeros(2, "f8"), "f4", "float64"),
        (np.zeros(2, "i1"), "u1", "int16"),
        (np.zeros(2, object), "u1", "uint8"),
        (np.zeros(2, "U1"), "u1", "uint8"),
        ([1, 2], "u1", "int64"),
        (np.zeros(2, "i4,f4"), "u1", "uint8"),
    ],
)
def test_the_dtype_is_the_very_one(block, dtype, wide):
    with pytest.raises(TypeError, match=rf"says {np.dtype(dtype)}; .*block.astype\('{wide}'\)"):
        as_samples(block, np.dtype(dtype))


def test_what_is_as_declared_is_not_copied():
    samples = np.zeros(3, "u2")
    assert as_samples(samples, samples.dtype) is samples
    assert type(as_samples(samples.view(np.recarray), samples.dtype)) is np.ndarray


class Elsewhere:
    """Like an array on a graphics card."""

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def get(self):
        return np.zeros(2)


def test_what_numpy_does_not_convert_is_named():
    with pytest.raises(TypeError, match=r"are a .*test_declared\.Elsewhere, .*Implicit conv.*block\.get\(\)"):
        as_plain(Elsewhere())


@pytest.mark.parametrize("chunks", [(8, 16, 16), (4, 16, 16)], ids=["as planned", "rechunked"])
def test_an_edited_level_is_stored_as_declared_or_not_at_all(chunks):
    tree = tree_of(da.from_array(BYTES, chunks=4))
    tree["scale0/image"] = tree["scale0"].image.copy(data=mapped(chunks=chunks))
    with pytest.raises(TypeError, match="a block has dtype float64"):
        tree.pyramid.to_zarr(MemoryStore())


def test_workers_refuse_it_too():
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    tree = tree_of(planes())
    with LocalCluster(**options) as cluster, Client(cluster), pytest.raises(TypeError, match="dtype uint16"):
        tree["scale1"].image.compute()
