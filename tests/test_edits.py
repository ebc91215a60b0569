"""A tree is only xarray: whatever is done to it, what it holds is what is written, with true geometry."""

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi


@pytest.fixture
def tree(tmp_path):
    array = np.random.default_rng(0).integers(0, 250, (70, 90)).astype("f4")
    stored = zarr.create_array(tmp_path / "source.zarr", data=array, chunks=(32, 32))
    image = msi.to_spatial_image(stored, scale={"y": 0.5, "x": 0.5}, translation={"x": -4})
    return msi.to_multiscale(image, [2, 2], chunks=8, block_bytes=64**2)


EDITS = {
    "scaled": lambda d: d * 2 + 1,
    "centred": lambda d: d - d.max(),
    "normalised": lambda d: (d - d.mean()) / d.std(),
    "cast": lambda d: d.astype("u1"),
    "transposed": lambda d: d.transpose("x", "y"),
    "rechunked": lambda d: d.chunk({"y": 7, "x": 50}),
    "in memory": lambda d: d.compute(),
    "persisted": lambda d: d.persist(),
    "optimised": lambda d: dask.optimize(d)[0],
    "where": lambda d: d.where(d > 100, 0),
    "cumulative": lambda d: d.cumsum("x").assign_coords(d.coords),  # which older releases of xarray drop
    "self plus reversed": lambda d: d + d.isel(y=slice(None, None, -1)).assign_coords(y=d.y),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_an_edited_tree_writes_what_it_computes(tree, edit, scheduler):
    edited = tree.map_over_datasets(lambda d: EDITS[edit](d) if d.data_vars else d)
    store = MemoryStore()
    with dask.config.set(scheduler=scheduler):
        edited.pyramid.to_zarr(store)
        opened = msi.open_multiscale(store)
        for name, node in edited.children.items():
            expected = node.image.compute().transpose(*opened[name].image.dims)
            xr.testing.assert_allclose(opened[name].image.compute(), expected, rtol=0, atol=0)


def test_slices_that_shift_the_blocks(tree):
    sliced = xr.DataTree.from_dict(
        {
            "/": tree.to_dataset(),
            "scale0": tree["scale0"].to_dataset().isel(x=slice(4, 84), y=slice(8, None)),
            "scale1": tree["scale1"].to_dataset().isel(x=slice(2, 42), y=slice(4, None)),
            "scale2": tree["scale2"].to_dataset().isel(x=slice(1, 21), y=slice(2, None)),
        }
    )
    store = MemoryStore()
    sliced.pyramid.to_zarr(store)
    opened = msi.open_multiscale(store)
    for name, node in sliced.children.items():
        xr.testing.assert_equal(opened[name].image.compute(), node.image.compute())
    multiscale = zarr.open_group(store, mode="r").attrs["ome"]["multiscales"][0]
    translations = [dataset["coordinateTransformations"][1]["translation"] for dataset in multiscale["datasets"]]
    np.testing.assert_allclose(translations, [[4, -2], [4.25, -1.75], [4.75, -1.25]])


def test_offset_slices_and_rechunks_of_the_same_blocks(tree):
    data = tree["scale0"].image.data
    rolled = da.concatenate([data[:, 2:].rechunk((20, 31)), data[:, :2]], axis=1)
    tree["scale0/image"] = tree["scale0"].image.copy(data=rolled)
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0"].image, np.roll(data.compute(), -2, axis=1))


def test_a_replaced_level(tree):
    tree["scale1/image"] = tree["scale1"].image.copy(data=np.full((35, 45), 7, "f4"))
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    opened = msi.open_multiscale(store)
    assert (opened["scale1"].image == 7).all()
    xr.testing.assert_equal(opened["scale2"].image.compute(), tree["scale2"].image.compute())


def test_a_dropped_coarsest_level(tree):
    del tree["scale2"]
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    assert list(msi.open_multiscale(store).children) == ["scale0", "scale1"]
    assert len(zarr.open_group(store, mode="r").attrs["ome"]["multiscales"][0]["datasets"]) == 2


def test_levels_that_no_longer_nest_are_refused(tree, tmp_path):
    tree["scale1"] = xr.DataTree(tree["scale1"].to_dataset().isel(x=slice(0, 20)))
    with pytest.raises(ValueError, match="scale1 no longer nests in scale0 along 'x'"):
        tree.pyramid.to_zarr(tmp_path / "out.zarr")
    with pytest.raises(ValueError, match="no longer nests"):
        tree.pyramid.explain()
    assert not (tmp_path / "out.zarr").exists()


def test_a_level_in_the_middle_that_is_gone_is_refused(tree):
    del tree["scale1"]
    with pytest.raises(ValueError, match="missing in between"):
        tree.pyramid.explain()


def test_what_is_no_pyramid_is_refused():
    with pytest.raises(ValueError, match="no node 'scale0'"):
        msi.explain(xr.DataTree())
    with pytest.raises(ValueError, match="0 image variables"):
        msi.explain(xr.DataTree.from_dict({"scale0": xr.Dataset()}))


def test_refresh_stamps_what_the_tree_is_now(tree):
    tree.attrs["ome"]["omero"] = {"channels": []}
    shifted = tree.map_over_datasets(lambda d: d.assign_coords(x=d.x + 100) if d.data_vars else d)
    before = shifted.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][1]["translation"]
    after = shifted.pyramid.refresh().attrs["ome"]
    assert before == [0, -4]
    assert after["multiscales"][0]["datasets"][0]["coordinateTransformations"][1]["translation"] == [0, 96]
    assert after["omero"] == {"channels": []}


def test_the_same_tree_can_be_written_twice_while_a_write_is_held(tree):
    first, second = MemoryStore(), MemoryStore()
    one, other = (tree.pyramid.to_zarr(store, compute=False) for store in (first, second))
    assert (
        not set(dict(one.dask)) & {key for key in dict(other.dask) if "source" not in str(key)} or one.key != other.key
    )
    dask.compute(one, other)
    for store in (first, second):
        xr.testing.assert_equal(msi.open_multiscale(store)["scale2"].image.compute(), tree["scale2"].image.compute())
