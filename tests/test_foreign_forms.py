"""OME-Zarr as others really wrote it: opened with one warning, and written again as a valid image."""

import warnings

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.ngff.coordinate_systems import NAMED_TRANSFORMS

VERSIONS = ("0.4", "0.5")
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
PIXELS = np.arange(3 * 64 * 48, dtype="u2").reshape(3, 64, 48)


def stored(version="0.5", dims="cyx", levels=(PIXELS, PIXELS[:, ::2, ::2]), change=None, scale=0.5, **block):
    """An image by another tool, changed by ``change(multiscale, block)``."""
    root = zarr.create_group(MemoryStore(), zarr_format=3 if version == "0.5" else 2)
    settings = {"dimension_names": list(dims)} if version == "0.5" else {}
    if version == "0.4":
        settings["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    for number, level in enumerate(levels):
        root.create_array(str(number), data=level, **settings)
    image = {"name": "im", "axes": [{"name": dim, "type": KINDS[dim]} for dim in dims]}
    image["datasets"] = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale_of(dims, scale * 2**k)}]}
        for k in range(len(levels))
    ]
    if version == "0.4":
        image["version"] = version
    block = {"multiscales": [image], **block}
    if change is not None:
        change(image, block)
    root.attrs.update({"ome": {"version": version, **block}} if version == "0.5" else block)
    return root


def scale_of(dims, spacing):
    return [spacing if KINDS[dim] == "space" else 1.0 for dim in dims]


def transforms(image, level=0):
    return image["datasets"][level]["coordinateTransformations"]


def opened(root, words=()):
    """Open an image: without a warning, or with one, which says all of ``words``."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        tree = msi.open_multiscale(root.store)
    assert len(found) == bool(words), [str(one.message) for one in found]
    for word in words:
        assert word in str(found[0].message)
    return tree


def written(tree, version="0.5"):
    """Write a tree; return the block of what was written, which is valid."""
    tree.pyramid.to_zarr(store := MemoryStore(), version=version)
    report = msi.validate(store)
    assert report.ok, str(report)
    attributes = zarr.open_group(store, mode="r").attrs.asdict()
    return attributes.get("ome", attributes)


def vector(block, level, kind="scale"):
    return next(t[kind] for t in block["multiscales"][0]["datasets"][level]["coordinateTransformations"] if kind in t)


def set_scale(axis, value):
    def change(image, block):
        for level in range(len(image["datasets"])):
            transforms(image, level)[0]["scale"][axis] = value

    return change


def without_scale(image, block):
    for dataset in image["datasets"]:
        del dataset["coordinateTransformations"]


SHEAR = [[1, 0, 0, 0], [0, 1, 0.1, 0], [0, 0, 1, 0]]


def identity_alone(image, block):
    for dataset in image["datasets"]:
        dataset["coordinateTransformations"] = [{"type": "identity"}]


def affine_beside(image, block):
    for dataset in image["datasets"]:
        dataset["coordinateTransformations"].append({"type": "affine", "affine": SHEAR})


def affine_alone(image, block):
    for dataset in image["datasets"]:
        dataset["coordinateTransformations"] = [{"type": "affine", "affine": SHEAR}]


def as_sequence(image, block):
    for dataset in image["datasets"]:
        parts = [*dataset["coordinateTransformations"], {"type": "translation", "translation": [0, 1, 1]}]
        dataset["coordinateTransformations"] = [
            {"type": "sequence", "transformations": parts, "input": dataset["path"], "output": "intrinsic"}
        ]


def as_strings(image, block):
    for level in range(2):
        transform = transforms(image, level)[0]
        transform["scale"] = [str(value) for value in transform["scale"]]


def as_integers(image, block):
    for level in range(2):
        transforms(image, level)[0]["scale"] = [1, 2**level, 2**level]


def never_growing(image, block):
    for level in range(2):
        transforms(image, level)[0]["scale"] = [1, 0.5, 0.5]


FORMS = {
    "zero": (set_scale(1, 0.0), ["the scale along 'y' is 0"], ([1, 1, 0.5], [1, 2, 1])),
    "nan": (set_scale(2, float("nan")), ["the scale along 'x' is nan"], ([1, 0.5, 1], [1, 1, 2])),
    "null": (set_scale(2, None), ["the scale along 'x' is nan"], ([1, 0.5, 1], [1, 1, 2])),
    "negative channel": (set_scale(0, -1), ["the scale along 'c' is -1"], ([1, 0.5, 0.5], [1, 1, 1])),
    "no scale": (without_scale, ["no scale is stated"], ([1, 1, 1], [1, 2, 2])),
    "identity": (identity_alone, ["no scale is stated"], ([1, 1, 1], [1, 2, 2])),
    "affine beside": (affine_beside, ["transformation 'affine' is not applied"], ([1, 0.5, 0.5], [1, 1, 1])),
    "affine alone": (affine_alone, ["transformation 'affine' is not applied"], ([1, 1, 1], [1, 2, 2])),
    "sequence": (as_sequence, [], ([1, 0.5, 0.5], [1, 1, 1])),
    "strings": (as_strings, [], ([1, 0.5, 0.5], [1, 1, 1])),
    "integers": (as_integers, [], ([1, 1, 1], [1, 2, 2])),
    "never growing": (
        never_growing,
        ["scales contradict shapes", "(1, 1, 1) by its scale, (1, 2, 2) by its shape"],
        ([1, 0.5, 0.5], [1, 1, 1]),
    ),
    "axes as strings": (
        lambda image, block: image.update(axes=list("cyx"), version="0.4"),
        [],
        ([1, 0.5, 0.5], [1, 1, 1]),
    ),
    "axes without types": (
        lambda image, block: image.update(axes=[{"name": dim} for dim in "cyx"]),
        [],
        ([1, 0.5, 0.5], [1, 1, 1]),
    ),
    "units of null": (
        lambda image, block: [axis.update(unit=None) for axis in image["axes"]],
        [],
        ([1, 0.5, 0.5], [1, 1, 1]),
    ),
    "two images": (
        lambda image, block: block["multiscales"].append(dict(image)),
        ["lists 2 multiscale images"],
        ([1, 0.5, 0.5], [1, 1, 1]),
    ),
}


@pytest.mark.parametrize("again", VERSIONS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_others_are_opened_and_written_again(form, version, again):
    change, words, scales = FORMS[form]
    tree = opened(stored(version, change=change), words)
    for number, level in enumerate((PIXELS, PIXELS[:, ::2, ::2])):
        np.testing.assert_array_equal(tree[f"scale{number}"].im, level)
    block = written(tree, again)
    assert [vector(block, 0), vector(block, 1)] == [list(scale) for scale in scales]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_scale(1, -0.5), "along 'y' the samples run backwards"),
        (lambda image, block: transforms(image)[0].update(scale=[1, 1]), "does not fit 3 axes"),
        (lambda image, block: transforms(image)[0].update(scale="0.5"), "does not fit 3 axes"),
        (lambda image, block: transforms(image)[0].update(scale=["0,5", 1, 1]), "must be finite numbers"),
        (lambda image, block: transforms(image)[0].pop("scale"), "it has no 'scale'"),
    ],
)
def test_what_cannot_be_understood_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        msi.open_multiscale(stored(change=change).store)


@pytest.mark.parametrize("version", VERSIONS)
def test_datasets_from_the_coarsest_on(version):
    tree = opened(stored(version, change=lambda image, block: image["datasets"].reverse()), ["order '0', '1'"])
    np.testing.assert_array_equal(tree["scale0"].im, PIXELS)
    assert vector(written(tree), 0) == [1, 0.5, 0.5]


def test_no_levels_are_added_behind_datasets_in_another_order():
    root = stored(change=lambda image, block: image["datasets"].reverse())
    before = root.attrs.asdict()
    with (
        pytest.warns(UserWarning, match="order '0', '1'"),
        pytest.raises(ValueError, match=r"list them as \['0', '1'\]"),
    ):
        msi.add_levels(root.store, [2])
    assert root.attrs.asdict() == before


@pytest.mark.parametrize(
    ("lengths", "scale"),
    [((64, 32, 16, 8), 4), ((7, 3, 1), 9), ((65, 33, 17), 1), ((100, 67, 45), 5), ((2, 1), 1), ((5, 5, 5), 3)],
)
def test_scales_that_contradict_the_shapes_are_replaced_by_those_of_the_shapes(lengths, scale):
    levels = [np.zeros((n, 8), "u1") for n in lengths]
    spacings = [float(scale**k) for k in range(len(lengths))]

    def change(image, block):
        for dataset, spacing in zip(image["datasets"], spacings, strict=True):
            dataset["coordinateTransformations"] = [{"type": "scale", "scale": [spacing, 1]}]

    tree = opened(stored(dims="yx", levels=levels, change=change), ["scales contradict shapes"])
    block = written(tree)
    for number, length in enumerate(lengths):
        assert abs(vector(block, number)[0] * length - lengths[0]) <= vector(block, number)[0]


def test_verify_takes_the_factors_of_the_shapes(tmp_path):
    root = stored(change=without_scale, levels=(PIXELS, PIXELS[:, ::2, ::2]))
    with pytest.warns(UserWarning, match="no scale is stated"):
        assert msi.verify(root.store, method="nearest").ok


def test_levels_of_one_sample():
    levels = [np.zeros((1, 4, 4), "u1"), np.zeros((1, 2, 2), "u1"), np.zeros((1, 1, 1), "u1")]
    tree = opened(stored(dims="zyx", levels=levels, change=set_scale(0, 3.5)))
    assert [vector(written(tree), number) for number in range(3)] == [[3.5, 0.5, 0.5], [3.5, 1, 1], [3.5, 2, 2]]


# --- SpatialData ---


def spatialdata(*outer):
    def change(image, block):
        image["coordinateTransformations"] = list(outer)

    return change


GLOBAL = {"input": {"name": "cyx"}, "output": {"name": "global"}}
IDENTITY = {"type": "identity", **GLOBAL}
AFFINE = {"type": "affine", "affine": [[1, 0, 0, 0], [0, 2, 0.1, 3], [0, 0.1, 2, 4]], **GLOBAL}
SCALE = {"type": "scale", "scale": [1, 3, 3], **GLOBAL}
SEQUENCE = {"type": "sequence", "transformations": [{"type": "scale", "scale": [1, 3, 3]}], **GLOBAL}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("outer", [AFFINE, SCALE, SEQUENCE], ids=lambda one: one["type"])
def test_transformations_to_named_systems_are_warned_of_and_kept(outer, version):
    words = [f"transformation '{outer['type']}' to the coordinate system 'global' is not applied"]
    tree = opened(stored(version, change=spatialdata(IDENTITY, outer)), words)
    for again in VERSIONS:
        block = written(tree, again)
        assert vector(block, 0) == [1, 0.5, 0.5]
        assert block["multiscales"][0][NAMED_TRANSFORMS] == [IDENTITY, outer]
        assert "coordinateTransformations" not in block["multiscales"][0]


def test_an_identity_to_a_named_system_changes_nothing():
    assert written(opened(stored(change=spatialdata(IDENTITY))))["multiscales"][0][NAMED_TRANSFORMS] == [IDENTITY]


@pytest.mark.parametrize(
    ("version", "read"),
    [
        ("0.4-dev-spatialdata", "0.4"),
        ("0.5-dev-spatialdata", "0.5"),
        ("0.5.2", "0.5"),
        ("0.5rc1", "0.5"),
        ("v0.4", "0.4"),
        (0.4, "0.4"),
        (0.5, "0.5"),
    ],
)
def test_versions_of_a_kind_are_read_as_what_they_are_of(version, read):
    def change(image, block):
        (image if read == "0.4" else block)["version"] = version

    words = [] if isinstance(version, float) else [f"its version '{version}' is read as {read}"]
    tree = opened(stored(read, change=change), words)
    assert written(tree, "0.5")["version"] == "0.5"
    assert written(tree, "0.4")["multiscales"][0]["version"] == "0.4"


@pytest.mark.parametrize("version", ["0.61", "0.7", "0.51", "0.40", "1.0", "latest"])
def test_other_versions_are_named(version):
    with pytest.raises(ValueError, match=rf"the image is OME-Zarr {version}; versions 0\.1, .* and \S+ can be read"):
        msi.open_multiscale(stored(change=lambda image, block: block.update(version=version)).store)


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"ome": {"version": "0.7", "plate": {"wells": []}}}, r"0\.7;"),
    ],
)
def test_unknown_versions_are_named_stated_or_not(block, named):
    root = zarr.create_group(MemoryStore(), attributes=block)
    root.create_array("0", shape=(8, 8), dtype="u1")
    for use in (msi.open_multiscale, msi.verify, msi.view, lambda store: msi.add_levels(store, [2])):
        with pytest.raises(ValueError, match=f"the image is OME-Zarr {named}"):
            use(root.store)


# --- round trips ---


@pytest.mark.parametrize("again", VERSIONS)
@pytest.mark.parametrize("version", VERSIONS)
def test_members_that_nobody_knows_are_kept(version, again):
    def change(image, block):
        image |= {"extra": {"b": [1, None]}, "@id": "x"}
        image["axes"][2]["orientation"] = {"type": "anatomical", "value": "left-to-right"}
        image["datasets"][1]["note"] = "half"
        block["laboratory"] = {"room": 7}

    root = stored(version, change=change)
    root.attrs["by"] = "me"
    tree = opened(root)
    for edited in (tree, tree.sel(x=slice(0, 15)), tree.pyramid.refresh()):
        edited.pyramid.to_zarr(store := MemoryStore(), version=again)
        assert msi.validate(store).ok
        attributes = zarr.open_group(store, mode="r").attrs.asdict()
        block = attributes.get("ome", attributes)
        image = block["multiscales"][0]
        assert (image["extra"], image["@id"]) == ({"b": [1, None]}, "x")
        assert image["axes"][2]["orientation"]["value"] == "left-to-right"
        assert image["datasets"][1]["note"] == "half"
        assert {**attributes, **block}["laboratory"] == {"room": 7}
        assert attributes["by"] == "me"
    assert written(opened(zarr.open_group(store, mode="r")), version)["multiscales"][0]["extra"] == {"b": [1, None]}


CHANNELS = [{"label": name, "color": "FF0000", "window": {"min": 0, "max": 9, "start": 1, "end": 8}} for name in "rgb"]


@pytest.mark.parametrize(
    "omero",
    [
        5,
        [],
        {},
        {"channels": 3},
        {"channels": [{"label": "r"}, {"label": "g"}, {"label": "b"}]},
        {"channels": [None, {"label": "g"}, {"label": 7, "color": 5, "window": []}]},
        {"channels": [{**one, "active": "yes", "window": {"min": "0"}} for one in CHANNELS]},
        {"channels": CHANNELS, "rdefs": "color", "id": "x", "name": 4, "version": 3},
        {"channels": CHANNELS, "rdefs": {"model": None, "defaultZ": "a"}},
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_display_settings_of_any_form_never_refuse_a_write(omero, version):
    root = stored(version, change=lambda image, block: block.update(omero=omero))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = msi.open_multiscale(root.store)
    for again in VERSIONS:
        assert len(written(tree, again)["omero"]["channels"]) == 3


@pytest.mark.parametrize(
    ("name", "called", "words"),
    [
        ("/", "image", []),
        ("/labels/cells", "cells", []),
        ("", "image", []),
        (5, "image", []),
        ("plate/A1", "image", ["its name 'plate/A1' cannot be"]),
        (".hidden", "image", ["its name '.hidden' cannot be"]),
        ("x", "image", ["its name 'x' cannot be"]),
        ("a b.tif #1", "a b.tif #1", []),
    ],
)
def test_names_become_those_of_a_variable_and_a_path(name, called, words):
    tree = opened(stored(change=lambda image, block: image.update(name=name)), words)
    assert list(tree["scale0"].data_vars) == [called]
    assert written(tree)["multiscales"][0]["name"] == called


def with_axes(*axes):
    """An image whose axes are these objects, of which the last two are long."""
    names = [axis["name"] for axis in axes]
    root = zarr.create_group(MemoryStore())
    shape = (*(2, 3, 4)[: len(axes) - 2], 16, 24)
    root.create_array("0", data=np.arange(np.prod(shape), dtype="u2").reshape(shape), dimension_names=names)
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    image = {"name": "im", "axes": list(axes), "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    root.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return root


def of_space(*names):
    return [{"name": name, "type": "space"} for name in names]


@pytest.mark.parametrize(
    ("axes", "dims", "words"),
    [
        (of_space("C", "y", "x"), ("C", "y", "x"), ["'C' has the type 'space'", "one of channel"]),
        (of_space("channel", "y", "x"), ("channel", "y", "x"), ["'channel' has the type 'space'"]),
        (of_space("t", "y", "x"), ("t", "y", "x"), ["'t' has the type 'space'", "one of time"]),
        (of_space("t", "c", "y", "x"), ("t", "c", "y", "x"), ["'t' has the type 'space'", "'c' has the type 'space'"]),
        (of_space("c", "z", "y", "x"), ("c", "z", "y", "x"), ["'c' has the type 'space'"]),
        (of_space("band", "y", "x"), ("z", "y", "x"), ["'band' of type 'space' is called 'z'"]),
        ([{"name": "band", "type": "channel"}, *of_space("y", "x")], ("c", "y", "x"), ["'band' of type 'channel'"]),
        (of_space("i", "j"), ("y", "x"), ["'i' of type 'space' is called 'y'", "'j' of type 'space' is called 'x'"]),
        (of_space("r", "y"), ("z", "y"), ["'r' of type 'space' is called 'z'"]),
        (of_space("r", "x"), ("y", "x"), ["'r' of type 'space' is called 'y'"]),
        (of_space("y", "r"), ("y", "x"), ["'r' of type 'space' is called 'x'"]),
        (of_space("c", "x"), ("y", "x"), ["'c' of type 'space' is called 'y'"]),
        (of_space("lat", "lon"), ("lat", "lon"), []),
    ],
)
def test_names_and_types_of_axes_that_do_not_go_together_are_warned_of_and_keep_their_order(axes, dims, words):
    root = with_axes(*axes)
    tree = opened(root, words)
    assert tree["scale0"]["im"].dims == dims
    block = written(tree)
    assert [axis["name"] for axis in block["multiscales"][0]["axes"]] == list(dims)
    np.testing.assert_array_equal(tree["scale0"]["im"].values, root["0"][...])


def test_types_of_others_and_units_of_channels_are_kept():
    angle = {"name": "ang", "type": "angle", "unit": "degree"}
    channels = {"name": "c", "type": "channel", "unit": "nanometer"}
    renamed = {"name": "i", "type": "space", "unit": "micrometer", "orientation": "anterior-to-posterior"}
    for first in (angle, channels):
        tree = opened(with_axes(first, *of_space("y", "x")))
        assert written(tree)["multiscales"][0]["axes"][0] == first
    tree = opened(with_axes(channels, renamed, *of_space("x")), ["'i' of type 'space' is called 'y'"])
    assert written(tree)["multiscales"][0]["axes"][1] == {**renamed, "name": "y"}


@pytest.mark.parametrize("names", [[["y"], "y", "x"], [{}, "y", "x"]])
def test_names_of_dimensions_that_are_none_are_those_of_the_axes(names):
    root = stored("0.4")
    root["0"].attrs["_ARRAY_DIMENSIONS"] = names
    assert msi.open_multiscale(root)["scale0"]["im"].dims == ("c", "y", "x")
