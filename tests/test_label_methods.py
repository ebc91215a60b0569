"""Pyramids of labels that hold invented labels, one sample for many, and labels that an overwrite would delete."""

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.methods.table import invents_values, method_names
from tests.support.optional import validate_elsewhere

FACTORS = [2, 2]


def make(dims="yx", shape=(64, 80), method="mode", factors=FACTORS, **options):
    samples = (np.indices(shape).sum(0) // 9 * 500).astype("u4")
    return msi.to_multiscale(msi.to_spatial_image(samples, dims=dims, **options), factors, method=method)


@pytest.fixture
def stored(tmp_path):
    make(method="mean").pyramid.to_zarr(tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


@pytest.mark.parametrize("method", method_names())
def test_labels_by_a_method_that_invents_labels_are_refused(method, stored, tmp_path):
    labels = make(method=method)
    if not invents_values(method):
        msi.write_labels(stored, "cells", labels)
        assert msi.validate(stored).ok
        return
    with pytest.raises(ValueError, match=method):
        msi.write_labels(stored, "cells", labels)
    with pytest.raises(ValueError, match=method):
        make().pyramid.to_zarr(tmp_path / "b.zarr", labels={"cells": labels})
    assert not (stored / "labels").exists()
    assert not (tmp_path / "b.zarr").exists()


def test_a_method_that_keeps_values_never_invents_any():
    samples = np.random.default_rng(0).choice([0, 1000], (64, 64)).astype("u4")
    for method in method_names():
        tree = msi.to_multiscale(msi.to_spatial_image(samples), [2, 3], method)
        found = {value for level in ("scale1", "scale2") for value in np.unique(tree[level].image).tolist()}
        assert (found <= {0, 1000}) == (not invents_values(method)), method


@pytest.mark.parametrize(
    ("dims", "shape", "factors", "advice"),
    [
        ("yx", (64, 80), [2, 4], "to_multiscale(labels, [2, 4], method='mode')"),
        ("zyx", (8, 64, 80), [{"y": 2, "x": 2}, 2], "to_multiscale(labels, [{'y': 2, 'x': 2}, 2], method='mode')"),
    ],
)
def test_the_advice_can_be_pasted(dims, shape, factors, advice, tmp_path):
    image, labels = (make(dims, shape, method="mean", factors=factors) for _ in range(2))
    with pytest.raises(ValueError, match="mean") as error:
        image.pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": labels})
    assert advice in str(error.value)
    scale0 = labels["scale0"].image
    built = eval(advice, {"to_multiscale": msi.to_multiscale, "labels": scale0})
    image.pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": built})
    assert msi.validate(tmp_path / "a.zarr").ok


def test_labels_that_are_opened_and_written_again_are_refused_too(stored, tmp_path):
    averaged = msi.open_multiscale(stored)
    make(method="mean").pyramid.to_zarr(tmp_path / "b.zarr")
    with pytest.raises(ValueError, match="'mean'"):
        msi.write_labels(tmp_path / "b.zarr", "cells", averaged)


def test_levels_that_were_edited_are_warned_of(stored):
    masks = (msi.open_multiscale(stored) > 700).map_over_datasets(lambda level: level.astype("u1"))
    with pytest.warns(UserWarning, match=r"tree\.attrs = \{\}"):
        msi.write_labels(stored, "cells", masks)
    masks.attrs = {}
    msi.write_labels(stored, "nuclei", masks)


def test_unknown_methods_and_single_levels_are_allowed(stored, tmp_path):
    def first(array, factors):
        return array[tuple(slice(None, None, factor) for factor in factors)]

    msi.write_labels(stored, "cells", make(method=first))
    make(factors=[]).pyramid.to_zarr(tmp_path / "b.zarr", labels={"cells": make(method="mean", factors=[])})
    foreign = make(method="mean")
    foreign.attrs = {}
    plain = foreign.map_over_datasets(lambda level: level.chunk(16).map_blocks(lambda block: block) if level else level)
    msi.write_labels(stored, "nuclei", plain)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_validate_tells_of_stored_labels_by_such_a_method(version, tmp_path):
    image = make(method="mean")
    image.pyramid.to_zarr(tmp_path / "a.zarr", version=version, labels={"cells": make()})
    assert not any(finding.rule == "label-method" for finding in msi.validate(tmp_path / "a.zarr").findings)
    group = zarr.open_group(tmp_path / "a.zarr/labels/cells", mode="r+")
    attributes = group.attrs.asdict()
    block = attributes["ome"] if version == "0.5" else attributes
    block["multiscales"][0]["type"] = "gaussian"
    group.attrs.put(attributes)
    report = msi.validate(tmp_path / "a.zarr")
    assert report.ok
    assert any(finding.rule == "label-method" for finding in report.findings)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        (("tczyx", (1, 2, 1, 64, 80)), ("yx", (64, 80))),
        (("tczyx", (1, 2, 1, 64, 80)), ("tczyx", (1, 1, 1, 64, 80))),
        (("tczyx", (3, 2, 8, 64, 80)), ("tczyx", (3, 1, 8, 64, 80))),
        (("tczyx", (3, 2, 8, 64, 80)), ("tczyx", (1, 1, 8, 64, 80))),
        (("tczyx", (3, 2, 8, 64, 80)), ("tczyx", (3, 1, 1, 64, 80))),
        (("zyx", (8, 64, 80)), ("tczyx", (1, 1, 8, 64, 80))),
        (("yx", (64, 80)), ("tczyx", (1, 1, 1, 64, 80))),
        (("cyx", (2, 64, 80)), ("zyx", (1, 64, 80))),
    ],
)
def test_one_sample_along_t_c_or_z_stands_for_all(image, labels, tmp_path):
    scale = {"z": 5.0, "y": 0.5, "x": 0.5}

    def build(dims, shape, method):
        spacing = {dim: scale[dim] for dim in dims if dim in scale and not (dim == "z" and shape[dims.index("z")] == 1)}
        return make(dims, shape, method, [{"y": 2, "x": 2}], scale=spacing)

    tree = build(*labels, "mode")
    build(*image, "mean").pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": tree})
    msi.write_labels(tmp_path / "a.zarr", "again", tree)
    assert msi.validate(tmp_path / "a.zarr").ok
    validate_elsewhere(tmp_path / "a.zarr")
    back = msi.open_multiscale(tmp_path / "a.zarr", group="labels/cells")
    np.testing.assert_array_equal(back["scale1"].image, tree["scale1"].image)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [("yx", (1, 80)), ("yx", (64, 1)), ("zyx", (2, 64, 80)), ("tyx", (2, 64, 80)), ("cyx", (3, 64, 80))],
)
def test_other_shapes_are_refused(dims, shape, tmp_path):
    image = make("tczyx", (1, 2, 1, 64, 80), "mean", [{"y": 1}])
    with pytest.raises(ValueError, match="labels 'cells'"):
        image.pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": make(dims, shape, factors=[{"y": 1}])})
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_are_deleted_with_their_image_only_when_asked(version, tmp_path):
    image, path = make(method="mean"), tmp_path / "a.zarr"
    image.pyramid.to_zarr(path, version=version, labels={"cells": make(), "nuclei": make()})
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for labels, lost in ((None, "'labels/cells', 'labels/nuclei'"), ({"nuclei": make()}, "the labels 'labels/cells',")):
        with pytest.raises(msi.StoreExistsError, match=lost) as error:
            image.pyramid.to_zarr(path, mode="w", version=version, labels=labels)
        assert "delete_labels=True" in str(error.value)
        assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    image.pyramid.to_zarr(path, mode="w", version=version, labels={"cells": make(), "nuclei": make(), "new": make()})
    image.pyramid.to_zarr(path, mode="w", version=version, delete_labels=True)
    assert not (path / "labels").exists()
    image.pyramid.to_zarr(path, mode="w", version=version)


def test_images_inside_and_unlisted_labels_count(tmp_path):
    path = tmp_path / "a.zarr"
    make(method="mean").pyramid.to_zarr(path, group="0/left", labels={"cells": make()})
    zarr.open_group(path / "0/left/labels", mode="r+").attrs.put({})
    with pytest.raises(msi.StoreExistsError, match="labels/cells'"):
        make(method="mean").pyramid.to_zarr(path, mode="w", group="0/left")
    make(method="mean").pyramid.to_zarr(path, mode="w", group="1")  # deletes nothing of the other
    for options in ({"group": "0"}, {}, {"delete_labels": True}):
        with pytest.raises(msi.StoreExistsError, match=r"holds the images '(0/)?left'.* as in group='0/left'"):
            make(method="mean").pyramid.to_zarr(path, mode="w", **options)
    assert (path / "0/left/labels/cells").exists()
    make(method="mean").pyramid.to_zarr(path, mode="w", group="0/left", delete_labels=True)
    assert not (path / "0/left/labels").exists()


def test_labels_in_a_store_without_paths_count_too():
    store = MemoryStore()
    make(method="mean").pyramid.to_zarr(store, labels={"cells": make()})
    with pytest.raises(msi.StoreExistsError, match="labels/cells"):
        make(method="mean").pyramid.to_zarr(store, mode="w", resume=True)
    with pytest.raises(TypeError, match="delete_labels"):
        make(method="mean").pyramid.to_zarr(store, mode="w", delete_labels="yes")


@pytest.mark.parametrize("options", [{"resume": True}, {"mode": "w"}, {"mode": "w", "resume": True}])
def test_labels_of_an_interrupted_write_are_its_own(options, tmp_path):
    image, path = make(method="mean"), tmp_path / "a.zarr"
    make(method="mean").pyramid.to_zarr(path, labels={"old": make()})
    image.pyramid.to_zarr(path, mode="w", delete_labels=True, labels={"cells": make()}, compute=False)
    if options == {"mode": "w"}:  # another write, and the old image is whole until then
        with pytest.raises(msi.StoreExistsError, match="labels/old"):
            image.pyramid.to_zarr(path, labels={"cells": make()}, **options)
        options = {**options, "delete_labels": True}
    image.pyramid.to_zarr(path, labels={"cells": make()}, **options)
    assert msi.validate(path).ok
    assert not (path / "labels/old").exists()


def test_the_command_line_deletes_labels_only_when_asked(tmp_path):
    path, source = str(tmp_path / "a.zarr"), tmp_path / "in.npy"
    np.save(source, np.zeros((64, 80), "u1"))
    make(method="mean").pyramid.to_zarr(path, labels={"cells": make()})
    convert = ["convert", str(source), path, "--overwrite"]
    refused = CliRunner().invoke(main, convert)
    assert refused.exit_code == 1
    assert "'labels/cells', which --overwrite would delete; pass --delete-labels" in refused.output
    assert CliRunner().invoke(main, [*convert, "--delete-labels"]).exit_code == 0
    assert not (tmp_path / "a.zarr/labels").exists()
