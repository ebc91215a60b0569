"""Coordinate systems and transformations of OME-Zarr 0.6: what places the levels, and what is kept and shown."""

import warnings

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.__main__ import main
from msi_lazy.ngff.coordinate_systems import describe_systems
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.separable_transforms import separate
from msi_lazy.tree.read_plan import read_plan
from tests.support.ngff_06 import SCHEMAS, accept, hierarchy_faults

AXES = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
SHAPE = (6, 16, 24)
PIXELS = np.random.default_rng(0).integers(1, 99, SHAPE).astype("u1")
ATLAS = {"name": "atlas", "axes": [{"name": name, "type": "space"} for name in "wvu"], "species": "mouse"}
ENDS = {"input": {"name": "physical"}, "output": {"name": "atlas"}}
SHEAR = {"type": "affine", "affine": [[1, 0.5, 0, 0], [0, 1, 0, 3], [0, 0, 1, 4]], **ENDS}
TURN = {"type": "rotation", "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "name": "turn", **ENDS}
ORDER = {"type": "mapAxis", "mapAxis": [2, 1, 0], **ENDS}
QUARTER = {"type": "rotation", "rotation": [[0, -1], [1, 0]]}
BY_DIMENSION = {
    "type": "byDimension",
    "transformations": [
        {"transformation": {"type": "scale", "scale": [2.0]}, "inputAxes": [0], "outputAxes": [0]},
        {
            "transformation": {"type": "rotation", "rotation": [[0, -1], [1, 0]]},
            "inputAxes": [1, 2],
            "outputAxes": [1, 2],
        },
    ],
    **ENDS,
}
FIELD = {"type": "displacements", "path": "field", "interpolation": "linear", **ENDS}
TO_LABELS = {
    "type": "translation",
    "translation": [0, 1, 1],
    "input": {"name": "physical", "path": "labels/cells"},
    "output": {"name": "physical"},
}


def placed(number=0, transform=None, **ends):
    """Dataset of a level that is halved ``number`` times along y and x."""
    path = f"s{number}"
    scale = {"type": "scale", "scale": [2.0, 0.5 * 2**number, 0.25 * 2**number]}
    ends = ends or {"input": {"path": path}, "output": {"name": "physical"}}
    return {"path": path, "coordinateTransformations": [{**(transform or scale), **ends}]}


def stored(datasets=None, systems=None, levels=1, version="0.6", **members):
    """Store of an image by another tool."""
    store = MemoryStore()
    root = zarr.create_group(store)
    for number in range(levels):
        root.create_array(f"s{number}", data=PIXELS[:, :: 2**number, :: 2**number], dimension_names=list("zyx"))
    image = {
        "coordinateSystems": systems or [{"name": "physical", "axes": AXES}],
        "datasets": datasets or [placed(number) for number in range(levels)],
        **members,
    }
    root.attrs["ome"] = {"version": version, "multiscales": [image]}
    return store


def opened(store, *words):
    """The tree of a store, whose remarks are these and no others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = msi.open_multiscale(store)
    remarks = " ".join(str(warning.message) for warning in caught)
    assert all(word in remarks for word in words)
    assert bool(remarks) == bool(words)
    return tree


def again(tree, version="0.6"):
    store = MemoryStore()
    tree.pyramid.to_zarr(store, version=version)
    return store


def image_of(store):
    return zarr.open_group(store, mode="r").attrs["ome"]["multiscales"][0]


def grid(tree, level=0):
    plan = read_plan(tree).levels[level]
    return list(plan.scale), list(plan.translation)


# --- what places the levels ---

SCALE, SHIFT = {"type": "scale", "scale": [2, 0.5, 0.25]}, {"type": "translation", "translation": [1, 2, 3]}
SEPARABLE = {
    "scale": (SCALE, ([2, 0.5, 0.25], [0, 0, 0])),
    "identity": ({"type": "identity"}, ([1, 1, 1], [0, 0, 0])),
    "sequence": ({"type": "sequence", "transformations": [SCALE, SHIFT]}, ([2, 0.5, 0.25], [1, 2, 3])),
    "shift first": ({"type": "sequence", "transformations": [SHIFT, SCALE]}, ([2, 0.5, 0.25], [2, 1, 0.75])),
    "nested": (
        {"type": "sequence", "transformations": [{"type": "sequence", "transformations": [SCALE, SHIFT]}, SCALE]},
        ([4, 0.25, 0.0625], [2, 1, 0.75]),
    ),
    "affine": (
        {"type": "affine", "affine": [[2, 0, 0, 1], [0, 0.5, 0, 2], [0, 0, 0.25, 3]]},
        ([2, 0.5, 0.25], [1, 2, 3]),
    ),
    "rotation by nothing": (
        {"type": "sequence", "transformations": [{"type": "rotation", "rotation": np.eye(3).tolist()}, SCALE]},
        ([2, 0.5, 0.25], [0, 0, 0]),
    ),
    "axes in their order": (
        {"type": "sequence", "transformations": [{"type": "mapAxis", "mapAxis": [0, 1, 2]}, SCALE]},
        ([2, 0.5, 0.25], [0, 0, 0]),
    ),
    "by dimension": (
        {
            "type": "byDimension",
            "transformations": [
                {
                    "transformation": {"type": "scale", "scale": [0.25, 2]},
                    "inputAxes": [2, 0],
                    "outputAxes": [2, 0],
                },
                {
                    "transformation": {
                        "type": "sequence",
                        "transformations": [
                            {"type": "scale", "scale": [0.5]},
                            {"type": "translation", "translation": [2]},
                        ],
                    },
                    "inputAxes": [1],
                    "outputAxes": [1],
                },
            ],
        },
        ([2, 0.5, 0.25], [0, 2, 0]),
    ),
    "bijection": (
        {"type": "bijection", "forward": SCALE, "inverse": {"type": "identity"}},
        ([2, 0.5, 0.25], [0, 0, 0]),
    ),
}


@pytest.mark.parametrize("kind", SEPARABLE)
def test_what_is_separable_places_a_level(kind):
    transform, expected = SEPARABLE[kind]
    tree = opened(stored([placed(transform=transform)]))
    assert grid(tree) == expected
    assert grid(opened(again(tree))) == expected
    assert hierarchy_faults(again(tree), SCHEMAS) == {}


INSEPARABLE = {
    "affine": SHEAR,
    "mirror": {"type": "affine", "affine": [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]},
    "matrix elsewhere": {"type": "affine", "path": "matrix"},
    "too small": {"type": "affine", "affine": [[1, 0, 0], [0, 1, 0]]},
    "no numbers": {"type": "affine", "affine": "diagonal"},
    "rotation": TURN,
    "mapAxis": ORDER,
    "byDimension": BY_DIMENSION,
    "some axes only": {"type": "byDimension", "transformations": BY_DIMENSION["transformations"][:1]},
    "no axes": {"type": "byDimension", "transformations": [{"transformation": SCALE}]},
    "displacements": FIELD,
    "projectAxis": {"type": "projectAxis", "droppedInputs": [0]},
    "unknown": {"type": "wobble"},
}


@pytest.mark.parametrize("kind", INSEPARABLE)
def test_what_is_not_separable_is_named_and_the_rest_is_used(kind):
    transform = {name: value for name, value in INSEPARABLE[kind].items() if name not in ENDS}
    sequence = {"type": "sequence", "transformations": [SCALE, transform]}
    tree = opened(stored([placed(transform=sequence)]), f"the transformation {transform['type']!r} is not applied")
    assert grid(tree) == ([2, 0.5, 0.25], [0, 0, 0])


def test_an_amount_that_is_no_geometry_is_none():
    for scale in ([0, 1], [-1, 1], [np.nan, 1], [np.inf, 1]):
        assert separate({"type": "affine", "affine": [[scale[0], 0, 0], [0, scale[1], 0]]}, 2) is None


@pytest.mark.parametrize("kind", ["sequence", "byDimension", "lists"])
def test_what_is_nested_without_end_is_refused(kind):
    inner = SCALE
    for _ in range(2000):
        about = {"transformation": inner, "inputAxes": [0, 1, 2], "outputAxes": [0, 1, 2]}
        inner = (
            [inner] if kind == "lists" else {"type": kind, "transformations": [inner if kind == "sequence" else about]}
        )
    dataset = placed(transform={"type": "sequence", "transformations": [inner]})
    image = {"coordinateSystems": [{"name": "physical", "axes": AXES}], "datasets": [dataset]}
    with pytest.raises(ValueError, match="malformed"):
        parse_image({"ome": {"version": "0.6", "multiscales": [image]}})


# --- spellings of other tools ---


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"input": "s0", "output": "physical"}, ["are strings"]),
        ({"input": {"path": "s0"}}, ["state no input or output"]),
        ({"input": {"path": "s0"}, "output": {"name": "world"}}, ["'world'", "placed in 'physical'"]),
    ],
)
def test_other_ends_of_transformations_are_remarked_on_and_read(ends, words):
    tree = opened(stored([placed(**ends)]), *words)
    assert grid(tree) == ([2, 0.5, 0.25], [0, 0, 0])
    assert image_of(again(tree))["datasets"][0]["coordinateTransformations"][0]["output"] == {"name": "physical"}
    assert hierarchy_faults(again(tree), SCHEMAS) == {}


def test_several_transformations_of_a_level_follow_one_another():
    dataset = placed()
    ends = {"input": {"path": "s0"}, "output": {"name": "physical"}}
    dataset["coordinateTransformations"].append({**SHIFT, **ends})
    assert grid(opened(stored([dataset]), "list several transformations")) == ([2, 0.5, 0.25], [1, 2, 3])


def test_levels_in_different_systems_are_placed_in_one():
    datasets = [placed(), placed(1, input={"path": "s1"}, output={"name": "other"})]
    tree = opened(stored(datasets, levels=2), "['physical', 'other']", "placed in 'physical'")
    assert grid(tree, 1)[0] == [2, 1, 0.5]


def test_the_intrinsic_system_is_that_of_the_levels_wherever_it_is_listed():
    systems = [ATLAS, {"name": "mine", "axes": AXES, "by": "me"}]
    dataset = placed(input={"path": "s0"}, output={"name": "mine"})
    tree = opened(stored([dataset], systems))
    assert tree["scale0"].image.dims == ("z", "y", "x")
    for version in ("0.4", "0.5", "0.6"):
        back = image_of(again(opened(again(tree, version))))
        assert back["coordinateSystems"] == systems
        assert back["datasets"][0]["coordinateTransformations"][0]["output"] == {"name": "mine"}


# --- what is kept ---

KEPT = {"affine": SHEAR, "rotation": TURN, "mapAxis": ORDER, "byDimension": BY_DIMENSION, "displacements": FIELD}
KEPT |= {"to labels": TO_LABELS, "matrix that is missing": {"type": "affine", "path": "matrix", **ENDS}}


@pytest.mark.parametrize("between", ["0.6", "0.5", "0.4"])
@pytest.mark.parametrize("kind", KEPT)
def test_transformations_to_others_are_kept_through_any_version(kind, between):
    systems = [{"name": "physical", "axes": AXES}, ATLAS]
    store = stored(systems=systems, levels=2, coordinateTransformations=[KEPT[kind]])
    tree = opened(store, f"the transformation {KEPT[kind]['type']!r} to the coordinate system")
    assert grid(tree) == ([2, 0.5, 0.25], [0, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = image_of(again(msi.open_multiscale(again(tree, between))))
    assert back["coordinateTransformations"] == [KEPT[kind]]
    assert back["coordinateSystems"] == systems
    assert "namedTransformations" not in back


def test_matrices_in_arrays_go_along_in_the_attributes():
    numbers = {"type": "sequence", "transformations": [{"type": "rotation", "path": "turns/one"}], **ENDS}
    links = [{"type": "affine", "path": "matrix", "name": "registered", **ENDS}, numbers]
    store = stored(systems=[{"name": "physical", "axes": AXES}, ATLAS], coordinateTransformations=links)
    root = zarr.open_group(store, mode="r+")
    root.create_array("matrix", data=np.array(SHEAR["affine"]))
    root.create_array("turns/one", data=np.array(TURN["rotation"]))
    inlined = image_of(again(opened(store, "'affine'", "'sequence'")))["coordinateTransformations"]
    assert inlined[0] == {**SHEAR, "name": "registered"}
    assert inlined[1]["transformations"] == [{"type": "rotation", "rotation": TURN["rotation"]}]


def test_a_level_placed_by_a_matrix_in_an_array():
    store = stored([placed(transform={"type": "affine", "path": "matrix"})])
    matrix = np.array([[2, 0, 0, 1], [0, 0.5, 0, 2], [0, 0, 0.25, 3]])
    zarr.open_group(store, mode="r+").create_array("matrix", data=matrix)
    assert grid(opened(store)) == ([2, 0.5, 0.25], [1, 2, 3])


@pytest.mark.parametrize("data", [np.ones((3, 4, 2)), np.ones((60, 80)), np.array([["a"] * 4] * 3)])
def test_an_array_that_is_no_matrix_is_left_alone(data):
    link = {"type": "affine", "path": "matrix", **ENDS}
    store = stored(systems=[{"name": "physical", "axes": AXES}, ATLAS], coordinateTransformations=[link])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.open_group(store, mode="r+").create_array("matrix", data=data)
    tree = opened(store, "'affine'")
    with pytest.warns(UserWarning, match="refer to arrays at 'matrix', which are not written with it"):
        assert image_of(again(tree))["coordinateTransformations"] == [link]


def everything():
    """A store with all that the flat form has no place for."""
    axes = [{**axis, "longName": f"the {axis['name']}", "discrete": False} for axis in AXES]
    systems = [{"name": "physical", "axes": axes}, ATLAS]
    datasets = [placed(number) for number in range(2)]
    for dataset in datasets:
        dataset["coordinateTransformations"][0]["name"] = f"to physical from {dataset['path']}"
        dataset["checked"] = True
    links = [SHEAR, TURN, TO_LABELS]
    store = stored(datasets, systems, 2, coordinateTransformations=links, tool={"name": "other"})
    root = zarr.open_group(store, mode="r+")
    scene = {"coordinateTransformations": [{"type": "identity", **ENDS}], "coordinateSystems": [ATLAS]}
    root.attrs["ome"] = {**root.attrs["ome"], "scene": scene, "study": 7}
    return store


@pytest.mark.parametrize("between", ["0.6", "0.5"])
def test_nothing_is_lost_through_any_version(between):
    store = everything()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = msi.open_multiscale(store)
        copied = again(msi.open_multiscale(again(tree, between)))
    before, after = (zarr.open_group(one, mode="r").attrs["ome"] for one in (store, copied))
    for image in (before["multiscales"][0], after["multiscales"][0]):
        for number, dataset in enumerate(image["datasets"]):
            transform = dataset["coordinateTransformations"][0]
            assert transform.pop("input") == {"path": dataset.pop("path")}
            assert grid(tree, number)[0] == (transform.get("transformations") or [transform])[0]["scale"]
            assert transform.pop("name").startswith("to physical")
            dataset.pop("coordinateTransformations")
    assert after["multiscales"][0].pop("name") == "image"
    assert after == before


def test_what_no_longer_fits_the_axes_is_kept_aside_and_said():
    systems = [{"name": "physical", "axes": AXES}, ATLAS]
    store = stored(systems=systems, levels=2, coordinateTransformations=[SHEAR])
    plane = opened(store, "'affine'").isel(z=0)
    with pytest.warns(UserWarning, match=r"affine from physical to atlas: kept in the attribute 'namedTransform"):
        image = image_of(again(plane))
    assert image["namedTransformations"] == [SHEAR]
    assert "coordinateTransformations" not in image
    assert [system["name"] for system in image["coordinateSystems"]] == ["physical", "atlas"]


def test_axes_in_another_order_are_no_longer_those_of_a_transformation():
    axes = [{**axis, "name": name} for axis, name in zip(AXES, "xyz", strict=True)]
    store = stored(systems=[{"name": "physical", "axes": axes}, ATLAS], coordinateTransformations=[SHEAR])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.open_group(store, mode="r+")
        root.create_array("s0", data=PIXELS, dimension_names=list("xyz"), overwrite=True)
        image = image_of(again(msi.open_multiscale(store)))
    assert [axis["name"] for axis in image["coordinateSystems"][0]["axes"]] == ["z", "y", "x"]
    assert image["namedTransformations"] == [SHEAR]


def test_renamed_axes_are_still_those_of_a_transformation():
    store = stored(systems=[{"name": "physical", "axes": AXES}, ATLAS], coordinateTransformations=[SHEAR])
    tree = opened(store, "'affine'").map_over_datasets(lambda level: level.rename(y="lat", x="lon") if level else level)
    assert image_of(again(tree))["coordinateTransformations"] == [SHEAR]


def test_ends_that_are_strings_become_objects():
    link = {**SHEAR, "input": "physical", "output": "atlas"}
    store = stored(systems=[{"name": "physical", "axes": AXES}, ATLAS], coordinateTransformations=[link])
    assert image_of(again(opened(store, "'affine'")))["coordinateTransformations"] == [SHEAR]


def test_the_intrinsic_system_is_called_as_you_say():
    systems = [{"name": "physical", "axes": AXES}, ATLAS]
    back = {**SHEAR, "input": {"name": "atlas"}, "output": {"name": "physical"}}
    store = stored(systems=systems, coordinateTransformations=[SHEAR, TO_LABELS, back])
    tree, target = opened(store, "'affine'"), MemoryStore()
    labels = msi.to_multiscale(tree["scale0"].image.astype("u4"), [], method="mode")
    msi.to_zarr(tree, target, version="0.6", coordinate_system="stage", labels={"cells": labels})
    image = image_of(target)
    assert [system["name"] for system in image["coordinateSystems"]] == ["stage", "atlas"]
    assert image["datasets"][0]["coordinateTransformations"][0]["output"] == {"name": "stage"}
    ends = [(one["input"], one["output"]) for one in image["coordinateTransformations"]]
    stage, atlas = {"name": "stage"}, {"name": "atlas"}
    assert ends == [(stage, atlas), (TO_LABELS["input"], stage), (atlas, stage)]
    label = zarr.open_group(target, path="labels/cells", mode="r").attrs["ome"]["multiscales"][0]
    assert [system["name"] for system in label["coordinateSystems"]] == ["stage"]
    with pytest.raises(ValueError, match="coordinate_system='atlas' is the name of another system"):
        msi.to_zarr(tree, MemoryStore(), version="0.6", coordinate_system="atlas")


def test_the_free_name_of_the_intrinsic_system():
    tree = msi.to_multiscale(msi.to_spatial_image(PIXELS, dims="zyx"), [2])
    tree.attrs["ome"]["multiscales"][0]["coordinateSystems"] = [{**ATLAS, "name": "physical"}]
    assert [system["name"] for system in image_of(again(tree))["coordinateSystems"]] == ["physical-0", "physical"]


# --- what is shown ---


@pytest.mark.parametrize("odd", [None, 5, 1e308, "axes", [5], {}])
def test_odd_members_of_a_system_are_shown_as_far_as_they_go(odd):
    assert describe_systems({"coordinateSystems": [{"name": odd, "axes": odd}, odd], "namedTransformations": odd})


def test_info_shows_systems_transformations_and_scenes(tmp_path):
    path = tmp_path / "a.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        msi.open_multiscale(everything()).pyramid.to_zarr(path, version="0.6")
        shown = CliRunner().invoke(main, ["info", str(path)]).stdout
    assert "coordinate systems: physical (z, y, x; of the levels), atlas (w, v, u)" in shown
    assert "affine from physical to atlas, rotation from physical to atlas" in shown
    assert "translation from physical of labels/cells to physical" in shown
    assert "scene: transformations: identity from physical to atlas" in shown
    assert "z (space, micrometer, the z)" in shown


def test_the_group_of_a_scene_lists_its_images(tmp_path):
    root = zarr.create_group(tmp_path / "a.zarr")
    ends = [{"input": {"name": "physical", "path": f"tile_{n}"}, "output": {"name": "world"}} for n in range(2)]
    scene = {"coordinateTransformations": [{"type": "identity", **one} for one in ends]}
    root.attrs["ome"] = {"version": "0.6", "scene": scene}
    with pytest.raises(ValueError, match=r"it is a scene: give an image, group='tile_0', group='tile_1'"):
        msi.open_multiscale(tmp_path / "a.zarr")
    msi.to_zarr(opened(stored()), tmp_path / "a.zarr", version="0.6", group="tile_0")
    assert zarr.open_group(tmp_path / "a.zarr").attrs["ome"]["scene"] == scene


@pytest.mark.parametrize("levels", [1, 2])
def test_images_of_others_are_accepted_once_they_are_written_again(levels):
    store = again(opened(stored(levels=levels)))
    accept(store)
    assert hierarchy_faults(store, SCHEMAS) == {}


@pytest.mark.parametrize("way", ["0.5", "0.6", "upgrade"])
def test_what_levels_have_besides_a_spacing_is_kept(way):
    store, other = MemoryStore(), MemoryStore()
    turn = {"type": "sequence", "transformations": [QUARTER, {"type": "scale", "scale": [2, 2]}]}
    turn |= {"input": {"path": "0"}, "output": {"name": "physical"}}
    systems = [{"name": "physical", "axes": AXES[1:]}]
    root = zarr.create_group(store)
    root.create_array("0", data=PIXELS[0])
    image = {"coordinateSystems": systems, "datasets": [{"path": "0", "coordinateTransformations": [turn]}]}
    root.attrs["ome"] = {"version": "0.6", "multiscales": [image]}
    if way == "upgrade":
        msi.upgrade(store, other, to="0.5")
    else:
        with pytest.warns(UserWarning, match="'rotation' is not applied"):
            msi.open_multiscale(store).pyramid.to_zarr(other, version=way)
    (dataset,) = zarr.open_group(other).attrs["ome"]["multiscales"][0]["datasets"]
    assert dataset["unusedTransformations"] == [turn]
    if way == "0.6":
        accept(other)
