"""What samples are made from: the same when it is built again, and another one where a sample may differ."""

import os
from functools import partial

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import msi_lazy as msi
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.level_identity import identify_levels
from msi_lazy.source.identity import content_hash
from msi_lazy.tree.read_plan import level_images

PIXELS = np.random.default_rng(0).integers(0, 4000, (60, 64), dtype="u2")


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(16, 16))
    xr.Dataset({"a": (("y", "x"), PIXELS)}).to_zarr(tmp_path / "set.zarr", consolidated=False)
    return tmp_path


def lazily(files, **where):
    return xr.open_zarr(files / "set.zarr", chunks=None, consolidated=False)["a"].isel(**where)


KINDS = {
    "numpy": lambda files: PIXELS[:40],
    "numpy, other rows": lambda files: PIXELS[1:41],
    "numpy, other bytes": lambda files: PIXELS[:40].astype(">u2"),
    "memmap": lambda files: np.load(files / "a.npy", mmap_mode="r"),
    "memmap, rows": lambda files: np.load(files / "a.npy", mmap_mode="r")[:40],
    "memmap, other rows": lambda files: np.load(files / "a.npy", mmap_mode="r")[1:41],
    "memmap, turned": lambda files: np.load(files / "a.npy", mmap_mode="r")[40:0:-1],
    "zarr": lambda files: zarr.open_array(files / "a.zarr", mode="r"),
    "zarr, rows": lambda files: da.from_zarr(str(files / "a.zarr"))[:40],
    "zarr, other rows": lambda files: da.from_zarr(str(files / "a.zarr"))[1:41],
    "expression": lambda files: da.from_zarr(str(files / "a.zarr"))[:40] // 3,
    "other expression": lambda files: da.from_zarr(str(files / "a.zarr"))[:40] // 4,
    "xarray": partial(lazily, y=slice(40)),
    "xarray, other rows": partial(lazily, y=slice(1, 41)),
    "xarray, steps": partial(lazily, y=slice(None, None, 2)),
    "xarray, picked": partial(lazily, y=[*range(39), 40]),
    "xarray, picked otherwise": partial(lazily, y=[*range(38), 39, 40]),
    "xarray, turned": partial(lazily, y=slice(40, 0, -1)),
}


def identity(source, **options):
    image = source if isinstance(source, xr.DataArray) else xr.DataArray(source, dims=("y", "x"))
    image = image.drop_vars(list(image.coords))
    if isinstance(source, zarr.Array):
        image = msi.to_spatial_image(source, dims="yx")
    tree = msi.to_multiscale(image, [2], chunks=8, block_bytes=4000, **options)
    return identify_levels(LevelGraph.of([level.data for level in level_images(tree)]))


def test_built_again_it_is_the_same_and_no_two_kinds_are(files):
    found = {kind: identity(make(files)) for kind, make in KINDS.items()}
    for kind, make in KINDS.items():
        assert identity(make(files)) == found[kind], kind
    assert all(len(levels) == 1 for levels in found.values())
    told = list(map(str, found.values()))
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("numpy")])
def test_a_file_that_was_changed_is_another(files, kind):
    before = identity(KINDS[kind](files))
    for path in ("a.npy", "a.zarr/zarr.json", "set.zarr/a/zarr.json"):
        os.utime(files / path, ns=(1, 1))
    assert identity(KINDS[kind](files)) != before


@pytest.mark.parametrize("change", [lambda image: image, lambda image: image // 3], ids=["as it is", "expression"])
@pytest.mark.parametrize("chunks", [(16, 16), (1, 64)], ids=["windows", "rechunked"])
def test_the_state_of_zarr_in_the_process_is_no_part_of_what_is_stored(files, chunks, change):
    """Dask's own name for a Zarr array changes with it, e.g. with the codec pipeline that is set."""
    path = files / "b.zarr"
    zarr.create_array(path, data=PIXELS, chunks=chunks)
    plain = zarr.open_array(path, mode="r")
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        other = zarr.open_array(path, mode="r")
    assert da.from_array(plain).name != da.from_array(other).name
    one, two = (change(msi.to_spatial_image(array, dims="yx")) for array in (plain, other))
    assert identity(one) == identity(two)


def test_an_edited_tree_is_known_level_by_level():
    tree = msi.to_multiscale(xr.DataArray(PIXELS, dims=("y", "x")), [2])
    edited = tree.map_over_datasets(lambda level: level + 1 if level.data_vars else level)
    found = identify_levels(LevelGraph.of([level.data for level in level_images(edited)]))
    assert [set(level) for level in found] == [{"graph", "reads"}] * 2


def test_what_cannot_be_told_is_like_nothing_else():
    class Opaque:
        shape, dtype, ndim = (60, 64), np.dtype("u2"), 2

        def __getitem__(self, key):
            return PIXELS[key]

        def __reduce__(self):
            raise TypeError("cannot be pickled")

    source = da.from_array(Opaque(), chunks=16, name="opaque", meta=np.empty((0, 0), "u2"))
    assert identity(source) != identity(source)


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (5, 2**21), (300, 300, 300)])
def test_the_hash_of_a_content_knows_every_sample_and_no_layout(shape):
    array = np.random.default_rng(0).integers(0, 255, shape, dtype="u1")
    assert content_hash(array) == content_hash(np.asfortranarray(array))
    if array.size:
        other = array.copy()
        other.flat[-1] ^= 1
        assert content_hash(other) != content_hash(array)
