"""validate: coordinate systems and transformations of OME-Zarr 0.6, each fault with its own finding and no other."""

from copy import deepcopy

import pytest
import zarr
from zarr.storage import MemoryStore

from msi_lazy.validation import validate
from tests.support.stored_images import (
    LABEL,
    LEVEL,
    SYSTEM_RULES,
    broken,
    edited,
    multiscale,
    sound_image,
    transformations,
)

SPACE = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
WORLD = {"name": "world", "axes": [{"name": "c", "type": "channel"}, *SPACE]}
ENDS = {"input": {"name": "physical"}, "output": {"name": "world"}}


def systems(ome):
    return multiscale(ome)["coordinateSystems"]


def with_world(ome, **transform):
    """Add a system, and a transformation that leads to it."""
    systems(ome).append(deepcopy(WORLD))
    multiscale(ome)["coordinateTransformations"] = [{**deepcopy(ENDS), **transform}]


def only(ome, level=1):
    return transformations(ome, level)[0]


@pytest.mark.parametrize("stated", ["0.6", "0.6rc0", "0.6rc1"])
def test_a_sound_image_gives_no_finding(stated):
    root = sound_image("0.6")
    for path in ("", "labels", LABEL):
        with edited(root, path) as ome:
            ome["version"] = stated
    report = validate(root)
    assert report.findings == ()
    assert report.versions == ("0.6",)


TURN = [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
SOUND = [
    {"type": "identity"},
    {"type": "scale", "scale": [1, 2, 2, 2]},
    {"type": "translation", "translation": [0, -1, 0, 5]},
    {"type": "affine", "affine": [[*row, 3] for row in TURN]},
    {"type": "affine", "path": "scale0/image"},
    {"type": "rotation", "rotation": TURN},
    {"type": "mapAxis", "mapAxis": [0, 3, 2, 1]},
    {"type": "projectAxis", "droppedInputs": [0], "createdOutputs": [3]},
    {"type": "sequence", "transformations": [{"type": "scale", "scale": [1, 2, 2, 2]}, {"type": "identity"}]},
    {
        "type": "byDimension",
        "transformations": [
            {"transformation": {"type": "scale", "scale": [2]}, "inputAxes": [1], "outputAxes": [1]},
            {"transformation": {"type": "identity"}, "inputAxes": [0, 2, 3], "outputAxes": [0, 2, 3]},
        ],
    },
    {"type": "bijection", "forward": {"type": "identity"}, "inverse": {"type": "identity"}},
    {"type": "displacements", "path": "scale0/image", "interpolation": "cubic"},
    {"type": "coordinates", "path": "scale0/image"},
]


@pytest.mark.parametrize("transform", SOUND, ids=lambda transform: transform["type"])
def test_every_kind_of_transformation_may_lead_to_another_system(transform):
    root = sound_image("0.6")
    with edited(root) as ome:
        with_world(ome, **transform)
    assert broken(root) == []


def inner(**transform):
    return {"type": "sequence", "transformations": [{"type": "identity"}, transform]}


FAULTS = [
    (lambda o: multiscale(o).pop("coordinateSystems"), "field-present"),
    (lambda o: multiscale(o).update(coordinateSystems=[]), "systems-listed"),
    (lambda o: systems(o)[0].pop("name"), "field-present systems-unique"),
    (lambda o: systems(o)[0].pop("axes"), "field-present"),
    (lambda o: systems(o)[0].update(axes=[]), "axes-count dataset-dimensions omero-channels transformation-length"),
    (lambda o: systems(o)[0]["axes"][1].update(type="channel"), "axes-time-channel"),
    (lambda o: systems(o)[0]["axes"][1].update(unit="um"), "axes-unit-name"),
    (lambda o: systems(o)[0]["axes"][1].update(discrete="no"), "field-type"),
    (lambda o: systems(o)[0]["axes"][1].update(longName=5), "field-type"),
    (lambda o: systems(o)[0]["axes"][1].pop("name"), "field-present"),
    (lambda o: systems(o)[0].update(name="other"), "system-known systems-connected"),
    (lambda o: systems(o).append(deepcopy(WORLD)), "systems-connected"),
    (lambda o: (with_world(o, type="identity"), systems(o)[1].update(name="physical")), "system-known systems-unique"),
    (lambda o: (with_world(o, type="identity"), systems(o)[1]["axes"].pop()), "transformation-length"),
    (lambda o: (with_world(o, type="identity"), systems(o)[1]["axes"][2].update(name="z")), "axes-unique"),
    (lambda o: multiscale(o).update(coordinateTransformations=[]), "transformations-listed"),
    (lambda o: only(o).pop("input"), "field-present"),
    (lambda o: only(o).update(input="scale1/image"), "field-type"),
    (lambda o: only(o)["input"].update(path="scale0/image"), "transformation-ends"),
    (lambda o: only(o).update(output={"path": "physical"}), "field-present"),
    (lambda o: (with_world(o, type="identity"), only(o)["output"].update(name="world")), "transformation-ends"),
    (lambda o: transformations(o).append({"type": "identity"}), "transformations-form"),
    (lambda o: only(o).update(type="affine"), "transformations-form"),
    (lambda o: only(o)["transformations"].reverse(), "transformations-form"),
    (lambda o: only(o)["transformations"].pop(), "transformations-form"),
    (lambda o: only(o)["transformations"][0]["scale"].pop(), "transformation-length"),
    (lambda o: only(o)["transformations"][0]["scale"].__setitem__(1, 0), "scale-positive"),
    (lambda o: only(o)["transformations"][0]["scale"].__setitem__(1, 3), "scale-matches-shape translation-centred"),
    (lambda o: only(o)["transformations"][1]["translation"].__setitem__(3, 0), "translation-aligned"),
    (lambda o: only(o)["transformations"][1]["translation"].__setitem__(3, float("inf")), "translation-finite"),
    (lambda o: with_world(o, type="identity", input="physical"), "field-type systems-connected"),
    (lambda o: with_world(o, type="identity", output={"name": "moon"}), "system-known systems-connected"),
    (lambda o: with_world(o), "field-present"),
    (lambda o: with_world(o, type="shear"), "transformation-kind"),
    (lambda o: with_world(o, type="scale", path="scale0/image"), "field-present"),
    (lambda o: with_world(o, type="scale", scale=[1, 2, 2]), "transformation-length"),
    (lambda o: with_world(o, type="scale", scale=[1, 2, 2, -2]), "transformation-parameters"),
    (lambda o: with_world(o, type="affine"), "transformation-parameters"),
    (lambda o: with_world(o, type="affine", affine=TURN), "transformation-length"),
    (lambda o: with_world(o, type="affine", affine=[[1, 2], [3]]), "transformation-parameters"),
    (lambda o: with_world(o, type="affine", path="nowhere"), "transformation-array"),
    (lambda o: with_world(o, type="rotation", rotation=[[1, 0]]), "transformation-length transformation-parameters"),
    (lambda o: with_world(o, type="mapAxis", mapAxis=[0, 1, 2, 4]), "transformation-parameters"),
    (lambda o: with_world(o, type="mapAxis", mapAxis=[0, 1, 2]), "transformation-length"),
    (lambda o: with_world(o, type="projectAxis"), "transformation-parameters"),
    (lambda o: with_world(o, type="projectAxis", createdOutputs=[1, 1]), "transformation-parameters"),
    (lambda o: with_world(o, type="bijection", forward={"type": "identity"}), "field-present"),
    (lambda o: with_world(o, **inner(type="rotation", rotation=[5])), "transformation-parameters"),
    (lambda o: with_world(o, type="coordinates", path=LEVEL, interpolation="best"), "transformation-parameters"),
    (
        lambda o: with_world(o, type="byDimension", transformations=[{"transformation": {"type": "identity"}}]),
        "transformation-parameters",
    ),
    (
        lambda o: with_world(o, type="rotation", rotation=TURN, output={"path": "labels/cells", "name": "physical"}),
        "systems-connected transformation-kind",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "rules"), FAULTS)
def test_each_fault_is_found_and_nothing_else(change, rules):
    root = sound_image("0.6")
    with edited(root) as ome:
        change(ome)
    assert set(broken(root)) - {"label-shape", "dimension-names", "axes-zyx", "axes-unit"} == set(rules.split())


def test_every_rule_of_systems_has_a_fault():
    found = {rule for _, rules in FAULTS for rule in rules.split()}
    assert found >= SYSTEM_RULES


def test_a_scene_has_transformations_between_systems_of_images_and_its_own():
    identity = {"type": "identity", "input": {"path": "a", "name": "physical"}, "output": {"name": "world"}}
    scene = {"coordinateSystems": [WORLD], "coordinateTransformations": [identity]}
    root = zarr.create_group(MemoryStore(), attributes={"ome": {"version": "0.6", "scene": scene}})
    assert broken(root) == []
    for change, rule in (
        (lambda s: s.pop("coordinateTransformations"), "field-present"),
        (lambda s: s.update(coordinateTransformations=[]), "transformations-listed"),
        (lambda s: s["coordinateTransformations"][0].update(output={"name": "moon"}), "system-known"),
        (lambda s: s["coordinateTransformations"][0].update(output="world"), "field-type"),
    ):
        changed = deepcopy(scene)
        change(changed)
        root.attrs.put({"ome": {"version": "0.6", "scene": changed}})
        assert broken(root) == [rule]


def test_transformations_inside_each_other_without_end_are_refused():
    root = sound_image("0.6")
    deep = {"type": "identity"}
    for _ in range(30):
        deep = {"type": "sequence", "transformations": [deep]}
    with edited(root) as ome:
        with_world(ome, **deep)
    assert broken(root) == ["transformation-kind"]


def test_labels_of_0_6_need_no_version_of_their_own_but_colors():
    root = sound_image("0.6")
    with edited(root, LABEL) as ome:
        del ome["image-label"]["colors"]
    assert broken(root) == ["image-label"]
