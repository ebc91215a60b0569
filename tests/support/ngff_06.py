"""Judges of OME-Zarr 0.6: the specification's own JSON schemas, where they are, and ome-zarr-models' classes."""

import json
import sys
from functools import cache
from pathlib import Path

import pytest
import zarr

from tests.support.optional import require

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "ngff-0.6"
"""Schemas and cases of the specification, which are no part of the project."""


@cache
def schema(name):
    """A validator of attributes by the specification's schema; the test is skipped where there is none."""
    if not FOLDER.is_dir():
        pytest.skip(f"the specification's schemas are not here: {FOLDER}")
    registry = require("referencing").Registry()
    resources = require("referencing.jsonschema")
    for path in (FOLDER / "schemas").glob("*.schema"):
        contents = json.loads(path.read_text())
        registry = registry.with_resource(contents["$id"], resources.DRAFT202012.create_resource(contents))
    wanted = json.loads((FOLDER / "schemas" / f"{name}.schema").read_text())
    return require("jsonschema").Draft202012Validator(wanted, registry=registry)


def schema_faults(name, attributes):
    """Faults of attributes by a schema, which knows the version of a release candidate only."""
    candidate = {**attributes, "ome": {**attributes["ome"], "version": "0.6rc0"}}
    return [f"{error.json_path}: {error.message}" for error in schema(name).iter_errors(candidate)]


SCHEMAS = {
    "multiscales": "image",
    "image-label": "label",
    "series": "ome",
    "bioformats2raw.layout": "bf2raw",
    "plate": "plate",
    "well": "well",
    "scene": "scene",
}
"""Schemas of what a group is, by the member that shows it."""
STRICT = {**SCHEMAS, "multiscales": "strict_image", "plate": "strict_plate", "well": "strict_well"}
"""The same, with what a writer should do besides."""


def hierarchy_faults(store, schemas=STRICT):
    """Faults of all groups of a hierarchy by the schemas, by path."""
    root = zarr.open_group(store, mode="r")
    nodes = {"": root, **dict(root.members(max_depth=None))}
    attributes = {path: node.attrs.asdict() for path, node in nodes.items() if isinstance(node, zarr.Group)}
    found = {
        (path, name): schema_faults(name, here)
        for path, here in attributes.items()
        for member, name in schemas.items()
        if member in here.get("ome", {})
    }
    assert found
    return {where: faults for where, faults in found.items() if faults}


def accept(store, paths=("",), labels=()):
    """Have ome-zarr-models' classes read images and labels, which raises errors for what they do not accept."""
    if sys.version_info < (3, 12):
        return  # its releases with 0.6 need Python 3.12
    models, image_label = require("ome_zarr_models.v06"), require("ome_zarr_models.v06.image_label")
    root = zarr.open_group(store, mode="r")
    for path in paths:
        group = root[path] if path else root
        if "labels" not in group:  # its class for lists of labels does not know nested paths of arrays
            assert models.Image.from_zarr(group).ome_attributes.version == "0.6"
    for path in labels:
        assert image_label.ImageLabel.from_zarr(root[path]).ome_attributes.version == "0.6"
