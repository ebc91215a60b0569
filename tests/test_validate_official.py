"""validate: the specification's own cases of OME-Zarr 0.6, where they are at hand."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import zarr
from zarr.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from msi_lazy.validation import validate

FOLDER = Path(__file__).parents[2] / "shared/ngff-0.6/tests"
CASES = sorted(FOLDER.rglob("*.json"))
NO_ARRAYS = {"dataset-opens", "transformation-array", "collection-images", "label-multiscales"}
"""Rules that every case breaks: they are documents of metadata, without arrays, and blocks without the others."""
CONTRADICTORY = {
    "attributes/spec/valid/image/mismatch_axes_units.json": "transformation-length",  # a scale of two for three axes
    "attributes/strict/valid/image/image_omero.json": "omero-window-order system-known systems-connected",  # not listed
    "attributes/strict/valid/image/multiscales_example.json": "transformation-ends",  # the path 's1' of dataset '1'
    "zarr/spec/valid/image/mismatch_axes_units.ome.zarr": "transformation-length",
    "zarr/strict/valid/image/image_omero.ome.zarr": "omero-window-order system-known systems-connected",
    "attributes/strict/valid/plate/strict_acquisitions.json": "well-place",  # 'A/1' of the row '1' and the column 'A'
    "attributes/strict/valid/plate/strict_no_acquisitions.json": "well-place",
    "zarr/strict/valid/plate/strict_acquisitions.ome.zarr": "well-place",
    "zarr/strict/valid/plate/strict_no_acquisitions.ome.zarr": "well-place",
}
"""Cases that fit their schemas, and break a sentence of the text; with the rules that say so."""

pytestmark = pytest.mark.skipif(not CASES, reason=f"the specification's cases are not at {FOLDER}")


def named(path):
    """Name of a case: that of its file, or of its hierarchy."""
    found = path.parent if path.name == "zarr.json" else path
    return found.relative_to(FOLDER).as_posix()


def with_objects(value, key=None):
    """The ends of transformations as objects.

    The hierarchies have them as strings, as earlier drafts did, which is invalid by
    ``attributes/spec/invalid/image/invalid_multiscale_transform_input_output.json``.
    """
    if isinstance(value, dict):
        in_dataset = isinstance(value.get("path"), str) and "coordinateTransformations" in value
        found = {name: with_objects(one, name) for name, one in value.items()}
        if in_dataset:
            for transform in found["coordinateTransformations"]:
                start = transform.get("input") if isinstance(transform, dict) else None
                if isinstance(start, dict) and "name" in start:
                    transform["input"] = {"path": start["name"]}
        return found
    if isinstance(value, list):
        return [with_objects(one) for one in value]
    return {"name": value} if key in ("input", "output") and isinstance(value, str) else value


def stored(path):
    store = MemoryStore()
    if path.name != "zarr.json":
        zarr.create_group(store, zarr_format=3, attributes=json.loads(path.read_text()))
        return store
    content = path.read_bytes()
    with suppress(ValueError):  # one of the invalid cases is no JSON
        content = json.dumps(with_objects(json.loads(content))).encode()
    store._store_dict["zarr.json"] = default_buffer_prototype().buffer.from_bytes(content)
    return store


@pytest.mark.parametrize("path", CASES, ids=named)
def test_an_official_case(path):
    report = validate(stored(path), decode="none")
    name = named(path)
    looked_at = report.errors if "/spec/" in f"/{name}" else report.findings
    found = {finding.rule for finding in looked_at} - NO_ARRAYS - {"axes-unit"}
    if "/invalid/" in name:
        assert found
    else:
        assert found == set(CONTRADICTORY.get(name, "").split())
