"""Verified pyramids whose attributes do not say all: of other tools, and of functions."""

import pytest
import zarr

import msi_lazy as msi
from tests.support.damage import found, largest, samples, write
from tests.support.killing import contents


def foreign(store, factor=2, dtypes=("u2", "u2"), zarr_format=3):
    """An image of another tool, which says nothing of its method; its spacings are ratios of the shapes."""
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    array = samples((61, 80), dtypes[0])
    coarse = array[:60].reshape(30, 2, 40, 2).max((1, 3)).astype(dtypes[1])
    for path, level in (("0", array), ("1", coarse)):
        group.create_array(path, data=level, chunks=(16, 16), compressors=None)
    datasets = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for path, scale in (("0", [1, 1]), ("1", [61 / 30 * factor / 2, 2]))
    ]
    multiscales = [{"axes": [{"name": name, "type": "space"} for name in "yx"], "datasets": datasets}]
    group.attrs.update({"multiscales": multiscales} if zarr_format == 2 else {"ome": {"multiscales": multiscales}})
    return group


def test_an_image_of_another_tool_needs_the_method(tmp_path):
    foreign(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="attributes name no method: pass method="):
        msi.verify(tmp_path / "a.zarr")
    assert msi.verify(tmp_path / "a.zarr", method="max").ok
    assert not msi.verify(tmp_path / "a.zarr", method="min").ok
    foreign(tmp_path / "b.zarr", factor=3)
    with pytest.warns(UserWarning, match=r"\(3\.05, 2\) by its scale, \(2, 2\) by its shape"):
        assert msi.verify(tmp_path / "b.zarr", method="max").ok
    group = foreign(tmp_path / "c.zarr", factor=60 / 41)
    group.create_array("1", data=samples((41, 40), "u2"), overwrite=True)
    with pytest.raises(ValueError, match="cannot be recomputed"):
        msi.verify(tmp_path / "c.zarr", method="max")


@pytest.mark.parametrize("dtypes", [(">u2", ">u2"), (">f8", ">f8"), (">i4", "<i4"), ("<i4", ">i4")])
def test_any_byte_order(dtypes, tmp_path):
    group = foreign(tmp_path / "a.zarr", dtypes=dtypes, zarr_format=2)
    assert tuple(group[path].dtype for path in "01") == dtypes
    sound = contents(tmp_path / "a.zarr")
    group["1"][20, 20] = 3
    assert found(msi.verify(tmp_path / "a.zarr", method="max")) == [("1", (1, 1), "differs")]
    assert msi.verify(tmp_path / "a.zarr", method="max", repair=True).ok
    assert contents(tmp_path / "a.zarr") == sound
    group["0"][40, 40] = 60001
    msi.update(tmp_path / "a.zarr", (40, 40), method="max")
    assert group["1"][20, 20] == 60001
    assert msi.verify(tmp_path / "a.zarr", method="max").ok


def test_levels_of_different_dtypes_are_refused(tmp_path):
    foreign(tmp_path / "a.zarr", dtypes=("u2", "u4"))
    with pytest.raises(ValueError, match="level '1' has dtype uint32, and the first level uint16"):
        msi.verify(tmp_path / "a.zarr", method="max")


def test_factors_that_contradict_the_shapes_are_not_believed(tmp_path):
    write(tmp_path / "a.zarr", factors=[2, 3])
    group = zarr.open_group(tmp_path / "a.zarr", use_consolidated=False)
    ome = group.attrs["ome"]
    ome["multiscales"][0]["metadata"]["kwargs"]["scale_factors"] = [{"y": 4, "x": 2}, {"y": 3, "x": 3}]
    group.attrs["ome"] = ome
    assert msi.verify(tmp_path / "a.zarr").ok


def test_a_function_is_given_as_method(tmp_path):
    write(tmp_path / "a.zarr", samples((64, 80)), method=largest)
    with pytest.raises(ValueError, match="not one of msi_lazy's: pass method="):
        msi.verify(tmp_path / "a.zarr")
    assert msi.verify(tmp_path / "a.zarr", method=largest).ok
