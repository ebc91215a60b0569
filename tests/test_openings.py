"""Ways of opening an image, and edits of it: the right samples, and each stored chunk decoded once."""

import warnings
from collections import Counter
from itertools import cycle, product

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore
from tests.support.optional import require

SHAPE = (24, 64, 48)
DIMS = ("z", "y", "x")
PIXELS = np.random.default_rng(0).integers(1, 30000, SHAPE, dtype="i2")
CHUNKS = {"planes": (1, 64, 48), "bricks": (8, 16, 16), "strips": (24, 2, 48), "odd": (7, 30, 48), "whole": SHAPE}
BLOCK_BYTES = 16**3 * 2


def open_dataset(stored, store, chunks):
    with warnings.catch_warnings():  # chunks that cut stored ones
        warnings.simplefilter("ignore")
        return xr.open_zarr(store, consolidated=False, chunks=chunks).image


def of_dask(array):
    return xr.DataArray(array, dims=DIMS)


OPENINGS = {
    "open_zarr, lazily": lambda stored, store: open_dataset(stored, store, None),
    "open_zarr": lambda stored, store: open_dataset(stored, store, {}),
    "open_zarr, slabs": lambda stored, store: open_dataset(stored, store, {"z": 8}),
    "open_zarr, columns": lambda stored, store: open_dataset(stored, store, {"y": 5, "x": 48}),
    "open_zarr, auto": lambda stored, store: open_dataset(stored, store, "auto"),
    "chunked later": lambda stored, store: open_dataset(stored, store, None).chunk({"y": 10}),
    "from_zarr": lambda stored, store: of_dask(da.from_zarr(stored)),
    "from_zarr, planes": lambda stored, store: of_dask(da.from_zarr(stored, chunks=(1, 64, 48))),
    "from_array": lambda stored, store: of_dask(da.from_array(stored, chunks=(24, 9, 9))),
    "to_spatial_image": lambda stored, store: msi.to_spatial_image(stored),
}
EDITS = {
    "as it is": lambda image: image,
    "renamed": lambda image: image.rename(z="t", y="lat", x="lon").rename(t="z", lat="y", lon="x"),
    "names exchanged": lambda image: image.rename(z="a", y="z").rename(a="y"),
    "transposed": lambda image: image.transpose("x", "z", "y"),
    "transposed and cropped": lambda image: image.transpose("y", "x", "z")[3:, ::-1, 5:23],
    "cropped": lambda image: image[3:21, 5:, :40],
    "one plane": lambda image: image.isel(z=11),
    "one row, transposed": lambda image: image.isel(y=11).transpose("x", "z"),
    "flipped": lambda image: image.isel(y=slice(None, None, -1)),
    "flipped thrice": lambda image: image[::-1, ::-1, ::-1],
    "each second": lambda image: image[:, 1::2, ::-3],
}


def planes_of(edit):
    """Number of planes that an edited image has samples of."""
    planes = np.broadcast_to(np.arange(SHAPE[0])[:, None, None], SHAPE)
    return np.unique(EDITS[edit](xr.DataArray(planes, dims=DIMS))).size


def build(image, **options):
    """Build a pyramid of an image without coordinates, which may descend."""
    return msi.to_multiscale(image.drop_vars(image.coords).rename("image"), [{"x": 2}], **options)


def write(image):
    """Plan and write a pyramid; give the plan, and the levels as they are stored, in the order of the image."""
    tree = build(image, chunks=8, block_bytes=BLOCK_BYTES)
    plan = msi.explain(tree)
    target = MemoryStore()
    tree.pyramid.to_zarr(target)
    back = msi.open_multiscale(target)
    return plan, [back[f"scale{number}/image"].transpose(*image.dims).values for number in range(2)]


def stored_in(chunks, store):
    """Store the pixels as xarray does, and open the array."""
    encoding = {"image": {"chunks": chunks}}
    xr.Dataset({"image": (DIMS, PIXELS)}).to_zarr(store, consolidated=False, encoding=encoding)
    return zarr.open_array(store, path="image", mode="r")


def check_levels(levels, expected, dims):
    np.testing.assert_array_equal(levels[0], expected)
    dim = dims.index("x")
    pairs = np.moveaxis(expected, dim, -1)[..., : expected.shape[dim] // 2 * 2].astype("f8")
    means = np.rint((pairs[..., ::2] + pairs[..., 1::2]) / 2)
    np.testing.assert_array_equal(np.moveaxis(levels[1], dim, -1), means.astype(expected.dtype))


COMBINATIONS = [
    (*pair, kind) for pair, kind in zip(product(OPENINGS, EDITS), cycle(CHUNKS), strict=False)
]  # each opening with each edit, and the kinds of chunks in turn


@pytest.mark.parametrize(("opening", "edit", "kind"), COMBINATIONS)
def test_stored_chunks_are_decoded_as_often_as_the_plan_says(opening, edit, kind):
    store = CountingStore(MemoryStore())
    stored = stored_in(CHUNKS[kind], store)
    store.reads.clear()
    image = EDITS[edit](OPENINGS[opening](stored, store))
    expected = EDITS[edit](xr.DataArray(PIXELS, dims=DIMS))
    assert not +Counter({key: n for key, n in store.chunk_reads().items() if "image" in key}), "opening reads"
    plan, levels = write(image)
    reads = Counter({key: n for key, n in store.chunk_reads().items() if "image" in key})
    check_levels(levels, expected.values, expected.dims)
    assert plan.reading.is_known
    assert len(reads) == plan.reading.source_chunks
    assert len(reads) <= reads.total() <= plan.reading.chunks <= 1.5 * plan.reading.source_chunks


@pytest.mark.parametrize("opening", OPENINGS)
def test_chunks_that_fit_are_read_by_window(opening):
    store = MemoryStore()
    opened = OPENINGS[opening](stored_in((4, 8, 8), store), store)
    by_window = {
        edit: msi.explain(build(change(opened), chunks=32)).reading.by_window for edit, change in EDITS.items()
    }
    assert by_window == dict.fromkeys(EDITS, True)


class Reader:
    """An array-like that counts the chunks that it decodes, whatever part of them is asked for."""

    def __init__(self, array, decoded):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.decoded, self.counts = decoded, Counter()

    def __getitem__(self, key):
        ranges = [range(n)[part] for n, part in zip(self.shape, key, strict=True)]
        touched = [range(along[0] // n, along[-1] // n + 1) for along, n in zip(ranges, self.decoded, strict=True)]
        self.counts.update(product(*touched))
        return self.array[key]


class DeclaringReader(Reader):
    """One that says what its chunks are."""

    @property
    def chunks(self):
        return self.decoded


class PlaneReader(Reader):
    """One that gives whole planes alone, and no other part of one."""

    def __getitem__(self, key):
        assert key[1:] == (slice(0, SHAPE[1]), slice(0, SHAPE[2]))
        return super().__getitem__(key)


READERS = {
    "planes": (Reader, (1, 64, 48), (1, 64, 48)),
    "planes alone": (PlaneReader, (1, 64, 48), (1, 64, 48)),
    "slabs": (Reader, (1, 64, 48), (6, 64, 48)),
    "bricks": (Reader, (8, 16, 16), (8, 16, 16)),
    "one block": (PlaneReader, SHAPE, SHAPE),
    "declared planes": (DeclaringReader, (1, 64, 48), (24, 16, 16)),
    "declared bricks": (DeclaringReader, (8, 16, 16), (5, 64, 48)),
}
DASK_EDITS = {
    **EDITS,
    "wider": lambda image: image.astype("f8"),
    "one more dimension": lambda image: image.expand_dims("t", 1).squeeze("t").expand_dims("c"),
}


@pytest.mark.parametrize("edit", DASK_EDITS)
@pytest.mark.parametrize("kind", READERS)
def test_a_reader_is_asked_for_what_it_has_or_for_what_dask_would_ask(kind, edit):
    reader_class, decoded, asked = READERS[kind]
    reader = reader_class(PIXELS, decoded)
    change = DASK_EDITS[edit]
    plan, levels = write(change(of_dask(da.from_array(reader, chunks=asked, asarray=True))))
    expected = change(xr.DataArray(PIXELS, dims=DIMS))
    np.testing.assert_array_equal(levels[0], expected.values)
    assert reader.counts.total() <= 1.5 * len(reader.counts)
    assert reader.counts.total() <= plan.reading.chunks * max(asked[0] // decoded[0], 1)


def test_a_reader_without_chunks_is_read_by_window_and_the_plan_says_what_is_unknown():
    reader = Reader(PIXELS, (1, 64, 48))
    plan, levels = write(msi.to_spatial_image(reader))
    check_levels(levels, PIXELS, DIMS)
    assert plan.reading.by_window
    assert not plan.reading.is_known
    assert "the source's chunks are unknown" in str(plan)
    assert "1 x the image" not in str(plan)


class OtherBlocks(Reader):
    """One that gives other blocks than it declares."""

    def __getitem__(self, key):
        return super().__getitem__(key)[:1] if self.counts.total() else super().__getitem__(key)


def test_blocks_of_another_shape_are_refused_not_broadcast():
    image = of_dask(da.from_array(OtherBlocks(PIXELS, SHAPE), chunks=(8, 64, 48), asarray=True))
    tree = msi.to_multiscale(image, [{"x": 2}], chunks=(24, 64, 48))
    with pytest.raises(ValueError, match="returns other blocks than it declares"):
        tree.pyramid.to_zarr(MemoryStore())


def netcdf_file(path, engine, **encoding):
    xr.Dataset({"image": (DIMS, PIXELS)}).to_netcdf(path, engine=engine, encoding={"image": encoding})
    return lambda chunks: xr.open_dataset(path, engine=engine, chunks=chunks).image


@pytest.mark.parametrize("chunks", [None, {}, {"z": 6}, {"y": 5}])
@pytest.mark.parametrize("edit", EDITS)
def test_chunks_of_netcdf_files_are_seen(chunks, edit, tmp_path):
    require("h5netcdf")
    open_image = netcdf_file(tmp_path / "a.nc", "h5netcdf", chunksizes=(1, 64, 48))
    expected = EDITS[edit](xr.DataArray(PIXELS, dims=DIMS))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The specified chunks separate")
        plan, levels = write(EDITS[edit](open_image(chunks)))
    check_levels(levels, expected.values, expected.dims)
    assert plan.reading.is_known
    assert plan.reading.source_chunks == planes_of(edit)
    assert plan.reading.chunks <= 1.5 * plan.reading.source_chunks


@pytest.mark.parametrize("chunks", [None, {}, {"z": 6}])
def test_a_contiguous_file_is_read_by_window(chunks, tmp_path):
    for engine in ("scipy", "h5netcdf"):
        require(engine)
        plan, levels = write(netcdf_file(tmp_path / engine, engine)(chunks)[:, ::-1])
        check_levels(levels, PIXELS[:, ::-1], DIMS)
        assert plan.reading.by_window
        assert plan.reading.is_known
        assert plan.reading.chunks is None


def test_decoded_samples_are_read_in_the_chunks_of_the_stored_ones():
    """Scale, offset and mask of the CF conventions, which xarray applies lazily."""
    store = CountingStore(MemoryStore())
    encoding = {"chunks": (1, 64, 48), "dtype": "i4", "scale_factor": 0.5, "_FillValue": -1}
    masked = np.where(PIXELS > 29000, np.nan, PIXELS.astype("f8"))
    xr.Dataset({"image": (DIMS, masked)}).to_zarr(store, consolidated=False, encoding={"image": encoding})
    for chunks in (None, {}, {"z": 8}):
        image = xr.open_zarr(store, consolidated=False, chunks=chunks).image.transpose("z", "x", "y")
        store.reads.clear()
        tree = build(image, chunks=8, block_bytes=BLOCK_BYTES)
        plan = msi.explain(tree)
        assert not +Counter({key: n for key, n in store.chunk_reads().items() if "image" in key})
        np.testing.assert_array_equal(tree["scale0/image"], masked.transpose(0, 2, 1))
        assert plan.reading.source_chunks == plan.reading.chunks == SHAPE[0]
        assert max(n for key, n in store.chunk_reads().items() if "image" in key) == 1


@pytest.mark.parametrize("edit", EDITS)
def test_datasets_of_h5py_are_read_in_their_chunks(edit, tmp_path):
    with require("h5py").File(tmp_path / "a.h5", "w") as file:
        for name, stored in (("chunked", (1, 64, 48)), ("contiguous", None)):
            dataset = file.create_dataset(name, data=PIXELS, chunks=stored)
            plan, levels = write(EDITS[edit](of_dask(da.from_array(dataset, chunks=(24, 9, 9)))))
            expected = EDITS[edit](xr.DataArray(PIXELS, dims=DIMS))
            check_levels(levels, expected.values, expected.dims)
            assert plan.reading.is_known
            assert plan.reading.source_chunks == (None if stored is None else planes_of(edit))


@pytest.mark.parametrize("opening", ["open_zarr, lazily", "open_zarr", "from_zarr", "to_spatial_image"])
def test_the_plan_counts_chunks_as_they_are_decoded_with_what_a_view_leaves_out(opening):
    store = MemoryStore()
    image = OPENINGS[opening](stored_in((24, 16, 16), store), store)
    plans = {
        edit: msi.explain(build(EDITS[edit](image), chunks=16)) for edit in ("as it is", "one plane", "each second")
    }
    assert plans["one plane"].reading.chunk_shape == (16, 16)
    assert {plan.reading.chunk_samples for plan in plans.values()} == {24 * 16 * 16}
