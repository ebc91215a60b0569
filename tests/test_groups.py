"""Groups that are no image: the error lists the images inside, as they can be given, and opens few groups for it."""

import re
import subprocess
import sys

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, StorePath

import msi_lazy as msi
from msi_lazy.storage.target import quietly
from tests.support.counting import CountingStore

VERSIONS = ("0.4", "0.5")
TREE = msi.to_multiscale(msi.to_spatial_image(np.zeros((16, 16), "u2")), [2])


def put(group, block, version="0.5"):
    group.attrs.update(block if version == "0.4" else {"ome": {"version": version, **block}})


def new_store(path, version="0.5"):
    return zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)


def plate(path, version="0.5", wells=("A/1", "A/2", "B/1"), fields=2):
    root = new_store(path, version)
    put(root, {"plate": {"wells": [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in wells]}}, version)
    for well in wells:
        put(root.create_group(well), {"well": {"images": [{"path": str(k)} for k in range(fields)]}}, version)
    TREE.pyramid.to_zarr(StorePath(root.store, f"{wells[0]}/0"), version=version)
    return root


def nested(path, *images):
    """Images in groups that say nothing of them."""
    root = new_store(path)
    for image in images:
        root.require_group(image.rpartition("/")[0]) if "/" in image else None
        TREE.pyramid.to_zarr(StorePath(root.store, image))
    return root


def error_of(store, group="", use=msi.open_multiscale):
    with pytest.raises(ValueError, match=r"holds no OME-Zarr image|is a Zarr array") as caught:
        use(store, group=group)
    return str(caught.value)


def listed(message):
    return re.findall(r"group='([^']*)'", message)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plate_and_a_well_list_their_images(version, tmp_path):
    plate(tmp_path / "p.zarr", version)
    message = error_of(tmp_path / "p.zarr")
    assert "it is a plate of 3 wells" in message
    assert listed(message) == ["A/1/0", "A/1/1", "A/2/0", "A/2/1", "B/1/0", "B/1/1"]
    assert listed(error_of(tmp_path / "p.zarr", "A/1")) == ["A/1/0", "A/1/1"]
    assert listed(error_of(tmp_path / "p.zarr/A/1")) == ["0", "1"]
    assert listed(error_of(tmp_path / "p.zarr", "A")) == ["A/1/0"]  # which is there; the others are only listed
    msi.open_multiscale(tmp_path / "p.zarr", group=listed(message)[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_collection_lists_its_series(version, tmp_path):
    for name in ("first", "second"):
        TREE.pyramid.to_zarr(tmp_path / "a.zarr", group=name, version=version)
    for group in ("", "OME"):
        assert listed(error_of(tmp_path / "a.zarr", group)) == ["first", "second"]
    message = error_of(tmp_path / "a.zarr/OME")
    assert listed(message) == ["first", "second"]
    assert message.endswith(f" of {tmp_path / 'a.zarr'}")


def test_groups_that_say_nothing_are_looked_through(tmp_path):
    nested(tmp_path / "s.zarr", "images/10", "images/9", "labels/x/cells", "top")
    assert listed(error_of(tmp_path / "s.zarr")) == ["top", "images/9", "images/10", "labels/x/cells"]
    assert listed(error_of(tmp_path / "s.zarr", "images")) == ["images/9", "images/10"]
    assert listed(error_of(zarr.open_group(tmp_path / "s.zarr")["images"])) == ["9", "10"]


def test_a_group_without_any_image(tmp_path):
    new_store(tmp_path / "a.zarr").create_group("b/c")
    assert error_of(tmp_path / "a.zarr").startswith("the group holds no OME-Zarr image: neither 'ome' (0.5 to 0.6)")


def test_labels_are_listed(tmp_path):
    TREE.pyramid.to_zarr(tmp_path / "a.zarr")
    labels = msi.to_multiscale(msi.to_spatial_image(np.zeros((16, 16), "u2")), [2], method="mode")
    msi.write_labels(tmp_path / "a.zarr", "cells", labels)
    assert listed(error_of(tmp_path / "a.zarr", "labels")) == ["labels/cells"]
    assert listed(error_of(tmp_path / "a.zarr", "labels/cells/scale1")) == ["labels/cells"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("inside", ["scale1", "scale1/image"])
def test_a_level_names_its_image(inside, version, tmp_path):
    TREE.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    TREE.pyramid.to_zarr(tmp_path / "b.zarr", group="im", version=version)
    words = "it is level 1 of an image: give that, "
    for store, group in ((tmp_path / "a.zarr", inside), (tmp_path / "a.zarr" / inside, "")):
        assert error_of(store, group).endswith(f"{words}{tmp_path / 'a.zarr'}")
        if inside == "scale1/image":
            with pytest.raises(ValueError, match=words):
                msi.validate(store, group=group)
    assert error_of(tmp_path / "b.zarr", f"im/{inside}").endswith(f"{words}group='im'")
    group = zarr.open_group(tmp_path / "a.zarr")["scale1"]
    assert error_of(group).endswith(f"{words}{StorePath(group.store)}")


@pytest.mark.parametrize("use", [msi.verify, msi.view, msi.add_levels, msi.update], ids=lambda use: use.__name__)
def test_every_function_that_opens_an_image_lists_them(use, tmp_path):
    make = nested if use in (msi.verify, msi.view) else plate  # these take plates
    make(tmp_path / "p.zarr", *(["A/1/0"] if make is nested else []))

    def call(store, group):
        return use(store, {"y": 0}, group=group) if use is msi.update else use(store, group=group)

    assert listed(error_of(tmp_path / "p.zarr", use=call))[0] == "A/1/0"


def test_validate_lists_them_and_takes_one(tmp_path):
    nested(tmp_path / "s.zarr", "images/a")
    for group in ("", "images"):
        report = msi.validate(tmp_path / "s.zarr", group=group)
        assert [listed(finding.message) for finding in report.errors] == [["images/a"]]
    assert msi.validate(tmp_path / "s.zarr", group="images/a").ok
    assert str(msi.validate(tmp_path / "s.zarr", group="images/a")).startswith("'images/a' in ")
    (finding,) = msi.validate(tmp_path / "s.zarr", group="images/a/scale0").errors
    assert finding.message.endswith("it is level 0 of an image: give that, group='images/a'")
    with pytest.raises(ValueError, match="give the group; it is level 0 of an image: give that, group='images/a'"):
        msi.validate(tmp_path / "s.zarr", group="images/a/scale0/image")
    with pytest.raises(FileNotFoundError, match="no Zarr group at 'nothing' in "):
        msi.validate(tmp_path / "s.zarr", group="nothing")


# --- bounds ---


@pytest.mark.parametrize("fields", [0, 1, 40])
def test_few_wells_of_a_large_plate_are_opened(fields):
    store = CountingStore(MemoryStore())
    wells = [f"{row}/{column}" for row in range(80) for column in range(90)]
    root = zarr.open_group(store, mode="w")
    put(root, {"plate": {"wells": [{"path": well} for well in wells]}})
    for well in wells[:12]:
        put(root.create_group(well), {"well": {"images": [{"path": str(k)} for k in range(fields)]}})
    store.reads.clear()
    message = error_of(store)
    assert "a plate of 7200 wells" in message
    assert len(listed(message)) == min(10 * fields, 10)
    assert len(store.reads) < 200
    if fields == 1:
        assert message.endswith("and those of 7190 more wells")
    if fields == 40:
        assert message.endswith("and 30 more there, and those of 7199 more wells")


def test_few_of_many_groups_are_opened():
    store = CountingStore(MemoryStore())
    root = zarr.open_group(store, mode="w")
    for number in range(300):
        root.create_group(f"g{number}")
    store.reads.clear()
    error_of(store)
    assert len(store.reads) < 500


def test_more_than_ten_images_are_counted_where_they_are_listed(tmp_path):
    for number in range(13):
        TREE.pyramid.to_zarr(tmp_path / "a.zarr", group=str(number))
    assert error_of(tmp_path / "a.zarr").endswith("group='9', and 3 more")
    root = zarr.open_group(tmp_path / "a.zarr")
    root.attrs.clear()
    with quietly():
        root.store_path.store.root.joinpath("OME/zarr.json").unlink()
    message = error_of(tmp_path / "a.zarr")
    assert listed(message) == [str(number) for number in range(10)]
    assert message.endswith("and more")


@pytest.mark.parametrize(
    "block",
    [
        {"plate": {}},
        {"plate": {"wells": 3}},
        {"plate": {"wells": [None, {"path": 5}, {"path": "missing"}, {"path": "../.."}]}},
        {"well": {"images": [{}]}},
        {"labels": [3, None]},
        {"series": [None]},
        {"bioformats2raw.layout": 3},
    ],
)
def test_broken_lists_are_no_other_error(block):
    root = zarr.create_group(MemoryStore())
    put(root, block)
    assert "holds no OME-Zarr image" in error_of(root.store)


# --- the command line ---


def run(*arguments):
    command = [sys.executable, "-m", "msi_lazy", *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return found.returncode, found.stdout + found.stderr


@pytest.mark.parametrize("command", ["info", "verify", "validate", "view", "convert"])
def test_the_command_line_names_the_option(command, tmp_path):
    nested(tmp_path / "s.zarr", "images/an image")
    rest = [tmp_path / "out.zarr"] if command == "convert" else []
    code, output = run(command, tmp_path / "s.zarr", *rest)
    assert code == 1
    assert "--group 'images/an image'" in " ".join(output.split())
    assert "group=" not in output
    if command != "view":
        assert run(command, tmp_path / "s.zarr", *rest, "--group", "images/an image")[0] == 0


def test_convert_takes_an_array_or_an_image_of_a_store_and_nothing_else(tmp_path):
    root = nested(tmp_path / "s.zarr", "images/a")
    root.create_array("raw", data=np.ones((8, 8), "u1"))
    assert run("convert", tmp_path / "s.zarr", tmp_path / "raw.zarr", "--group", "raw")[0] == 0
    assert (msi.open_multiscale(tmp_path / "raw.zarr")["scale0"].image == 1).all()
    np.save(tmp_path / "a.npy", np.ones((8, 8)))
    code, output = run("convert", tmp_path / "a.npy", tmp_path / "b.zarr", "--group", "a")
    assert (code, "--group a is the path of an image in a Zarr store" in output) == (1, True)
    before = sorted((tmp_path / "s.zarr").rglob("*"))
    code, output = run("convert", tmp_path / "s.zarr", tmp_path / "s.zarr", "--group", "images/a", "--overwrite")
    assert (code, "overlap" in output) == (1, True)
    assert sorted((tmp_path / "s.zarr").rglob("*")) == before
