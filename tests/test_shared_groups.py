"""Images and labels that several processes add to one store at the same time: each is listed."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, MemoryStore

import msi_lazy as msi
from msi_lazy.compat import directory_lock
from msi_lazy.compat.directory_lock import locked_directory
from msi_lazy.storage import shared_groups
from msi_lazy.storage.place import Place
from msi_lazy.storage.shared_groups import change_attributes, create_group
from msi_lazy.storage.target import quietly

SPAWN = multiprocessing.get_context("spawn")
PIXELS = np.random.default_rng(0).integers(1, 9, (8, 16, 16), dtype="u2")


def tree(method="mean"):
    return msi.to_multiscale(msi.to_spatial_image(PIXELS, dims="zyx"), [2], method=method, chunks=8)


def add_name(name, attributes):
    return {"names": sorted({*attributes.get("names", []), name})}


def add_names(folder, barrier, who):
    barrier.wait()
    for number in range(20):
        change_attributes(Place.parse(folder), 3, partial(add_name, f"{who}/{number}"))


def add_images(folder, barrier, version, who):
    tree().pyramid.to_zarr(MemoryStore())
    for number in range(3):
        barrier.wait()
        tree().pyramid.to_zarr(folder / "images.zarr", group=f"{number}/{who}", version=version)
        msi.write_labels(folder / "labels.zarr", f"{who}-{number}", tree("mode"), group="a/image")


def run(target, *args):
    barrier = SPAWN.Barrier(4)
    processes = [SPAWN.Process(target=target, args=(*args[:1], barrier, *args[1:], who)) for who in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_no_change_of_attributes_is_lost(tmp_path):
    run(add_names, tmp_path / "a.zarr")
    names = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["names"]
    assert len(names) == 80


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_all_images_and_labels_are_listed(tmp_path, version):
    tree().pyramid.to_zarr(tmp_path / "labels.zarr", group="a/image", version=version)
    for name in ("images", "labels"):
        zarr.open_group(tmp_path / f"{name}.zarr", mode="a", zarr_format=2 if version == "0.4" else 3)
        with quietly():
            zarr.consolidate_metadata(tmp_path / f"{name}.zarr")
    run(add_images, tmp_path, version)
    images = {f"{number}/{who}" for number in range(3) for who in "abcd"}
    labels = {f"{who}-{number}" for number in range(3) for who in "abcd"}
    assert set(attributes(tmp_path / "images.zarr/OME")["series"]) == images
    assert attributes(tmp_path / "images.zarr", whole=True)["bioformats2raw.layout"] == 3
    assert set(attributes(tmp_path / "labels.zarr/a/image/labels")["labels"]) == labels
    for store in ("images.zarr", "labels.zarr"):
        assert msi.validate(tmp_path / store).ok
        assert_consolidated(tmp_path / store)
    assert_consolidated(tmp_path / "labels.zarr/a/image")
    for image in images:
        back = msi.open_multiscale(tmp_path / "images.zarr", group=image)
        np.testing.assert_array_equal(back["scale0"].image, PIXELS)


def add_fields(folder, barrier, who):
    row = f"{who.upper()}/1"
    for number in range(3):
        barrier.wait()
        tree().pyramid.to_zarr(folder / "plate.zarr", group=f"{row}/{number}")
        tree().pyramid.to_zarr(folder / "plate.zarr", group=f"H/{number}/{who}")


def test_all_fields_and_wells_of_a_plate_are_listed(tmp_path):
    root = zarr.create_group(tmp_path / "plate.zarr")
    well = {"path": "B/2", "rowIndex": 0, "columnIndex": 0}
    root.attrs["ome"] = {"version": "0.5", "plate": {"rows": [{"name": "B"}], "columns": [{"name": "2"}]}}
    root.attrs["ome"] = {"version": "0.5", "plate": {**root.attrs["ome"]["plate"], "wells": [well]}}
    run(add_fields, tmp_path)
    plate = attributes(tmp_path / "plate.zarr")["plate"]
    assert [row["name"] for row in plate["rows"]] == ["A", "B", "C", "D", "H"]
    assert [well["path"] for well in plate["wells"]] == ["A/1", "B/1", "B/2", "C/1", "D/1", "H/0", "H/1", "H/2"]
    for row in "ABCD":
        assert len(attributes(tmp_path / f"plate.zarr/{row}/1")["well"]["images"]) == 3
    for column in range(3):
        images = attributes(tmp_path / f"plate.zarr/H/{column}")["well"]["images"]
        assert [image["path"] for image in images] == ["a", "b", "c", "d"]
    assert not (tmp_path / "plate.zarr/OME").exists()


def attributes(path, *, whole=False):
    found = zarr.open_group(path, mode="r").attrs.asdict()
    return found.get("ome", found) if not whole or "ome" in found else found


def assert_consolidated(path):
    """Metadata that are consolidated are those of the nodes."""
    with quietly():
        group = zarr.open_group(path, mode="r", use_consolidated=True)
        own = zarr.open_group(path, mode="r", use_consolidated=False)
        assert {name: node.attrs.asdict() for name, node in group.members(max_depth=None)} == {
            name: node.attrs.asdict() for name, node in own.members(max_depth=None)
        }


@pytest.mark.parametrize("where", ["local", "memory", "fsspec"])
def test_threads_that_change_attributes(tmp_path, where):
    store = {"local": tmp_path, "memory": MemoryStore(), "fsspec": FsspecStore.from_url(f"memory://{tmp_path}")}[where]
    place = Place.parse(store, "a")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: change_attributes(place, 3, partial(add_name, str(number))), range(8)))
    assert len(place.open_group().attrs["names"]) == 8


def test_a_change_that_another_undid_is_made_again(monkeypatch):
    """Where nothing locks, as on an object store."""
    monkeypatch.setattr(Place, "in_memory", False)
    place, pauses = Place.parse(MemoryStore()), []

    def another(seconds):
        pauses.append(seconds)
        if len(pauses) < 3:  # it had read the attributes before this change, and writes them
            place.open_group("r+").attrs.put({"names": ["other"]})

    monkeypatch.setattr(shared_groups.time, "sleep", another)
    change_attributes(place, 3, partial(add_name, "mine"))
    assert place.open_group().attrs["names"] == ["mine", "other"]
    assert len(pauses) == 3


def test_what_is_always_undone_ends(monkeypatch):
    monkeypatch.setattr(shared_groups, "_PAUSE", (0, 0))
    monkeypatch.setattr(Place, "in_memory", False)
    with pytest.raises(OSError, match="other processes change them"):
        change_attributes(Place.parse(MemoryStore()), 3, lambda found: {"n": found.get("n", 0) + 1})


def test_a_lock_excludes_another_descriptor_and_ends_with_the_block(tmp_path, monkeypatch):
    monkeypatch.setattr(directory_lock, "_PATIENCE", 0.05)
    with locked_directory(tmp_path) as locked:
        assert locked
        with pytest.raises(TimeoutError, match="has held the lock"), locked_directory(tmp_path):
            raise AssertionError
    with locked_directory(tmp_path) as locked:
        assert locked


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    class Without:
        LOCK_EX, LOCK_NB = directory_lock.fcntl.LOCK_EX, directory_lock.fcntl.LOCK_NB

        def flock(self, *_):
            raise OSError(37, "No locks available")

    monkeypatch.setattr(directory_lock, "fcntl", Without())
    with locked_directory(tmp_path) as locked:
        assert not locked


def test_what_was_being_written_of_a_document_by_a_process_that_was_killed_goes(tmp_path):
    place = Place.parse(tmp_path)
    partial, others = tmp_path / f"zarr.{'0' * 32}.partial", tmp_path / "mine.partial"
    for path in (partial, others):
        path.touch()
    create_group(place, 3)
    assert not partial.exists()
    assert others.exists()
