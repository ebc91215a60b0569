"""OME-Zarr 0.1, 0.2 and 0.3: read, with a note, and neither written nor changed."""

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import LocalStore

import msi_lazy as msi
from msi_lazy.cli import main
from tests.support.old_images import OLD_VERSIONS, old_image, samples
from tests.support.stored_images import broken, edited, multiscale

of_each = pytest.mark.parametrize("version", OLD_VERSIONS)


def contents(store):
    return {key: buffer.to_bytes() for key, buffer in store._store_dict.items()}


@pytest.mark.parametrize("ndim", [5, 4, 3, 2])
@pytest.mark.parametrize("stated", [True, False])
@of_each
def test_axes_are_by_order_or_by_name_and_the_spacing_by_the_shapes(version, ndim, stated):
    root = old_image(version, ndim, stated=stated)
    with pytest.warns(UserWarning, match="states no spacing.*msi_lazy.upgrade") as warned:
        tree = msi.open_multiscale(root.store)
    image = tree["scale0"].img
    assert image.dims == tuple("tczyx"[-ndim:])
    np.testing.assert_array_equal(image, samples(ndim))
    np.testing.assert_array_equal(tree["scale1"].x, np.arange(10) * 2 + 0.5)
    if ndim > 3:
        assert list(image.c.values) == ["c0", "c1", "c2"]
    text = str(warned[0].message)
    assert (version if stated or version == "0.3" else "0.1") in text
    assert ("its arrays have" in text) == (version != "0.3" and ndim < 5)


@of_each
def test_they_are_shown_and_converted(version, tmp_path):
    old_image(version, store=LocalStore(tmp_path / "a.zarr"))
    with pytest.warns(UserWarning, match="states no spacing"):
        labels = msi.open_multiscale(tmp_path / "a.zarr", group="labels/cells")
    assert labels["scale1"].img.dtype == "u4"
    with pytest.warns(UserWarning, match="states no spacing"):
        shown = CliRunner().invoke(main, ["info", str(tmp_path / "a.zarr")])
    with pytest.warns(UserWarning, match="states no spacing"):
        done = CliRunner().invoke(main, ["convert", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")])
    assert "c0, c1, c2" in shown.output
    assert done.exit_code == 0
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "b.zarr")["scale0"].img, samples())


@pytest.mark.parametrize(
    "change",
    [
        lambda store, tree: msi.add_levels(store, [2]),
        lambda store, tree: msi.write_labels(store, "more", tree),
        lambda store, tree: msi.view(store, open_browser=False),
    ],
)
@pytest.mark.filterwarnings("ignore:the image memory")
@of_each
def test_what_needs_a_newer_version_is_refused_and_names_the_way(version, change):
    root = old_image(version)
    before = contents(root.store)
    tree = msi.to_multiscale(msi.to_spatial_image(samples(3, "u4")), [{"y": 2, "x": 2}], method="nearest")
    with pytest.raises(msi.UnsupportedImageError, match=rf"OME-Zarr {version}, .* by msi_lazy\.upgrade\(store, "):
        change(root.store, tree)
    assert contents(root.store) == before


@of_each
def test_they_are_not_written(version):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((8, 8), "u1")), [2])
    with pytest.raises(ValueError, match=rf"version must be one of '0\.4', '0\.5'.* not '{version}'"):
        msi.to_zarr(tree, {}, version=version)


@pytest.mark.filterwarnings("ignore:the image memory")
@of_each
def test_levels_are_verified_by_a_method_that_is_given(version):
    root = old_image(version)
    assert msi.verify(root.store, method="nearest", labels=False).ok
    root["1"][0, 0, 0, 0, 0] += 1
    report = msi.verify(root.store, method="nearest", labels=False)
    assert [finding.path for finding in report.findings] == ["1"]


@of_each
def test_a_sound_image_is_valid(version):
    root = old_image(version)
    report = msi.validate(root.store, decode="all")
    assert report.findings == ()
    assert report.versions == (version,)


@of_each
def test_separators_and_numbers_of_dimensions(version):
    """0.1 has chunks in one folder; from 0.2 on they are nested.  Before 0.3 images have five dimensions."""
    assert broken(old_image(version, separator=".")) == ([] if version == "0.1" else ["chunk-separator"])
    assert broken(old_image(version, 3)) == ([] if version == "0.3" else ["dataset-dimensions"])


@of_each
def test_an_array_of_other_dimensions_than_the_axes_is_refused(version):
    root = zarr.create_group({}, zarr_format=2)
    root.create_array("0", shape=(1,) * 6 if version != "0.3" else (4, 4), dtype="u1")
    named = {"axes": list("zyx")} if version == "0.3" else {}
    root.attrs.put({"multiscales": [{"version": version, "datasets": [{"path": "0"}], **named}]})
    with pytest.raises(ValueError, match=r"level '0' has . dimensions, but"):
        msi.open_multiscale(root.store)


FAULTS = [
    (OLD_VERSIONS, lambda ome: multiscale(ome).pop("datasets"), "field-present"),
    (OLD_VERSIONS, lambda ome: ome["omero"]["channels"].pop(), "omero-channels"),
    (OLD_VERSIONS, lambda ome: multiscale(ome).update(version="0.4"), "version-consistent"),
    (OLD_VERSIONS, lambda ome: multiscale(ome).update(version="0.9"), "version-known"),
    (("0.3",), lambda ome: multiscale(ome).update(axes=list("tczxy")), "axes-names"),
    (("0.3",), lambda ome: multiscale(ome).update(axes=list("tcqyx")), "axes-names"),
    (("0.3",), lambda ome: multiscale(ome).update(axes=list("zyx")), "dataset-dimensions"),
    (("0.3",), lambda ome: multiscale(ome).pop("axes"), "field-present"),
    (("0.3",), lambda ome: multiscale(ome).update(axes=[{"name": "x"}]), "field-type"),
]


@pytest.mark.parametrize(
    ("version", "change", "rule"), [(version, *fault) for versions, *fault in FAULTS for version in versions]
)
def test_each_fault_is_found(version, change, rule):
    root = old_image(version)
    with edited(root) as ome:
        change(ome)
    assert rule in broken(root)
