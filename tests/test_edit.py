"""Edits of all levels at once: new trees, nothing read, and root attributes that are true again."""

from copy import deepcopy

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.tree.map_levels import skip_non_dimension_nodes
from tests.support.counting import CountingStore

EDITS = {
    "transpose": lambda tree: tree.pyramid.transpose("c", "x", "y"),
    "reindex": lambda tree: tree.pyramid.reindex_data_arrays(c=["b", "r"]),
    "reindex with a gap": lambda tree: tree.pyramid.reindex_data_arrays({"c": ["b", "new"]}),
    "assign": lambda tree: tree.pyramid.assign_coords(c=["one", "two", "three"], x=lambda level: level.x + 100),
}


@pytest.fixture
def tree(counting_store):
    """A pyramid over a store that counts what is read, with attributes everywhere."""
    array = np.random.default_rng(0).integers(0, 250, (3, 24, 32)).astype("u2")
    stored = zarr.create_array(counting_store, data=array, chunks=(1, 16, 16))
    image = msi.to_spatial_image(
        stored,
        dims="cyx",
        scale={"y": 0.5, "x": 0.25},
        name="cells",
        axis_units={"y": "micrometer", "x": "micrometer"},
        c_coords=["r", "g", "b"],
    )
    image.attrs["note"] = "kept"
    tree = msi.to_multiscale(image, [2, 2], chunks={"c": 1, "y": 8, "x": 16})
    tree.attrs["project"] = {"name": "kept too"}
    channels = [
        {"label": name, "color": color} for name, color in zip("rgb", ("111111", "222222", "333333"), strict=True)
    ]
    tree.attrs["ome"]["omero"] = {"channels": channels}
    counting_store.reads.clear()
    return tree


def multiscale(tree):
    return tree.attrs["ome"]["multiscales"][0]


def looks(tree):
    return [(channel["label"], channel["color"]) for channel in tree.attrs["ome"]["omero"]["channels"]]


@pytest.mark.parametrize("edit", EDITS)
def test_nothing_is_read_and_nothing_of_the_callers_tree_changes(tree, counting_store, edit):
    tree.coords["plate"] = "A1"
    before, attributes = tree.copy(deep=False), deepcopy(tree.attrs)
    encodings = [dict(node["cells"].encoding) for node in tree.children.values()]
    edited = EDITS[edit](tree)
    repr(edited)
    assert not counting_store.chunk_reads()
    for node in edited.subtree:  # what is changed in place must be the new tree's own
        node.attrs["changed"] = True
        for variable in node.variables.values():
            variable.attrs["changed"] = variable.encoding["changed"] = True
    edited.attrs.get("ome", {}).get("omero", {}).clear()
    assert tree.attrs == attributes
    assert not tree["plate"].attrs
    assert [dict(node["cells"].encoding) for node in tree.children.values()] == encodings
    xr.testing.assert_identical(
        tree["scale1"].to_dataset().drop_vars("cells"), before["scale1"].to_dataset().drop_vars("cells")
    )
    assert not counting_store.chunk_reads()


@pytest.mark.parametrize("edit", EDITS)
def test_attributes_and_names_are_kept(tree, edit):
    edited = EDITS[edit](tree)
    assert edited.name == "multiscales"
    assert edited.attrs["project"] == {"name": "kept too"}
    for node in edited.children.values():
        assert node.attrs == node["cells"].attrs == {"note": "kept"}
        assert node.x.attrs["units"] == "micrometer"


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("writer", ["ours", "xarray's"])
def test_what_is_written_is_what_the_edited_tree_holds(tree, edit, writer):
    edited = EDITS[edit](tree)
    store = MemoryStore()
    if writer == "ours":
        edited.pyramid.to_zarr(store)
    elif multiscale_of(edited) is None:
        return  # no OME-Zarr image in that order of dimensions
    else:
        edited.to_zarr(store, consolidated=False)
    opened = msi.open_multiscale(store)
    for name, node in edited.children.items():
        found = opened[name]["cells"]
        xr.testing.assert_equal(found.compute(), node["cells"].compute().transpose(*found.dims))
        asked = dict(zip(node["cells"].dims, node["cells"].encoding["chunks"], strict=True))
        assert asked == {dim: min(n, tree[name]["cells"].sizes[dim]) for dim, n in (("c", 1), ("y", 8), ("x", 16))}
        assert found.encoding["chunks"] == tuple(asked[dim] for dim in found.dims)


def multiscale_of(tree):
    return tree.attrs.get("ome", {}).get("multiscales")


def test_transpose_turns_the_chunks_along(tree):
    turned = tree.pyramid.transpose("y", "x", "c")
    assert turned["scale1"]["cells"].dims == ("y", "x", "c")
    assert turned["scale1"]["cells"].encoding["chunks"] == (8, 16, 1)
    np.testing.assert_array_equal(turned["scale2"]["cells"], np.moveaxis(tree["scale2"]["cells"].values, 0, -1))


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ((..., "c"), ("y", "x", "c")),
        (("x", ...), ("x", "c", "y")),
        ((), ("x", "y", "c")),
        (("c", "y", "x"), ("c", "y", "x")),
    ],
)
def test_transpose_as_xarray_does(tree, dims, expected):
    turned = tree.pyramid.transpose(*dims)
    for name, node in turned.children.items():
        assert node["cells"].dims == expected == tree[name]["cells"].transpose(*dims).dims


def test_the_root_speaks_of_ome_zarr_only_in_its_order(tree):
    turned = tree.pyramid.transpose("y", "x", "c")
    assert "multiscales" not in turned.attrs["ome"]
    back = turned.pyramid.transpose("c", "y", "x")
    assert back.attrs["ome"]["multiscales"][0]["datasets"] == multiscale(tree)["datasets"]
    assert looks(back) == looks(tree)
    volume = msi.to_multiscale(msi.to_spatial_image(np.zeros((4, 6, 8)), scale={"x": 3}), [2])
    assert "ome" not in volume.pyramid.transpose("x", "y", "z").attrs
    sheet = volume.pyramid.transpose("x", "y", "z").pyramid.transpose()
    assert sheet.attrs["ome"]["multiscales"][0]["datasets"] == multiscale(volume)["datasets"]


def test_transpose_refuses_what_it_cannot_do(tree):
    with pytest.raises(ValueError, match=r"no dimension 'z'; it has \('c', 'y', 'x'\)"):
        tree.pyramid.transpose("z", ...)
    with pytest.raises(ValueError, match="a dimension twice"):
        tree.pyramid.transpose("c", "c", "y", "x")
    with pytest.raises(ValueError, match=r"leaves out \['c'\]; name every dimension, or put \.\.\."):
        tree.pyramid.transpose("y", "x")
    with pytest.raises(TypeError, match="one by one"):
        tree.pyramid.transpose(["y", "x", "c"])


def test_reindex_chooses_and_orders(tree):
    edited = tree.pyramid.reindex_data_arrays(c=["b", "r"])
    for name, node in edited.children.items():
        assert node.c.values.tolist() == ["b", "r"]
        assert node["cells"].dtype == "u2"
        np.testing.assert_array_equal(node["cells"], tree[name]["cells"].values[[2, 0]])
    assert looks(edited) == [("b", "333333"), ("r", "111111")]


def test_reindex_fills_what_is_new(tree):
    labels = {"c": ["g", "new"]}
    tree = tree.pyramid.assign_coords(wavelength=("c", [600.0, 500.0, 400.0]))
    by_default = tree.pyramid.reindex_data_arrays(labels)["scale1"]["cells"]
    np.testing.assert_array_equal(by_default.wavelength, [500, np.nan])
    assert np.isnan(by_default[1]).all()
    by_value = tree.pyramid.reindex_data_arrays(labels, fill_value=7)["scale1"]["cells"]
    assert by_value.dtype == "u2"
    by_name = tree.pyramid.reindex_data_arrays(labels, fill_value={"cells": 7})["scale1"]["cells"]
    for filled in (by_value, by_name):
        assert (filled[1] == 7).all()
        np.testing.assert_array_equal(filled[0], tree["scale1"]["cells"][1])


def test_reindex_makes_no_more_blocks_than_there_are(tree):
    """xarray's own reindex masks with an array of as many blocks, and Dask warns of it."""
    fine = tree.map_over_datasets(skip_non_dimension_nodes(lambda level: level.chunk(x=2, y=2)))
    image = fine.pyramid.reindex_data_arrays(c=["b", "new"])["scale0"]["cells"]
    assert image.data.numblocks[1:] == (12, 16)


def test_reindex_passes_method_tolerance_and_copy_on():
    image = msi.to_spatial_image(np.arange(3 * 64.0).reshape(3, 8, 8), dims="tyx", t_coords=[0.0, 1.0, 2.0])
    tree = msi.to_multiscale(image, [2])
    edited = tree.pyramid.reindex_data_arrays({"t": [0.9, 1.4]}, "nearest", 0.2, True)
    np.testing.assert_array_equal(edited["scale0"].image[0], image[1])
    assert np.isnan(edited["scale0"].image[1]).all()
    scale = multiscale(tree.pyramid.reindex_data_arrays(t=[0.0, 2.0]))["datasets"][1]["coordinateTransformations"][0]
    assert scale["scale"] == [2.0, 2.0, 2.0]


def test_reindex_along_an_axis_that_every_level_shares():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((4, 8, 8)), scale={"z": 2}), [{"y": 2, "x": 2}])
    edited = tree.pyramid.reindex_data_arrays(z=[2, 4])
    assert edited["scale1"].image.shape == (2, 4, 4)
    assert multiscale(edited)["datasets"][1]["coordinateTransformations"][1]["translation"] == [2.0, 0.5, 0.5]


def test_reindex_refuses_what_it_cannot_do(tree):
    with pytest.raises(ValueError, match=r"no dimension 'z'; it has \('c', 'y', 'x'\)"):
        tree.pyramid.reindex_data_arrays(z=[1])
    with pytest.raises(ValueError, match=r"different coordinates along 'x'.*build its pyramid again"):
        tree.pyramid.reindex_data_arrays(x=[0.0, 0.25])
    with pytest.raises(ValueError, match="labels along 'c' must be a sequence, not 'r'"):
        tree.pyramid.reindex_data_arrays(c="r")
    with pytest.raises(ValueError, match="labels along 'c' occur twice"):
        tree.pyramid.assign_coords(c=["r", "r", "b"]).pyramid.reindex_data_arrays(c=["r"])
    bare = tree.map_over_datasets(lambda level: level.drop_vars("c", errors="ignore"))
    with pytest.raises(ValueError, match=r"'c' has no labels; assign some: assign_coords\(c="):
        bare.pyramid.reindex_data_arrays(c=["r"])


def test_reindex_does_not_load_what_xarray_opened_lazily(tree):
    store = CountingStore(MemoryStore())
    tree.to_zarr(store, consolidated=False)
    opened = xr.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
    store.reads.clear()
    edited = opened.pyramid.reindex_data_arrays(c=["b", "new"])
    assert not [key for key in store.chunk_reads() if "cells" in key]
    assert edited["scale0"]["cells"].chunks[1][0] == 8
    again = MemoryStore()
    edited.to_zarr(again, consolidated=False)  # the dtype that was stored no longer holds
    assert np.isnan(msi.open_multiscale(again)["scale1"]["cells"][1]).all()


def test_assigned_names_are_those_of_the_channels(tree):
    edited = tree.pyramid.assign_coords({"c": ["DAPI", "GFP", "RFP"]})
    for node in edited.children.values():
        assert node.c.values.tolist() == ["DAPI", "GFP", "RFP"]
        assert node.c.dtype == object  # names of a fixed length are not in Zarr's specification
        assert node.c.attrs == {"long_name": "c"}
    assert looks(edited) == [("DAPI", "111111"), ("GFP", "222222"), ("RFP", "333333")]


def test_spatial_coordinates_of_every_level_at_once(tree):
    edited = tree.pyramid.assign_coords(x=lambda level: level.x * 4, y=lambda level: level.y.values + 10)
    for name, node in edited.children.items():
        np.testing.assert_array_equal(node.x, tree[name].x * 4)
        assert node.x.attrs == node.y.attrs | {"long_name": "x"} == tree[name].x.attrs
    transforms = [dataset["coordinateTransformations"] for dataset in multiscale(edited)["datasets"]]
    assert [scale["scale"] for scale, _ in transforms] == [[1, 0.5, 1], [1, 1, 2], [1, 2, 4]]
    assert [place["translation"] for _, place in transforms] == [[0, 10, 0], [0, 10.25, 0.5], [0, 10.75, 1.5]]


def test_a_coordinate_goes_where_it_fits(tree):
    edited = tree.pyramid.assign_coords(x=np.arange(16) * 2.0)
    assert edited["scale1"].x.values[-1] == 30
    for name in ("scale0", "scale2"):
        xr.testing.assert_identical(edited[name].to_dataset(), tree[name].to_dataset())
    assert "multiscales" not in edited.attrs["ome"]  # there is nothing true to say of levels that contradict each other
    with pytest.raises(ValueError, match="no longer nests"):
        edited.pyramid.explain()
    for number, name in enumerate(tree.children):
        edited = edited.pyramid.assign_coords(x=tree[name].x.values + 2**number)
    assert looks(edited) == looks(tree)
    places = [dataset["coordinateTransformations"][1]["translation"][2] for dataset in multiscale(edited)["datasets"]]
    assert places == [1, 2.125, 4.375]


def test_coordinates_in_every_form_that_xarray_takes(tree):
    edited = tree.pyramid.assign_coords(
        c=xr.DataArray([3, 2, 1], dims="c", coords={"c": [9, 9, 9]}, attrs={"long_name": "order"}),
        wavelength=("c", [400, 500, 600], {"units": "nm"}),
        plate="A1",
        depth=(("y", "x"), da.zeros((12, 16))),
        y=xr.Variable("y", np.arange(6.0), {"units": "nanometer"}),
    )
    assert edited["scale2"].c.values.tolist() == [3, 2, 1]
    assert edited["scale2"].c.attrs == {"long_name": "order"}
    assert looks(edited) == [("3", "111111"), ("2", "222222"), ("1", "333333")]
    assert edited["scale0"].wavelength.attrs == {"units": "nm"}
    assert edited["scale1"].plate.item() == "A1"
    assert [name for name, node in edited.children.items() if "depth" in node.coords] == ["scale1"]
    assert edited["scale2"].y.attrs == {"units": "nanometer"}


def test_assign_refuses_what_it_cannot_do(tree):
    with pytest.raises(
        ValueError, match=r"'c' with sizes \{'c': 2\} fits no level.*scale0 \{'c': 3, 'y': 24, 'x': 32\}"
    ):
        tree.pyramid.assign_coords(c=["r", "g"])
    with pytest.raises(ValueError, match=r"'colour' with sizes \{'colour': 3\} fits no level"):
        tree.pyramid.assign_coords(colour=["r", "g", "b"])
    with pytest.raises(ValueError, match="'cells' is a variable of the pyramid"):
        tree.pyramid.assign_coords(cells=("c", [1, 2, 3]))
    with pytest.raises(ValueError, match="descends"):
        tree.pyramid.assign_coords(x=lambda level: -level.x)
    with pytest.raises(ValueError, match="not evenly spaced"):
        tree.pyramid.assign_coords(y=lambda level: level.y**2)


@pytest.mark.parametrize("edit", EDITS)
def test_several_variables_per_scale(tree, edit):
    def with_mask(dataset):
        return dataset.assign(mask=dataset["cells"] > 100, profile=dataset["cells"].isel(c=0).drop_vars("c"))

    more = tree.map_over_datasets(skip_non_dimension_nodes(with_mask))
    edited = EDITS[edit](more)
    alone = EDITS[edit](tree)
    for name, node in edited.children.items():
        xr.testing.assert_identical(node["cells"].compute(), alone[name]["cells"].compute())
        assert node["mask"].dims == node["cells"].dims
        assert node["mask"].c.values.tolist() == alone[name].c.values.tolist()
    assert edited["scale1"]["profile"].dims == (("x", "y") if edit == "transpose" else ("y", "x"))
    assert edited.attrs == alone.attrs


def test_other_trees_are_edited_too(tree):
    """No image the root speaks of, levels without coordinates, labels without channels, coordinates of the root."""
    bare = xr.DataTree.from_dict(
        {f"scale{number}": xr.Dataset({"a": (("c", "x"), np.zeros((3, n)))}) for number, n in enumerate((8, 4))}
    )
    assert bare.pyramid.transpose()["scale1/a"].dims == ("x", "c")
    two = bare.map_over_datasets(lambda level: level.assign(b=level.a) if level.sizes else level)
    assert two.pyramid.assign_coords(c=["r", "g", "b"])["scale1"].b.c.values.tolist() == ["r", "g", "b"]
    shared = xr.DataTree.from_dict(
        {"/": xr.Dataset(coords={"c": ["r", "g", "b"]}), "/scale0": two["scale0"].to_dataset()}
    )
    assert shared.pyramid.reindex_data_arrays(c=["b"])["scale0"].b.shape == (1, 8)
    assert shared.pyramid.assign_coords(c=[1, 2, 3])["scale0"].c.values.tolist() == [1, 2, 3]
    tree["labels/nuclei/scale0"] = xr.DataTree(tree["scale0"].to_dataset().isel(c=0, drop=True))
    turned = tree.pyramid.transpose("x", "y", "c")
    assert turned["labels/nuclei/scale0/cells"].dims == ("x", "y")
    assert tree.pyramid.reindex_data_arrays(c=["b"])["labels/nuclei/scale0/cells"].shape == (24, 32)
    tree.attrs["ome"]["omero"] = {"channels": "not as in OME-Zarr"}
    assert multiscale(tree.pyramid.assign_coords(c=[1, 2, 3]))["name"] == "cells"
    below = xr.DataTree.from_dict({"/wells/A1": tree})
    assert below["wells/A1"].pyramid.transpose("x", "y", "c")["scale1/cells"].dims == ("x", "y", "c")


def test_the_decorator_leaves_datasets_without_dimensions_alone(tree):
    @skip_non_dimension_nodes
    def pick(dataset, *args, **kwargs):
        """Pick channels."""
        return dataset.isel(*args, **kwargs)

    root = tree.to_dataset()
    assert pick(root, c=0) is root
    assert (pick.__name__, pick.__doc__) == ("pick", "Pick channels.")
    assert tree.map_over_datasets(pick, {"c": 0})["scale1/cells"].shape == (12, 16)
