"""Lists of any length in metadata: bounded time, and a message that says how many are read."""

import json
import time

import pytest

import msi_lazy as msi
from tests.support.damage import write

MANY = 100_000


def change(path, edit):
    document = json.loads(path.read_text())
    document.pop("consolidated_metadata", None)
    edit(document["attributes"]["ome"])
    path.write_text(json.dumps(document))


def many_levels(ome):
    multiscale = ome["multiscales"][0]
    multiscale["datasets"] = [{**multiscale["datasets"][0], "path": f"level{n}"} for n in range(MANY)]


def many_labels(ome):
    ome["labels"] = [f"label{number}" for number in range(MANY)]


@pytest.mark.timeout(120)
def test_an_image_of_too_many_levels_is_refused(tmp_path):
    change(write(tmp_path / "a.zarr") / "zarr.json", many_levels)
    start = time.monotonic()
    for work in (msi.open_multiscale, msi.verify):
        with pytest.raises(ValueError, match="list 100,000 datasets, and at most 100 are read"):
            work(tmp_path / "a.zarr")
    report = str(msi.validate(tmp_path / "a.zarr"))
    assert "has 100,000 elements" in report
    assert time.monotonic() - start < 60


@pytest.mark.timeout(120)
def test_too_many_labels_are_refused(tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image([[1, 2], [3, 4]]), [2], method="mode")
    tree.pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": tree})
    change(tmp_path / "a.zarr/labels/zarr.json", many_labels)
    assert len(msi.open_multiscale(tmp_path / "a.zarr").children) == 2
    with pytest.raises(ValueError, match="list 100,000 labels, and at most 2,000 are read"):
        msi.verify(tmp_path / "a.zarr")
    assert "has 100,000 elements" in str(msi.validate(tmp_path / "a.zarr"))


def test_labels_of_many_objects_with_colors_are_valid(tmp_path):
    objects = range(1, 20_500)
    tree = msi.to_multiscale(msi.to_spatial_image([[1, 2], [3, 4]]), [2], method="mode")
    tree.pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": tree})
    path = tmp_path / "a.zarr/labels/cells/zarr.json"
    change(path, lambda ome: ome["image-label"].update(properties=[{"label-value": number} for number in objects]))
    assert not msi.validate(tmp_path / "a.zarr").errors


@pytest.mark.timeout(60)
def test_millions_of_chunks_of_a_few_bytes_are_not_read(tmp_path):
    store = write(tmp_path / "a.zarr", factors=[2])
    for level, side in ((0, 4096), (1, 2048)):
        path = store / f"scale{level}/image/zarr.json"
        document = json.loads(path.read_text())
        document["shape"] = [side, side]
        document["chunk_grid"]["configuration"]["chunk_shape"] = [1, 1]
        path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"'scale0/image' is cut into 16,777,216 chunks of 2 bytes.* sample=0.03"):
        msi.verify(store)
