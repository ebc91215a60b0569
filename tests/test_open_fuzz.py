"""open_multiscale on whatever a store may hold: a tree, or an error of ours; no hang, and no code run."""

import json
import pickle
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.bad_arguments import is_ours
from tests.support.stored_images import VERSIONS
from tests.support.strategies import ODD, mutate

DEEP = [[]]
for _ in range(100):
    DEEP = [DEEP]
ODD_VALUES = [
    *ODD,
    *(10**9, 10**15, 2**63, -(2**63), 1e308, 5e-324, -0.0),
    *("|O", "<M8[ns]", "float16", "<f8", "string", "pickle", "days since 2026-01-01", "x y", "image"),
    *(DEEP, [0, 0], [10**15] * 4, [1, 1, 1, 1], {"id": "pickle"}, [{"id": "vlen-utf8"}], {"name": "bytes"}),
]
METADATA = ("zarr.json", ".zattrs", ".zarray", ".zgroup", ".zmetadata")
BYTES = [b"", b"{", b"[", b"[" * 10**5, b"null", b"NaN", b"[1]", b'"a"', b"\xff\xfe", b"\0" * 9, b"{}"]


@cache
def stored(version):
    """Contents of a store: an image with dates, names and other coordinates beside it, and labels."""
    shape, dims = (2, 3, 8, 12), ("t", "c", "y", "x")
    dates = np.array(["2026-01-01", "2026-01-05"], "M8[ns]")
    options = {"scale": {"y": 0.5, "x": 0.5}, "axis_units": {"x": "micrometer", "y": "micrometer"}}
    pixels = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    image = msi.to_spatial_image(pixels, dims=dims, t_coords=dates, c_coords=["r", "g", "b"], **options)
    image = image.assign_coords(lat=(("y", "x"), np.ones((8, 12))), plate=5)
    labels = msi.to_spatial_image(np.ones((8, 12), "u4"), **options)
    contents = {}
    labels_tree = msi.to_multiscale(labels, [2], method="mode")
    msi.to_zarr(msi.to_multiscale(image, [2]), MemoryStore(contents), version=version, labels={"cells": labels_tree})
    return {key: content.to_bytes() for key, content in contents.items()}


def open_bytes(contents, group=""):
    store = MemoryStore({key: cpu.Buffer.from_bytes(content) for key, content in contents.items()})
    return msi.open_multiscale(store, group=group)


def spoil_json(data, contents, key):
    try:
        document = json.loads(contents[key])
    except (ValueError, RecursionError):
        return
    if isinstance(document, (dict, list)):
        mutate(data.draw, document, ODD_VALUES)
        contents[key] = json.dumps(document).encode()


def spoil_bytes(data, contents, key):
    content = contents[key]
    cut = data.draw(st.integers(0, len(content)))
    contents[key] = data.draw(st.sampled_from([*BYTES, content[:cut], content[:cut] + b"\xff" + content[cut + 1 :]]))


def remove(data, contents, key):
    del contents[key]


def exchange(data, contents, key):
    other = data.draw(st.sampled_from(sorted(contents)))
    contents[key], contents[other] = contents[other], contents[key]


def refused_by_us(function, *arguments):
    """What ``function`` returns, or ``None`` where it raises an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's and xarray's on broken metadata, and ours on contradictions
        warnings.filterwarnings("error", category=RuntimeWarning)
        try:
            return function(*arguments)
        except (ValueError, TypeError, FileNotFoundError) as error:
            caught = error
    assert is_ours(caught), repr(caught)
    assert len(str(caught)) > 20
    return None


def check(contents, group=""):
    tree = refused_by_us(open_bytes, contents, group)
    if tree is not None:
        assert isinstance(tree, xr.DataTree)
        assert refused_by_us(str, tree)
        plan = refused_by_us(msi.explain, tree)
        assert plan is None or str(plan)
    return tree


@given(st.data())
def test_any_store_gives_a_tree_or_an_error_of_ours(data):
    contents = dict(stored(data.draw(st.sampled_from(VERSIONS))))
    group = data.draw(st.sampled_from(["", "", "labels/cells"]))
    for _ in range(data.draw(st.integers(1, 3))):
        below = [key for key in sorted(contents) if key.startswith(group)]
        keys = [key for key in below if key.endswith(METADATA)]
        # the root and the image itself are most of what is read
        first = [key for key in keys if key.removeprefix(group).count("/") <= 2 or "image" in key]
        key = data.draw(st.sampled_from(data.draw(st.sampled_from([first or below, keys or below, below]))))
        spoil = data.draw(st.sampled_from([spoil_json, spoil_json, spoil_json, spoil_bytes, remove, exchange]))
        spoil(data, contents, key)
        if not contents:
            return
    check(contents, group)


ARRAY_DOCUMENTS = {"0.5": "zarr.json", "0.4": ".zarray"}


def edited(version, path, **settings):
    """Contents in which the metadata of the array at ``path`` say something else."""
    contents = dict(stored(version))
    key = f"{path}/{ARRAY_DOCUMENTS[version]}"
    document = json.loads(contents[key])
    if version == "0.5" and "chunks" in settings:
        document["chunk_grid"]["configuration"]["chunk_shape"] = settings.pop("chunks")
    contents[key] = json.dumps(document | settings).encode()
    return contents


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "shape",
    [[10**15, 3, 8, 12], [2, 3, 8, 10**10], [2, 3, 2**24, 2**24], [2**20] * 4, [2, 3, 0, 12], [10**400, 3, 8, 12]],
)
def test_a_shape_beyond_reason_is_refused_and_nothing_allocated(version, shape):
    for chunks in ([1, 1, 1, 1], [10**15] * 4, [0, 0, 0, 0]):
        contents = edited(version, "scale0/image", shape=shape, chunks=chunks)
        with pytest.raises(ValueError, match=r"shape|cannot be read") as caught:
            open_bytes(contents)
        assert is_ours(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_large_but_sound_shapes_are_opened(version):
    tree = check(edited(version, "scale0/image", shape=[1, 2**15, 2**20, 2**20], chunks=[1, 1, 64, 64]))
    assert tree["scale0"].image.size == 2**55


@pytest.mark.parametrize("version", VERSIONS)
def test_a_coordinate_of_another_length_than_the_image_is_not_read(version, counting_store):
    for key, content in edited(version, "scale0/y", shape=[24]).items():
        sync(counting_store.set(key, cpu.Buffer.from_bytes(content)))
    tree = msi.open_multiscale(counting_store)
    np.testing.assert_array_equal(tree["scale0"].y, np.arange(8) * 0.5)
    read = counting_store.chunk_reads()
    assert any(key.startswith("scale0/x/") for key in read)
    assert not any(key.startswith("scale0/y/") for key in read)


def change(document, place, value):
    *above, last = place
    for key in above:
        document = document[key]
    document[last] = value


SCALE = ("datasets", 0, "coordinateTransformations", 0, "scale")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (SCALE, [1, 1, 1, 10**400], "must be finite numbers"),
        (SCALE, [1, 1, 1, "1"] * 2, "does not fit 4 axes"),
        (SCALE, [1, 1, 1, {}], "must be finite numbers"),
        (("coordinateTransformations",), [{"type": "scale", "scale": [1e308] * 4}] * 2, "exceed the range of numbers"),
        (("axes", 3, "name"), "y", "they need different names"),
        (("axes", 3, "name"), "a/b", "without '/'"),
        (("axes", 3, "name"), None, "they need different names"),
        (("datasets", 0, "path"), 5, "has the path 5"),
        (("datasets", 0, "path"), "../x", "'../x' cannot be read"),
        (("axes", 3, "type"), ["space"], None),
        (("axes", 3, "unit"), 5, None),
        (("name",), [1], None),
        (("type",), {"a": 1}, None),
        (("metadata",), {"kwargs": [1]}, None),
        (("metadata",), 5, None),
    ],
)
def test_attributes_of_the_wrong_kind_are_refused_or_say_nothing(place, value, words):
    contents = dict(stored("0.5"))
    document = json.loads(contents["zarr.json"])
    change(document["attributes"]["ome"]["multiscales"][0], place, value)
    contents["zarr.json"] = json.dumps(document).encode()
    if words is None:
        assert check(contents) is not None
    else:
        with pytest.raises(ValueError, match=words) as caught:
            open_bytes(contents)
        assert is_ours(caught.value)


class Touch:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


PICKLED = {
    "the image": ("scale0/image", {"filters": [{"id": "pickle"}], "compressor": None}),
    "the image, last": ("scale0/image", {"filters": None, "compressor": {"id": "pickle"}}),
    "the image, as objects": ("scale1/image", {"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": 0}),
    "names": ("scale0/c", {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}}),
    "names, inside": ("scale1/c", {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "compressor": None}),
}
LEFT_OUT = {
    "names": ("scale0/c", {"filters": [{"id": "pickle"}], "compressor": None}),
    "numbers": ("scale0/y", {"filters": [{"id": "pickle"}], "compressor": None}),
    "numbers, last": ("scale0/y", {"filters": None, "compressor": {"id": "pickle"}}),
    "a plane": ("scale0/lat", {"filters": None, "compressor": {"id": "pickle"}}),
}
"""Coordinates that zarr itself does not open, and the image is opened without."""


def spike(version, path, settings, mark):
    """Contents in which the array at ``path`` has other codecs, and pickles that make a file at ``mark``."""
    contents = edited(version, path, **settings)
    for key in contents:
        if key.startswith(path + "/") and not key.endswith(METADATA):
            contents[key] = pickle.dumps(Touch(mark))
    return contents


@pytest.mark.parametrize("case", PICKLED)
def test_nothing_is_unpickled(case, tmp_path):
    path, settings = PICKLED[case]
    contents = spike("0.4", path, settings, tmp_path / "fired")
    with pytest.raises(
        ValueError, match=r"is stored as pickles, which can run any code|object_codec_id': 'pickle'"
    ) as caught:
        open_bytes(contents)
    assert is_ours(caught.value)
    store = MemoryStore({key: cpu.Buffer.from_bytes(content) for key, content in contents.items()})
    msi.validate(store, decode="all")
    with pytest.raises(ValueError, match="pickle"):
        msi.add_levels(store, [2])
    assert not (tmp_path / "fired").exists()


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_zarr_itself_takes_for_pickles_is_left_out(case, tmp_path):
    contents = spike("0.4", *LEFT_OUT[case], tmp_path / "fired")
    with pytest.warns(UserWarning, match="the group of level .* is ignored, with its coordinates: .*pickle"):
        tree = open_bytes(contents)
    np.testing.assert_array_equal(tree["scale0"].y, np.arange(8) * 0.5)
    tree.compute()
    assert not (tmp_path / "fired").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_names_are_read_without_pickles(version, monkeypatch):
    contents = stored(version)
    monkeypatch.setattr(pickle, "loads", None)
    tree = open_bytes(contents)
    assert tree["scale1"].c.values.tolist() == ["r", "g", "b"]
