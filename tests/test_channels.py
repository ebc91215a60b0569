"""The omero block: names, colours and windows of the channels."""

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.write.finish import measure_windows


def make_tree(names=("DAPI", "GFP", "RFP"), shape=(64, 80), dtype="u2", **options):
    array = np.random.default_rng(0).integers(100, 200, (len(names), *shape)).astype(dtype)
    array += (np.arange(len(names))[:, None, None] * 1000).astype(dtype)
    image = msi.to_spatial_image(array, dims="cyx", c_coords=list(names) if names else None)
    return msi.to_multiscale(image, [2, 2], chunks=16, block_bytes=2**14, **options)


def omero_of(store, version="0.5"):
    attributes = zarr.open_group(store, mode="r").attrs
    return (attributes["ome"] if version == "0.5" else attributes)["omero"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_are_named_after_their_coordinates(version, tmp_path):
    make_tree().pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    channels = omero_of(tmp_path / "a.zarr", version)["channels"]
    assert [channel["label"] for channel in channels] == ["DAPI", "GFP", "RFP"]
    assert [channel["color"] for channel in channels] == ["00FF00", "FF00FF", "00FFFF"]
    assert {tuple(channel["window"].values()) for channel in channels} == {(0, 65535, 0, 65535)}
    assert all(channel["active"] for channel in channels)


def test_colours_of_one_channel_of_three_and_of_many():
    for names, colors in ((["a"], ["FFFFFF"]), (["r", "g", "b"], ["FF0000", "00FF00", "0000FF"])):
        make_tree(names).pyramid.to_zarr(store := MemoryStore())
        assert [channel["color"] for channel in omero_of(store)["channels"]] == colors
    make_tree([str(n) for n in range(9)], shape=(16, 16)).pyramid.to_zarr(store := MemoryStore())
    assert [channel["active"] for channel in omero_of(store)["channels"]] == [True] * 4 + [False] * 5


def test_numbered_channels_and_dtypes():
    image = msi.to_spatial_image(np.zeros((2, 16, 16), "f4"), dims="cyx")
    msi.to_multiscale(image, [2]).pyramid.to_zarr(store := MemoryStore())
    channels = omero_of(store)["channels"]
    assert [channel["label"] for channel in channels] == ["0", "1"]
    assert channels[0]["window"] == {"min": 0, "max": 1, "start": 0, "end": 1}


def test_an_image_without_channels_has_none_unless_it_is_given_a_colour():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((16, 16), "u1")), [2])
    tree.pyramid.to_zarr(store := MemoryStore())
    assert "omero" not in zarr.open_group(store).attrs["ome"]
    tree.pyramid.to_zarr(store := MemoryStore(), colors=["#ff8000"])
    assert omero_of(store)["channels"][0]["color"] == "FF8000"


def test_colours_and_windows_by_name_or_in_order():
    make_tree().pyramid.to_zarr(store := MemoryStore(), colors={"GFP": "#abcdef"}, windows={"RFP": (5, 70000)})
    channels = omero_of(store)["channels"]
    assert [channel["color"] for channel in channels] == ["00FF00", "ABCDEF", "00FFFF"]
    assert channels[2]["window"] == {"min": 0, "max": 70000.0, "start": 5.0, "end": 70000.0}
    make_tree().pyramid.to_zarr(store := MemoryStore(), windows=[(0, 1), (2, 3), (4, 5)])
    assert [channel["window"]["start"] for channel in omero_of(store)["channels"]] == [0, 2, 4]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"colors": {"YFP": "FFFFFF"}},
            ValueError,
            "colors name the channel 'YFP'; the image has 'DAPI', 'GFP', 'RFP'",
        ),
        ({"colors": ["FFFFFF"]}, ValueError, "colors has 1 entries, and the image 3 channels"),
        ({"colors": "FFFFFF"}, TypeError, "colors are a sequence"),
        ({"colors": ["red", "green", "blue"]}, ValueError, "six hex digits such as '00FF00', not 'red'"),
        ({"windows": {"GFP": (3, 1)}}, ValueError, r"start < end, not \(3, 1\)"),
        ({"windows": {"GFP": (0, np.nan)}}, ValueError, "two numbers"),
        ({"windows": {"GFP": 7}}, ValueError, "two numbers"),
        ({"windows": "automatic"}, ValueError, "windows must be 'auto'"),
    ],
)
def test_bad_colours_and_windows_are_refused_before_anything_is_created(options, error, words, tmp_path):
    with pytest.raises(error, match=words):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", **options)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_measured_windows_are_quantiles_of_the_coarsest_level_in_the_same_computation(version, tmp_path):
    tree = make_tree()
    delayed = tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version, windows="auto", compute=False)
    delayed.compute()
    coarsest = tree["scale2"].image.values
    for samples, channel in zip(coarsest, omero_of(tmp_path / "a.zarr", version)["channels"], strict=True):
        low, high = np.quantile(samples, [0.001, 0.999], method="nearest")
        assert channel["window"] == {"min": 0, "max": 65535, "start": low, "end": high}


def test_measured_windows_of_constants_of_nan_and_of_many_chunks():
    array = np.zeros((3, 64, 64), "f4")
    array[1] = np.nan
    array[2] = np.arange(64 * 64).reshape(64, 64)
    stored = zarr.create_array(MemoryStore(), data=array, chunks=(1, 4, 4))
    flat, nothing, ramp = measure_windows(stored, 0, ["FFFFFF", "00FF00", "FF00FF"])
    assert (flat, nothing) == ((0, 1), (0, 1))
    assert ramp[0] < 100
    assert ramp[1] > 3900


def test_red_green_and_blue_are_measured_together():
    """Else a blue picture would turn gray: the stored tree looks as the one that was written."""
    planes = np.arange(64, dtype="u2").reshape(1, 8, 8) + np.array([100, 1000, 5000], "u2")[:, None, None]
    tree = msi.to_multiscale(msi.to_spatial_image(planes, dims="cyx", c_coords=["r", "g", "b"]), [2])
    tree.pyramid.to_zarr(store := MemoryStore(), windows="auto")
    assert len({(one["window"]["start"], one["window"]["end"]) for one in omero_of(store)["channels"]}) == 1
    blue = msi.open_multiscale(store).pyramid.thumbnail()[..., 2].astype(int)
    assert (blue > 2 * msi.open_multiscale(store).pyramid.thumbnail()[..., :2].max(axis=2)).all()


@pytest.mark.parametrize(
    "channel", [{"label": None}, {"label": 5}, {"window": {"min": 0, "max": 2**64, "end": 10**400}}]
)
def test_what_is_no_label_or_no_number_is_repaired(channel):
    make_tree().pyramid.to_zarr(store := MemoryStore())
    group = zarr.open_group(store)
    ome = group.attrs["ome"]
    for one in ome["omero"]["channels"]:
        one.update(channel)
        if one["label"] is None:
            del one["label"]
    group.attrs["ome"] = ome
    back = msi.open_multiscale(store)
    names = msi.napari_layer(back)[1]["name"]
    assert len(names) == len(set(names)) == 3
    assert back.pyramid.thumbnail().shape == (64, 80, 3)
    with msi.view(store, open_browser=False) as viewer:
        assert len(viewer.state["layers"]) == 3


def test_what_another_tool_said_of_the_channels_is_kept_also_after_edits():
    make_tree().pyramid.to_zarr(store := MemoryStore(), colors={"GFP": "123456"}, windows={"GFP": (3, 9)})
    group = zarr.open_group(store)
    ome = group.attrs["ome"]
    ome["omero"] |= {"id": 1, "rdefs": {"model": "color"}}
    ome["omero"]["channels"][1]["family"] = "linear"
    group.attrs["ome"] = ome
    back = msi.open_multiscale(store)
    back.pyramid.to_zarr(again := MemoryStore())
    assert omero_of(again) == ome["omero"]
    back.isel(c=[2, 1]).pyramid.to_zarr(edited := MemoryStore())
    assert omero_of(edited)["channels"] == [ome["omero"]["channels"][2], ome["omero"]["channels"][1]]
    assert back.isel(c=[1]).pyramid.refresh().attrs["ome"]["omero"]["channels"][0]["family"] == "linear"


def test_the_tree_carries_the_block_for_xarrays_own_writer():
    lazy = msi.to_spatial_image(da.zeros((2, 32, 32), dtype="u1"), dims="cyx", c_coords=["a", "b"])
    tree = msi.to_multiscale(lazy, [2])
    assert [channel["label"] for channel in tree.attrs["ome"]["omero"]["channels"]] == ["a", "b"]


@pytest.mark.parametrize(
    "broken",
    [
        {"color": "#123456"},
        {"color": 255},
        {"color": None},
        {"window": None},
        {"window": {"start": 3, "end": 9}},
        {"window": {"min": "a", "max": 9, "start": 3, "end": 9}},
    ],
)
def test_what_breaks_the_specification_is_repaired_and_the_image_opens(broken):
    make_tree().pyramid.to_zarr(store := MemoryStore())
    group = zarr.open_group(store)
    ome = group.attrs["ome"]
    ome["omero"]["channels"][1] |= broken
    group.attrs["ome"] = ome
    msi.open_multiscale(store).pyramid.to_zarr(again := MemoryStore())
    channel = omero_of(again)["channels"][1]
    assert channel["color"] == ("123456" if broken.get("color") == "#123456" else "FF00FF")
    assert set(channel["window"]) == {"min", "max", "start", "end"}
    assert msi.validate(again).ok


def test_channels_of_one_name_are_told_apart_by_their_place():
    tree = make_tree(["A", "A"])
    tree.pyramid.to_zarr(store := MemoryStore(), colors=["FF0000", "00FF00"], windows=[(0, 5), (7, 9)])
    channels = omero_of(store)["channels"]
    assert [channel["color"] for channel in channels] == ["FF0000", "00FF00"]
    assert [channel["window"]["start"] for channel in channels] == [0, 7]
    msi.open_multiscale(store).pyramid.to_zarr(again := MemoryStore())
    assert omero_of(again) == omero_of(store)


def test_a_single_channel_taken_out_of_the_image_keeps_its_settings():
    make_tree().pyramid.to_zarr(store := MemoryStore(), colors={"GFP": "123456"})
    msi.open_multiscale(store).isel(c=1).pyramid.to_zarr(again := MemoryStore())
    (channel,) = omero_of(again)["channels"]
    assert (channel["label"], channel["color"]) == ("GFP", "123456")


def test_windows_are_not_measured_where_there_are_no_channels(tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((16, 16), "u1")), [2])
    with pytest.raises(ValueError, match="needs a channel dimension"):
        tree.pyramid.to_zarr(tmp_path / "a.zarr", windows="auto")
