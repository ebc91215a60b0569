"""What replaces an image is written beside it, and takes its place when it is whole."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore, ObjectStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.storage import replacement
from msi_lazy.storage.replacement import Replacement
from msi_lazy.storage.stored_ledger import StoredLedger, Witness
from msi_lazy.write import begin, conclude
from tests.support.failing_writes import PICTURE, Source, picture_tree
from tests.support.killing import contents

OTHER = PICTURE[::-1].copy()


class StopError(BaseException):
    """End of a process."""


def stop(*_args, **_options):
    raise StopError


def after(function):
    """Call a function, and stop after it."""

    def call(*args, **options):
        function(*args, **options)
        raise StopError

    return call


def label_tree(array):
    image = msi.to_spatial_image((array % 9).astype("u4"), dims="yx")
    return msi.to_multiscale(image, [2, 2, 2], method="mode", chunks=8)


def level_0(store, **options):
    (image,) = msi.open_multiscale(store, **options)["scale0"].data_vars.values()
    return image.values


@pytest.fixture
def image(tmp_path):
    """An image that is to be replaced."""
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr")
    return tmp_path / "o.zarr"


@pytest.fixture
def whole(tmp_path_factory):
    """Files of the other image, written where nothing was."""
    path = tmp_path_factory.mktemp("whole") / "o.zarr"
    picture_tree(OTHER).pyramid.to_zarr(path, source_id="other")
    return contents(path)


def test_readers_see_the_old_image_until_the_new_one_is_whole(image):
    seen = []

    class Looking(Source):
        def __getitem__(self, key):
            seen.append(np.array_equal(level_0(image), PICTURE))
            return super().__getitem__(key)

    data = da.from_array(Looking(OTHER), chunks=(40, 160), name="looking", meta=np.empty((0, 0), "u2"))
    looking = msi.to_multiscale(xr.DataArray(data, dims=("y", "x")), [2], chunks=8, block_bytes=2 * 32**2)
    looking.pyramid.to_zarr(image, mode="w")
    assert len(seen) > 3
    assert all(seen)
    assert np.array_equal(level_0(image), OTHER)
    assert list(image.parent.iterdir()) == [image]


STEPS = {
    "begun": (Witness, "store", stop),
    "before the marks": (conclude._AwaitMarks, "__call__", stop),
    "before the end": (Replacement, "swap", stop),
    "exchanged": (Replacement, "swap", after(Replacement.swap)),
    "half removed": (StoredLedger, "remove", stop),
    "removed": (StoredLedger, "remove", after(StoredLedger.remove)),
}


@pytest.mark.parametrize("way", ["resume", "start over"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_leaves_the_old_or_the_new(step, way, image, whole, monkeypatch):
    old = contents(image)
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step])
        with pytest.raises(StopError):
            picture_tree(OTHER).pyramid.to_zarr(image, mode="w", source_id="other")
    left = np.array_equal(level_0(image), PICTURE)
    assert left == (step in ("begun", "before the marks", "before the end"))
    assert left == (contents(image) == old)
    assert np.array_equal(level_0(image), PICTURE if left else OTHER)
    resumed = {"resume": True} if way == "resume" and step != "removed" else {}
    picture_tree(OTHER).pyramid.to_zarr(image, mode="w", source_id="other", **resumed)
    assert contents(image) == whole
    assert list(image.parent.iterdir()) == [image]


def test_where_the_system_cannot_exchange_two_directories_they_are_renamed_one_by_one(image, whole, monkeypatch):
    monkeypatch.setattr(replacement, "exchange_paths", lambda *_paths: False)
    picture_tree(OTHER).pyramid.to_zarr(image, mode="w", source_id="other")
    assert contents(image) == whole
    assert list(image.parent.iterdir()) == [image]


@pytest.mark.parametrize("way", ["resume", "start over"])
def test_a_kill_between_two_renames_leaves_an_image_to_resume(way, image, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(replacement, "exchange_paths", lambda *_paths: image.rename(image.with_name("gone")) and stop())
        with pytest.raises(StopError):
            picture_tree(OTHER).pyramid.to_zarr(image, mode="w", source_id="other")
    with pytest.raises(msi.UnfinishedImageError, match="resume it with"):
        msi.open_multiscale(image)
    mode = {"resume": True} if way == "resume" else {"mode": "w"}
    picture_tree(OTHER).pyramid.to_zarr(image, source_id="other", **mode)
    assert contents(image) == whole


@pytest.mark.parametrize("fault", ["parent", "mount", "working directory"])
def test_what_cannot_be_exchanged_is_refused_and_replaced_in_place_if_asked(fault, image, whole, monkeypatch):
    old = contents(image)
    with monkeypatch.context() as patch:
        if fault == "parent":
            patch.setattr("os.access", lambda path, _mode: path != image.parent)
        elif fault == "working directory":
            patch.chdir(image)
        else:
            patch.setattr("pathlib.Path.is_mount", lambda path: path == image)
        with pytest.raises(ValueError, match=r"cannot be replaced by an image written beside it.*replace='in place'"):
            picture_tree(OTHER).pyramid.to_zarr(image, mode="w")
        assert contents(image) == old
        picture_tree(OTHER).pyramid.to_zarr(image, mode="w", replace="in place", source_id="other")
    assert contents(image) == whole


def test_in_place_there_is_no_room_for_both(image, monkeypatch):
    monkeypatch.setattr(begin, "empty_group", after(begin.empty_group))
    with pytest.raises(StopError):
        picture_tree(OTHER).pyramid.to_zarr(image, mode="w", replace="in place")
    assert not list(image.glob("scale*"))
    with pytest.raises(msi.UnfinishedImageError):
        msi.open_multiscale(image)


@pytest.mark.parametrize("step", ["before the marks", "exchanged", "half removed"])
def test_what_was_left_beside_goes_with_an_image_that_is_replaced_in_place(step, image, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step])
        with pytest.raises(StopError):
            picture_tree().pyramid.to_zarr(image, mode="w", source_id="dead")
    picture_tree(OTHER).pyramid.to_zarr(image, mode="w", replace="in place", source_id="other")
    assert contents(image) == whole
    assert list(image.parent.iterdir()) == [image]
    with pytest.raises(msi.StoreExistsError, match="no incomplete image to resume"):
        picture_tree().pyramid.to_zarr(image, resume=True, source_id="dead")


def test_local_files_of_an_object_store_are_replaced_in_place(image, whole):
    store = ObjectStore(pytest.importorskip("obstore.store").LocalStore(str(image)))
    picture_tree(OTHER).pyramid.to_zarr(store, mode="w", source_id="other")
    assert contents(image) == whole
    assert not (image / ".msi_lazy-unfinished").exists()


def test_labels_that_the_old_image_got_meanwhile_are_not_deleted_unasked(image, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS["before the end"])
        with pytest.raises(StopError):
            picture_tree(OTHER).pyramid.to_zarr(image, mode="w", source_id="other")
    msi.write_labels(image, "cells", label_tree(PICTURE))
    with pytest.raises(msi.StoreExistsError, match=r"labels/cells.*delete_labels=True"):
        picture_tree(OTHER).pyramid.to_zarr(image, resume=True, source_id="other")
    picture_tree(OTHER).pyramid.to_zarr(image, resume=True, source_id="other", delete_labels=True)
    assert np.array_equal(level_0(image), OTHER)


def test_another_word_is_refused(image):
    with pytest.raises(ValueError, match=r"replace must be 'beside' .* or 'in place' .*, not 'above'"):
        picture_tree(OTHER).pyramid.to_zarr(image, mode="w", replace="above")


def test_the_directory_keeps_its_permissions_and_a_link_to_it_stays_one(image, tmp_path):
    image.chmod(0o2750)
    link = tmp_path / "link"
    link.symlink_to(image)
    picture_tree(OTHER).pyramid.to_zarr(link, mode="w")
    assert link.is_symlink()
    assert image.stat().st_mode & 0o7777 == 0o2750
    assert np.array_equal(level_0(image), OTHER)


def test_an_image_of_several_is_replaced_and_listed(tmp_path):
    for group in ("a", "b"):
        picture_tree().pyramid.to_zarr(tmp_path / "s.zarr", group=group)
    before = contents(tmp_path / "s.zarr/b")
    picture_tree(OTHER).pyramid.to_zarr(tmp_path / "s.zarr", group="a", mode="w")
    assert contents(tmp_path / "s.zarr/b") == before
    assert zarr.open_group(tmp_path / "s.zarr/OME").attrs["ome"]["series"] == ["a", "b"]
    assert np.array_equal(level_0(tmp_path / "s.zarr", group="a"), OTHER)
    assert {path.name for path in (tmp_path / "s.zarr").iterdir()} == {"zarr.json", "OME", "a", "b"}


@pytest.mark.parametrize("step", STEPS)
def test_labels_are_replaced_whole_too(step, image, monkeypatch):
    msi.write_labels(image, "cells", label_tree(PICTURE))
    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step])
        with pytest.raises(StopError):
            msi.write_labels(image, "cells", label_tree(OTHER), mode="w", source_id="other")
    left = np.array_equal(level_0(image, group="labels/cells"), PICTURE % 9)
    assert left == (step in ("begun", "before the marks", "before the end"))
    resumed = {} if step == "removed" else {"resume": True}
    msi.write_labels(image, "cells", label_tree(OTHER), mode="w", source_id="other", **resumed)
    assert np.array_equal(level_0(image, group="labels/cells"), OTHER % 9)
    assert {path.name for path in (image / "labels").iterdir()} == {"zarr.json", "cells"}
    assert msi.verify(image).ok


def test_labels_that_a_kill_left_half_written_are_resumed(image, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(conclude._AwaitMarks, "__call__", stop)
        with pytest.raises(StopError):
            msi.write_labels(image, "cells", label_tree(OTHER), source_id="other")
    with pytest.raises(msi.StoreExistsError, match="holds an incomplete image; resume=True resumes it"):
        msi.write_labels(image, "cells", label_tree(OTHER), source_id="other")
    msi.write_labels(image, "cells", label_tree(OTHER), source_id="other", resume=True)
    assert np.array_equal(level_0(image, group="labels/cells"), OTHER % 9)
    assert msi.verify(image).ok


def test_labels_that_come_while_an_image_is_replaced_are_not_lost(image):
    delayed = picture_tree(OTHER).pyramid.to_zarr(image, mode="w", source_id="other", compute=False)
    msi.write_labels(image, "cells", label_tree(PICTURE))
    with pytest.raises(msi.StoreExistsError, match="has got 'labels/cells' since the write"):
        delayed.compute()
    assert np.array_equal(level_0(image, group="labels/cells"), PICTURE % 9)
    options = {"mode": "w", "source_id": "other", "resume": True}
    with pytest.raises(msi.StoreExistsError, match="delete_labels=True"):
        picture_tree(OTHER).pyramid.to_zarr(image, **options)
    picture_tree(OTHER).pyramid.to_zarr(image, **options, delete_labels=True)
    assert np.array_equal(level_0(image), OTHER)
    assert not (image / "labels").exists()


def test_added_levels_of_a_run_that_died_go_and_nothing_else(image, tmp_path, monkeypatch):
    msi.add_levels(image, [2])
    sound = contents(image)
    picture_tree().pyramid.to_zarr(tmp_path / "again.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(conclude._AwaitMarks, "__call__", stop)
        with pytest.raises(StopError):
            msi.add_levels(tmp_path / "again.zarr", [2])
    assert len(msi.open_multiscale(tmp_path / "again.zarr").children) == 4
    msi.add_levels(tmp_path / "again.zarr", [2])
    assert contents(tmp_path / "again.zarr") == sound


@pytest.mark.parametrize("options", [[], ["--in-place"]])
def test_the_command_line_replaces_and_says_what_it_would_lose(options, image, tmp_path):
    np.save(tmp_path / "in.npy", OTHER)
    command = [
        "convert",
        str(tmp_path / "in.npy"),
        str(image),
        "--dims",
        "yx",
        "--levels",
        "1",
        "--overwrite",
        *options,
    ]
    (image / "notes.txt").write_text("mine")
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1
    assert "holds 'notes.txt', which --overwrite would delete" in refused.output
    (image / "notes.txt").unlink()
    assert CliRunner().invoke(main, command).exit_code == 0
    assert np.array_equal(level_0(image), OTHER)


def test_other_stores_are_emptied_first(whole):
    store = MemoryStore()
    picture_tree().pyramid.to_zarr(store)
    picture_tree(OTHER).pyramid.to_zarr(store, mode="w", source_id="other")
    assert {key: value.to_bytes() for key, value in store._store_dict.items()} == {
        str(path): content for path, content in whole.items()
    }
