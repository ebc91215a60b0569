"""Images that come in planes: flat chunks by default, flat blocks, and bounded memory."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan.flat_chunks import default_chunks
from tests.support.counted_image import SAMPLES, CountedImage
from tests.support.stored_images import levels_of

GIB = 2**30


def virtual_planes(shape, chunks=None, dims="zyx"):
    """Planes that must not be computed."""

    def refuse():
        raise AssertionError("a plane is computed")

    chunks = da.core.normalize_chunks(chunks or (*(1,) * (len(shape) - 2), -1, -1), shape)
    pixels = da.map_blocks(refuse, chunks=chunks, dtype="u2", meta=np.empty((0,) * len(shape), "u2"), name="planes")
    return xr.DataArray(pixels, dims=tuple(dims), name="image")


@pytest.mark.parametrize(
    ("shape", "source", "expected"),
    [
        ((512, 2048, 2048), (1, 2048, 2048), (16, 128, 128)),
        ((256, 10_000, 10_000), (1, 10_000, 10_000), (4, 256, 256)),
        ((256, 10_000, 10_000), (1, 5000, 5000), (4, 256, 256)),
        ((512, 50_000, 50_000), (1, 50_000, 50_000), (1, 512, 512)),
        ((512, 2048, 2048), (8, 2048, 2048), (16, 128, 128)),
        ((2048, 512, 2048), (2048, 1, 2048), (128, 16, 128)),
        ((512, 512, 512), (1, 512, 512), (64, 64, 64)),  # 64 planes are not much
        ((512, 2048, 2048), (64, 2048, 2048), (64, 64, 64)),  # not flat
        ((512, 2048, 2048), (1, 256, 256), (64, 64, 64)),  # tiles: a block needs few
        ((512, 2048, 2048), (16, 16, 16), (64, 64, 64)),
    ],
)
def test_default_chunks_are_flat_where_the_source_is(shape, source, expected):
    lengths = da.core.normalize_chunks(source, shape)
    assert default_chunks((64, 64, 64), lengths, (True,) * 3, itemsize=2) == expected


def test_flat_chunks_are_explained_and_others_kept():
    image = virtual_planes((512, 2048, 2048))
    plan = msi.explain(msi.to_multiscale(image, "auto"))
    assert {level.chunks[0] for level in plan.levels} == {16}
    assert "16 x 128 x 128 instead of 64 x 64 x 64" in str(plan)
    given = msi.explain(msi.to_multiscale(image, "auto", chunks=64))
    assert given.levels[0].chunks == (64, 64, 64)
    assert "instead of" not in str(given)


def test_an_edited_tree_keeps_the_default_of_its_planes():
    tree = msi.to_multiscale(virtual_planes((512, 2048, 2048)), [2])
    doubled = tree.map_over_datasets(lambda dataset: dataset * 2 if dataset.data_vars else dataset)
    for before, after in zip(msi.explain(tree).levels, msi.explain(doubled).levels, strict=True):
        assert before.chunks == after.chunks


def test_channels_and_times_in_planes_have_flat_chunks_too():
    plan = msi.explain(msi.to_multiscale(virtual_planes((3, 2, 100, 4096, 4096), dims="tczyx"), "auto"))
    assert plan.levels[0].chunks == (1, 1, 16, 128, 128)


@pytest.mark.parametrize("method", ["mean", "gaussian", "mode"])
@pytest.mark.parametrize(("shape", "most"), [((512, 2048, 2048), 1), ((256, 10_000, 10_000), 6)])
def test_planes_take_little_memory(shape, most, method):
    plan = msi.explain(msi.to_multiscale(virtual_planes(shape), "auto", method=method))
    assert plan.memory(2).total < most * GIB
    assert plan.reading.chunks == plan.reading.source_chunks
    assert plan.tasks - plan.reading.source_chunks <= 2 * plan.blocks


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("chunks", [(16, 16, 16), (8, 32, 16), (1, -1, -1)])
def test_a_halo_holds_no_neighbouring_chunks_where_the_image_is_read_back(chunks, lossless):
    counted, settings = (
        CountedImage(SAMPLES, chunks),
        {"method": "gaussian", "chunks": 8 if chunks[0] > 1 else (1, 8, 8)},
    )
    tree = msi.to_multiscale(counted.image, [2, 2], block_bytes=4096, **settings)
    plan = msi.explain(tree)
    assert (plan.stages[0].written, plan.stages[0].carry, any(plan.stages[0].halo)) == ((0,), 0, False)
    assert plan.memory(2).read_back[1]
    assert plan.memory(2).total < plan.memory(2, may_read_back=False).total
    store, expected = MemoryStore(), msi.to_multiscale(counted.image.compute(), [2, 2], **settings)
    counted.times.clear()
    encoding = None if lossless else {"/scale0": {"image": {"fill_value": 7}}}
    tree.pyramid.to_zarr(store, encoding=encoding)
    assert set(counted.times.values()) == {1}
    for level, found in enumerate(levels_of(store)):
        np.testing.assert_array_equal(found, expected[f"scale{level}/image"].values)
