"""What is written as OME-Zarr 0.6 is accepted by the specification's JSON schemas and by ome-zarr-models."""

import numpy as np
import pytest
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.ngff_06 import accept, hierarchy_faults

UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
ALL_SIZES = {"t": 2, "c": 3, "z": 5, "y": 16, "x": 24}


def pyramid(dims="czyx", method="mean", dtype="u2", factors=(2,), **keywords):
    pixels = np.random.default_rng(0).integers(0, 100, [ALL_SIZES.get(dim, 2) for dim in dims]).astype(dtype)
    scale = {dim: 0.5 for dim in dims if dim in "tzyx"}
    units = {dim: UNITS[dim] for dim in dims if dim in UNITS}
    image = msi.to_spatial_image(pixels, dims=dims, scale=scale, axis_units=units, **keywords)
    return msi.to_multiscale(image, list(factors), method=method, chunks=8)


def written(tree, **options):
    store = MemoryStore()
    msi.to_zarr(tree, store, version="0.6", **options)
    return store


def with_names():
    return pyramid(c_coords=["DAPI", "GFP", "Cy5"], axis_names={"z": "depth", "c": "stain"}, name="cells")


def moved():
    return pyramid(translation={"y": -3.0, "x": 1e6})


def of_dates():
    image = pyramid("tyx")["scale0"].image
    dates = np.array(["2026-01-01", "2026-01-03"], "datetime64[ns]")
    return msi.to_multiscale(image.drop_vars("t").assign_coords(t=dates), [2], chunks=8)


def with_further_systems():
    tree = pyramid("zyx")
    image = tree.attrs["ome"]["multiscales"][0]
    ends = {"input": {"name": "physical"}, "output": {"name": "atlas"}}
    image["coordinateSystems"] = [{"name": "physical", "axes": list("zyx")}, {"name": "atlas", "axes": image["axes"]}]
    image["namedTransformations"] = [{"type": "affine", "affine": np.eye(3, 4).tolist(), **ends}]
    return tree


KINDS = {
    **{dims: (lambda dims=dims: pyramid(dims)) for dims in ("yx", "zyx", "cyx", "tyx", "czyx", "tczyx", "yxc")},
    **{dtype: (lambda dtype=dtype: pyramid("yx", dtype=dtype)) for dtype in ("u1", "i2", "f4", "f8")},
    **{method: (lambda method=method: pyramid(method=method)) for method in ("gaussian", "mode", "nearest")},
    "one level": lambda: pyramid(factors=()),
    "steps": lambda: pyramid(factors=({"y": 2, "x": 2}, {"x": 2})),
    "names": with_names,
    "moved": moved,
    "dates": of_dates,
    "systems": with_further_systems,
    "pad": lambda: msi.to_multiscale(pyramid("yx")["scale0"].image[:15, :23], [2], boundary="pad"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_accepted(kind):
    store = written(KINDS[kind]())
    accept(store)
    assert hierarchy_faults(store) == {}


def test_labels_collections_and_added_levels_are_accepted():
    store = MemoryStore()
    labels = pyramid("zyx", "mode", "u4")
    msi.to_zarr(pyramid(), store, version="0.6", group="a", labels={"cells": labels})
    msi.write_labels(store, "more", labels, group="a", colors={1: "FF0000"}, properties={1: {"class": "nucleus"}})
    msi.to_zarr(pyramid("yx"), store, version="0.6", group="b")
    msi.add_levels(store, [2], group="b")
    accept(store, ("a", "b"), ("a/labels/cells", "a/labels/more"))
    assert hierarchy_faults(store) == {}


@pytest.mark.parametrize("options", [{"shards": "auto"}, {"windows": "auto"}, {"compressors": "fast"}])
def test_options_of_a_write_make_no_difference(options):
    store = written(pyramid(), **options)
    accept(store)
    assert hierarchy_faults(store) == {}


def test_an_unknown_dimension_is_an_axis_without_a_type():
    with pytest.warns(UserWarning, match="without a type"):
        store = written(pyramid("qyx"))
    accept(store)
    assert hierarchy_faults(store) == {}
