"""Symbolic links in a store: nothing is written or deleted through one that leads out of it."""

import os
import shutil

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, LoggingStore

import msi_lazy as msi
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.links import links_below, refuse_links_out
from msi_lazy.storage.manifest import MANIFEST
from tests.support.damage import flip, write
from tests.support.killing import contents


@pytest.fixture
def outside(tmp_path):
    """A directory of a user's, with another image in it, and what it holds."""
    write(tmp_path / "outside/b.zarr")
    (tmp_path / "outside/notes.txt").write_text("mine")
    (tmp_path / "outside/empty").mkdir()
    return tmp_path / "outside"


@pytest.fixture
def image(tmp_path, outside):
    write(tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


@pytest.fixture(autouse=True)
def nothing_outside_changes(outside):
    before, names = contents(outside), sorted(outside.rglob("*"))
    yield
    assert contents(outside) == before
    assert sorted(outside.rglob("*")) == names


def link(path, to):
    """Put a link in the place of a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def tree(value=7, method="mean", dtype="u2"):
    image = msi.to_spatial_image(np.full((70, 90), value, dtype))
    return msi.to_multiscale(image, [2, 2], method=method, chunks=16)


def edit(image):
    zarr.open_array(image / "scale0/image")[:] = 9


def chunks_of(array):
    """Files of an array, but for the manifest of what was stored."""
    return {path: content for path, content in contents(array).items() if path.name != MANIFEST}


OPERATIONS = {
    "update": lambda image: msi.update(image, (slice(None), slice(None))),
    "repair": lambda image: msi.verify(image, repair=True),
}


@pytest.mark.parametrize("opened", ["path", "wrapper", "fsspec"])
@pytest.mark.parametrize("to", ["notes.txt", "nothing", "empty", "b.zarr/scale1/image/c/0/0", "../a.zarr/zarr.json"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_chunk_takes_the_place_of_a_link(operation, to, opened, image, outside):
    if operation == "update":
        edit(image)
    before = (chunks_of(image / "scale0/image"), (image / "zarr.json").read_bytes())
    link(image / "scale1/image/c/0/1", outside / to)
    link(image / "scale2/image/c/1/1", outside / to)
    wraps = {
        "path": lambda path: path,
        "wrapper": lambda path: LoggingStore(LocalStore(path), log_level="ERROR"),
        "fsspec": lambda path: FsspecStore.from_url(path.as_uri(), storage_options={"auto_mkdir": True}),
    }
    OPERATIONS[operation](wraps[opened](image))
    assert not (image / "scale1/image/c/0/1").is_symlink()
    assert (chunks_of(image / "scale0/image"), (image / "zarr.json").read_bytes()) == before
    assert msi.verify(image).ok


def test_a_link_in_the_place_of_a_chunk_that_is_empty_now_is_removed(image, outside):
    zarr.open_array(image / "scale0/image")[:] = 0
    link(image / "scale1/image/c/0/1", outside / "notes.txt")
    link(image / "scale1/image/c/1/1", outside / "empty")
    msi.update(image, (slice(None), slice(None)))
    assert not list((image / "scale1/image").rglob("[0-9]*/*"))


@pytest.mark.parametrize(
    ("directory", "to"),
    [
        *(
            ("scale1", "copied"),
            ("scale1/image", "copied"),
            ("scale1/image/c", "copied"),
            ("scale2/image/c", "nothing"),
        ),
        *(("scale1/image/c/0", "empty"), ("scale2/image/c/1", "notes.txt"), ("scale2/image/c/1", "b.zarr/scale1")),
    ],
)
def test_an_update_through_a_linked_directory_is_refused_before_it_begins(directory, to, image, outside):
    edit(image)
    if to == "copied":
        shutil.move(image / directory, outside.parent / "copied")
        (image / directory).symlink_to(outside.parent / "copied")
    else:
        link(image / directory, outside / to)
    before = contents(image.parent)
    with pytest.raises(ValueError, match=f"{directory} is a symbolic link that leads out of the store, to "):
        msi.update(image, (slice(None), slice(None)))
    assert contents(image.parent) == before
    assert not (outside / "nothing").exists()


def test_an_update_elsewhere_is_not_refused(image, outside):
    link(image / "scale1/image/c/2", outside / "empty")
    zarr.open_array(image / "scale0/image")[:10, :10] = 9
    msi.update(image, (slice(10), slice(10)))
    assert not (outside / "empty/0").exists()


@pytest.mark.parametrize("directory", ["scale1", "scale1/image/c", "scale1/image/c/0"])
def test_a_repair_says_what_it_leaves(directory, image, outside):
    flip(image / "scale1/image/c/0/1")
    shutil.move(image / directory, outside.parent / "copied")
    (image / directory).symlink_to(outside.parent / "copied")
    before = contents(outside.parent / "copied")
    report = msi.verify(image, repair=True)
    (finding,) = [finding for finding in report.findings if finding.level == 1]
    assert not report.ok
    assert not finding.repaired
    assert f"not repaired: {image / directory} is a symbolic link that leads out of the store" in finding.note
    assert contents(outside.parent / "copied") == before


def test_links_that_stay_in_the_store_and_a_store_that_is_one_itself_are_followed(image, outside):
    (image.parent / "here.zarr").symlink_to(image)
    shutil.move(image / "scale1", image / "elsewhere")
    (image / "scale1").symlink_to("elsewhere")
    edit(image)
    msi.update(image.parent / "here.zarr", (slice(None), slice(None)))
    assert (image / "scale1").is_symlink()
    assert msi.verify(image).ok
    (image / "scale1").unlink()
    shutil.move(image / "elsewhere", image / "scale1")
    tree().pyramid.to_zarr(image.parent / "here.zarr", mode="w")
    assert (image.parent / "here.zarr").is_symlink()
    assert (msi.open_multiscale(image)["scale1"].image == 7).all()


@pytest.mark.parametrize("name", ["labels", "labels/cells", "labels/cells/scale0", "labels/cells/scale1/image"])
@pytest.mark.parametrize("mode", ["w-", "w"])
def test_labels_are_not_written_through_a_link(name, mode, image, outside):
    (image / name).parent.mkdir(parents=True, exist_ok=True)
    link(image / name, outside / "empty")
    before = contents(image)
    with pytest.raises(ValueError, match=f"{name} is a symbolic link that leads out of the store"):
        msi.write_labels(image, "cells", tree(1, "mode", "u4"), mode=mode)
    assert contents(image) == before


@pytest.mark.parametrize("to", ["empty", "b.zarr"])
def test_labels_that_are_links_are_replaced_and_those_that_hold_links_too(to, image, outside):
    msi.write_labels(image, "cells", tree(1, "mode", "u4"))
    link(image / "labels/cells/scale1", outside / to)
    msi.write_labels(image, "cells", tree(2, "mode", "u4"), mode="w")
    assert (msi.open_multiscale(image, group="labels/cells")["scale1"].image == 2).all()
    link(image / "labels/cells", outside / to)
    if to == "empty":
        return
    tree().pyramid.to_zarr(image, mode="w", delete_labels=True)
    assert not (image / "labels").exists()


@pytest.mark.parametrize("name", ["scale3", "scale3/image", "scale3/x"])
@pytest.mark.parametrize("mode", ["w-", "w"])
def test_levels_are_not_added_through_a_link(name, mode, image, outside):
    (image / name).parent.mkdir(exist_ok=True)
    link(image / name, outside / "empty")
    before = contents(image)
    with pytest.raises(ValueError, match=f"{name} is a symbolic link that leads out of the store"):
        msi.add_levels(image, [2], mode=mode)
    assert contents(image) == before


@pytest.mark.parametrize("name", ["plate", "plate/one", "plate/OME"])
@pytest.mark.parametrize("options", [{}, {"mode": "w"}, {"resume": True}])
def test_an_image_of_several_is_not_written_through_a_link(name, options, tmp_path, outside):
    tree().pyramid.to_zarr(tmp_path / "s.zarr/plate", group="zero")
    link(tmp_path / "s.zarr" / name, outside / "b.zarr")
    store, group = (tmp_path / "s.zarr/plate", "one") if name != "plate" else (tmp_path / "s.zarr", "plate/one")
    with pytest.raises(ValueError, match=f"{name} is a symbolic link that leads out of the store"):
        tree().pyramid.to_zarr(store, group=group, **options)


@pytest.mark.parametrize("name", [LEDGER, f"{LEDGER}/blocks", "scale1/image/c", "scale1/image/c/0/0", "scale1"])
def test_a_write_is_not_resumed_through_a_link(name, tmp_path, outside):
    delayed = tree().pyramid.to_zarr(tmp_path / "o.zarr", compute=False)
    del delayed
    if name == f"{LEDGER}/blocks":
        shutil.move(tmp_path / "o.zarr" / name, tmp_path / "blocks")
        (tmp_path / "o.zarr" / name).symlink_to(tmp_path / "blocks")
    else:
        (tmp_path / "o.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
        link(tmp_path / "o.zarr" / name, outside / ("notes.txt" if name.endswith("0/0") else "empty"))
    with pytest.raises(ValueError, match=f"{name} is a symbolic link that leads out of the store"):
        tree().pyramid.to_zarr(tmp_path / "o.zarr", resume=True)


def test_a_write_over_links_removes_the_links(tmp_path, image, outside):
    for name in ("scale1", "scale2/image", "scale0/image/c/0/0", "scale0/image/c/1"):
        link(image / name, outside / "b.zarr" / name)
    link(image / "zarr.json", outside / "b.zarr/zarr.json")
    link(image / "notes.txt", outside / "notes.txt")
    tree().pyramid.to_zarr(image, mode="w")
    assert not list(links_below(LocalStore(image), ""))
    tree().pyramid.to_zarr(tmp_path / "new.zarr")
    assert contents(image) == contents(tmp_path / "new.zarr")


def test_a_document_that_is_a_link_is_replaced(image, outside):
    for name in ("zarr.json", "scale2/image/zarr.json"):
        link(image / name, outside / "b.zarr" / name)
    edit(image)
    msi.update(image, (slice(None), slice(None)))
    msi.add_levels(image, [2])
    msi.write_labels(image, "cells", tree(1, "mode", "u4").pipe(add_level))
    assert not (image / "zarr.json").is_symlink()
    assert msi.verify(image).ok


def add_level(labels):
    return msi.to_multiscale(labels["scale0"].image, [2, 2, 2], method="mode", chunks=16)


def test_a_collection_of_links_is_not_overwritten_and_links_in_a_circle_are_no_hindrance(tmp_path, outside):
    zarr.create_group(tmp_path / "c.zarr")
    for name in ("one", "two"):
        (tmp_path / "c.zarr" / name).symlink_to(outside / "b.zarr")
    (tmp_path / "c.zarr/again").symlink_to(".")
    (tmp_path / "c.zarr/round").symlink_to("round")
    tree().pyramid.to_zarr(tmp_path / "c.zarr", mode="w")
    assert not list(links_below(LocalStore(tmp_path / "c.zarr"), ""))
    assert (msi.open_multiscale(tmp_path / "c.zarr")["scale1"].image == 7).all()


def test_a_ledger_of_a_stranger_deletes_nothing_through_a_link(tmp_path, outside):
    """The ledger of a write that was emptying its group names the groups in it, and they are emptied first."""
    tree().pyramid.to_zarr(tmp_path / "o.zarr", compute=False)
    (tmp_path / "o.zarr/link").symlink_to(outside / "b.zarr")
    blocks = zarr.open_array(tmp_path / "o.zarr" / LEDGER / "blocks")
    blocks.attrs.update({"state": "clearing", "nested": ["link", "link/scale1"]})
    tree().pyramid.to_zarr(tmp_path / "o.zarr", mode="w")
    assert not (tmp_path / "o.zarr/link").exists()


def test_links_with_steps_back_are_resolved(tmp_path):
    (tmp_path / "s/a/b").mkdir(parents=True)
    (tmp_path / "s/a/inside").symlink_to("../a/b")
    (tmp_path / "s/a/out").symlink_to("../../elsewhere")
    (tmp_path / "s/a/chain").symlink_to("out")
    store = LocalStore(tmp_path / "s")
    refuse_links_out(store, ["a/inside/x", "a/b", ""])
    for name in ("out", "chain"):
        with pytest.raises(ValueError, match=f"a/{name} is a symbolic link .* {os.path.realpath(tmp_path)}/elsewhere"):
            refuse_links_out(store, ["a/b", f"a/{name}/x/y"])
    assert set(links_below(store, "")) == {"a/inside", "a/out", "a/chain"}
