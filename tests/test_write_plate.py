"""Plates that are written in one computation: as many single writes would, and resumed field by field."""

import random
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from dask.callbacks import Callback
from ome_zarr_models.v04.hcs import HCS as HCS04
from ome_zarr_models.v04.well import Well as Well04
from ome_zarr_models.v05.hcs import HCS as HCS05
from ome_zarr_models.v05.well import Well as Well05
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.api import write_plate as write_plate_module
from msi_lazy.run.tally import Tally
from tests.support.failing_writes import FailingStore, Source, snapshot
from tests.support.killing import CASES, contents, kill_after, make_source, start, write
from tests.support.optional import require, validate_elsewhere
from tests.support.stored_images import block

KEYS = [("B", "10", 0), ("A", 1, 1), ("A", 1, 0), ("B", "2", 0), ("AA", "2", "0")]
PATHS = ["A/1/0", "A/1/1", "B/2/0", "B/10/0", "AA/2/0"]
"""Their paths, in the order of plates."""


def pixels(seed, shape=(2, 40, 36)):
    return np.random.default_rng(seed).integers(0, 999, shape, dtype="u2")


def tree(seed, shape=(2, 40, 36), dims="cyx", **options):
    options = {"chunks": 16, "block_bytes": 2 * 32**2, **options}
    return msi.to_multiscale(msi.to_spatial_image(pixels(seed, shape), dims=dims), [2], **options)


def fields(**options):
    return {key: tree(number, **options) for number, key in enumerate(KEYS)}


def assert_as_written_alone(store, written, folder, **options):
    """Compare every file of each field with those of a single write."""
    for key, one in written.items():
        path = "/".join(map(str, key))
        one.pyramid.to_zarr(folder / path, **options)
        assert contents(store / path) == contents(folder / path)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_each_field_has_the_bits_of_a_single_write(tmp_path, version):
    written = fields()
    msi.write_plate(tmp_path / "plate.zarr", written, version=version)
    assert_as_written_alone(tmp_path / "plate.zarr", written, tmp_path / "single", version=version)
    assert ["/".join(map(str, key)) for key in msi.open_plate(tmp_path / "plate.zarr")] == PATHS
    left = {path.name for path in (tmp_path / "plate.zarr").iterdir()}
    assert left == {"A", "B", "AA", *([".zattrs", ".zgroup"] if version == "0.4" else ["zarr.json"])}


def with_note(note):
    noted = tree(11)
    noted["scale0"].image.attrs["note"] = note
    return noted


def other_forms():
    """Pyramids that differ in a way of their own, each beside another of its kind."""
    shifted = msi.to_spatial_image(pixels(3), dims="cyx", scale={"x": 2.0})
    computed = da.from_array(pixels(7), chunks=(1, 16, 36)) + np.uint16(1)
    noted = tree(8)
    noted["scale1"].attrs["note"] = "of the second level"
    return {
        "shape": [tree(1, (2, 30, 50)), tree(2, (2, 30, 50))],
        "spacing": [msi.to_multiscale(shifted, [2], chunks=16)],
        "method": [tree(4, method="max"), tree(5, method="max")],
        "order": [tree(6, (40, 36, 2), "yxc"), tree(7, (40, 36, 2), "yxc")],
        "computed": [msi.to_multiscale(msi.to_spatial_image(computed, dims="cyx"), [2], chunks=16)],
        "attributes": [noted],
        "equal attributes": [with_note(note) for note in (1, True, 1.0, {"a": [1], "b": 0}, {"b": 0, "a": [1]})],
        "edited": [tree(9).map_over_datasets(lambda level: level + 1 if level.data_vars else level), tree(10)],
        "names": [msi.to_multiscale(msi.to_spatial_image(pixels(3), dims="cyx", name="dapi"), [2], chunks=16)],
        "channels": [
            msi.to_multiscale(msi.to_spatial_image(pixels(3), dims="cyx", c_coords=names), [2], chunks=16)
            for names in (["DAPI", "GFP"], ["DAPI", "RFP"])
        ],
    }


def test_fields_need_not_be_alike(tmp_path):
    forms = [one for kind in other_forms().values() for one in kind]
    written = {("A", "1", number): one for number, one in enumerate(forms)}
    msi.write_plate(tmp_path / "plate.zarr", written)
    assert_as_written_alone(tmp_path / "plate.zarr", written, tmp_path / "single")


def test_settings_are_those_of_single_writes(tmp_path):
    written = fields()
    options = {"shards": 32, "compressors": "fast", "windows": "auto", "colors": ["FF0000", "00FF00"]}
    msi.write_plate(tmp_path / "plate.zarr", written, **options)
    assert_as_written_alone(tmp_path / "plate.zarr", written, tmp_path / "single", **options)


def test_a_store_that_has_no_files_gets_the_same():
    store, alone = MemoryStore(), MemoryStore()
    msi.write_plate(store, {("A", 1, 0): tree(0), ("A", 1, 1): tree(1)})
    tree(1).pyramid.to_zarr(alone)
    found, wanted = snapshot(store), snapshot(alone)
    assert {key.removeprefix("A/1/1/"): value for key, value in found.items() if key.startswith("A/1/1/")} == wanted


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata_of_a_plate_and_its_wells(tmp_path, version):
    store = tmp_path / "plate.zarr"
    taken = {1: 3, 0: 0}
    msi.write_plate(
        store, fields(), name="screen 7", acquisitions={3: {"name": "day 2", "starttime": 9}, 0: "day 1"},
        acquisition_of=taken, version=version,
    )  # fmt: skip
    plate = {
        "name": "screen 7",
        "rows": [{"name": "A"}, {"name": "B"}, {"name": "AA"}],
        "columns": [{"name": "1"}, {"name": "2"}, {"name": "10"}],
        "wells": [
            {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
            {"path": "B/2", "rowIndex": 1, "columnIndex": 1},
            {"path": "B/10", "rowIndex": 1, "columnIndex": 2},
            {"path": "AA/2", "rowIndex": 2, "columnIndex": 1},
        ],
        "field_count": 2,
        "acquisitions": [
            {"id": 0, "name": "day 1", "maximumfieldcount": 1},
            {"id": 3, "name": "day 2", "starttime": 9, "maximumfieldcount": 1},
        ],
        "version": version,
    }
    assert block(store)["plate"] == plate
    images = [{"path": "0", "acquisition": 0}, {"path": "1", "acquisition": 3}]
    assert block(store, "A/1")["well"] == {"images": images} | ({"version": "0.4"} if version == "0.4" else {})
    assert block(store).get("version", version) == version
    hcs, well = {"0.4": (HCS04, Well04), "0.5": (HCS05, Well05)}[version]
    hcs.from_zarr(zarr.open_group(store, mode="r"))
    well.from_zarr(zarr.open_group(store, path="B/10", mode="r"))
    validate_elsewhere(store)
    assert msi.validate(store).ok


@pytest.mark.skipif(sys.version_info < (3, 12), reason="ome-zarr-models has 0.6 for Python 3.12 on")
def test_the_models_of_06_take_a_plate(tmp_path):
    models = require("ome_zarr_models.v06")
    msi.write_plate(tmp_path / "plate.zarr", fields(), name="p", version="0.6", acquisitions={0: "day"})
    models.HCS.from_zarr(zarr.open_group(tmp_path / "plate.zarr", mode="r"))
    models.Well.from_zarr(zarr.open_group(tmp_path / "plate.zarr", path="A/1", mode="r"))
    assert "version" not in block(tmp_path / "plate.zarr")["plate"]
    assert msi.validate(tmp_path / "plate.zarr").ok


def test_ome_zarr_py_reads_all_fields(tmp_path):
    reader, io = require("ome_zarr.reader"), require("ome_zarr.io")
    msi.write_plate(tmp_path / "plate.zarr", {("A", 1, 0): tree(0), ("B", 1, 0): tree(1)}, version="0.4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (node, *_) = list(reader.Reader(io.parse_url(str(tmp_path / "plate.zarr")))())
        found = np.asarray(node.data[0])
    np.testing.assert_array_equal(found, np.concatenate([pixels(0), pixels(1)], axis=1))


@pytest.mark.parametrize(
    ("given", "rows", "columns"),
    [
        ({}, "A B AA", "1 2 10"),
        ({"rows": 30, "columns": 12}, " ".join([*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB", "AC", "AD"]), None),
        ({"rows": ["AA", "B", "C", "A"], "columns": [10, "2", 1]}, "AA B C A", "10 2 1"),
    ],
)
def test_rows_and_columns(given, rows, columns):
    store = MemoryStore()
    msi.write_plate(store, fields(), **given)
    plate = msi.open_plate(store)
    assert plate.rows == tuple(rows.split())
    assert plate.columns == tuple((columns or " ".join(map(str, range(1, 13)))).split())
    listed = block(store)["plate"]["wells"]
    assert all(
        well["path"] == f"{plate.rows[well['rowIndex']]}/{plate.columns[well['columnIndex']]}" for well in listed
    )
    assert listed == sorted(listed, key=lambda well: (well["rowIndex"], well["columnIndex"]))


def test_a_plate_that_was_opened_is_written_as_it_was():
    store, copy, part = MemoryStore(), MemoryStore(), MemoryStore()
    msi.write_plate(store, fields(), name="p", rows=28, acquisitions={0: "a", 1: "b"}, acquisition_of={0: 0, 1: 1})
    msi.write_plate(copy, msi.open_plate(store))
    assert block(copy) == block(store)
    assert block(copy, "A/1") == block(store, "A/1")
    msi.write_plate(part, msi.open_plate(store).row("A").acquisition(1))
    assert list(msi.open_plate(part)) == [("A", "1", 1)]
    assert msi.open_plate(part).acquisition_of("A/1/1") == 1


def test_all_fields_are_one_computation():
    computations = []

    class Counting(Callback):
        def _start(self, dsk):
            computations.append(len(dsk))

    with Counting():
        msi.write_plate(MemoryStore(), fields())
    assert len(computations) == 1


def test_delayed_plates_are_incomplete_until_they_are_computed(tmp_path):
    store = tmp_path / "plate.zarr"
    image, source = sources(1)[0]
    delayed = msi.write_plate(store, {("A", 1, 0): image, ("A", 1, 1): tree(1)}, compute=False)
    assert source.windows == []
    for opened in (msi.open_plate, msi.open_multiscale):
        with pytest.raises(msi.UnfinishedImageError, match=r"an incomplete plate: .* with write_plate\(..., resume="):
            opened(store)
    with pytest.raises(msi.UnfinishedImageError, match="an incomplete plate"):
        msi.open_multiscale(store, group="A/1/0")
    with pytest.raises(ValueError, match="is a plate that is being written"):
        tree(0).pyramid.to_zarr(store, group="B/1/0")
    delayed.compute()
    np.testing.assert_array_equal(msi.open_plate(store)["A", 1, 1]["scale0"].image, pixels(1))


def sources(count):
    """Pyramids over things that remember what was read of them, and these."""
    found = []
    for number in range(count):
        source = Source(pixels(number))
        data = da.from_array(source, chunks=source.shape, name=f"source {number}", asarray=True, meta=source.array[:0])
        found.append((msi.to_multiscale(msi.to_spatial_image(data, dims="cyx"), [2], chunks=16), source))
    return found


class Broken(Source):
    """A source that cannot be read, and says so once there are ``most`` marks of blocks below a folder."""

    folder, most = Path(), 0

    def __getitem__(self, key):
        if self.array[key].size:
            until = time.monotonic() + 20
            while len(list(self.folder.glob(".msi_lazy-unfinished/*/c/*"))) < self.most and time.monotonic() < until:
                time.sleep(0.01)
            raise OSError("the disk failed")
        return self.array[key]


def test_fields_that_are_stored_are_not_written_again(tmp_path):
    built = sources(4)
    broken = Broken(pixels(9))
    broken.folder, broken.most = tmp_path / "plate.zarr", 16  # four of each of the others
    data = da.from_array(broken, chunks=broken.shape, name="broken", asarray=True, meta=broken.array[:0])
    whole = {("A", 1, number): one for number, (one, _) in enumerate(built)}
    bad = msi.to_multiscale(msi.to_spatial_image(data, dims="cyx"), [2], chunks=16)
    mended = sources(10)[9][0]
    with dask.config.set(num_workers=2), pytest.raises(OSError, match="the disk failed") as caught:
        msi.write_plate(tmp_path / "plate.zarr", {**whole, ("B", 1, 0): bad}, source_id="same")
    assert any("write_plate(..., resume=True)" in note for note in caught.value.__notes__)
    assert all(source.windows for _, source in built)
    for _, source in built:
        source.windows.clear()
    msi.write_plate(tmp_path / "plate.zarr", {**whole, ("B", 1, 0): mended}, source_id="same", resume=True)
    assert not any(source.windows for _, source in built)
    msi.write_plate(tmp_path / "whole.zarr", {**whole, ("B", 1, 0): mended})
    assert contents(tmp_path / "plate.zarr") == contents(tmp_path / "whole.zarr")


@pytest.mark.parametrize("kept", [0, 1, 2, 10, 50, 90, 110, 120, 130, -2])
def test_a_write_that_failed_anywhere_goes_on(kept):
    written = {("A", 1, 0): tree(0), ("A", 1, 1): tree(1), ("B", 1, 0): tree(2, (2, 30, 50))}
    whole = FailingStore(MemoryStore())
    msi.write_plate(whole, written)
    count = len(whole.state["set"])
    assert count > 130
    store = FailingStore(MemoryStore(), kept % count)
    with dask.config.set(scheduler="synchronous"), pytest.raises(OSError, match="no space"):
        msi.write_plate(store, written)
    with pytest.raises((FileNotFoundError, ValueError)):
        msi.open_plate(store)
    store.state["left"] = 10**9
    msi.write_plate(store, written, resume=True)
    assert snapshot(store) == snapshot(whole)


def test_a_plate_of_other_fields_is_not_resumed(tmp_path):
    store = tmp_path / "plate.zarr"
    msi.write_plate(store, fields(), compute=False)
    for other, words in (
        ({**fields(), ("C", 1, 0): tree(0)}, "images.C/1/0"),
        ({**fields(), KEYS[0]: tree(99)}, "images.B/10/0.source"),
        ({**fields(), KEYS[0]: tree(0, method="max")}, "forms|images"),
    ):
        with pytest.raises(msi.ResumeError, match=rf"the incomplete plate at .* {words}"):
            msi.write_plate(store, other, resume=True)
    with pytest.raises(msi.ResumeError, match="plate was"):
        msi.write_plate(store, fields(), name="another", resume=True)
    with pytest.raises(msi.StoreExistsError, match="holds an incomplete plate; resume=True resumes it"):
        msi.write_plate(store, fields())
    msi.write_plate(store, fields(), resume=True)
    assert len(msi.open_plate(store)) == 5


def test_a_plate_is_replaced_by_one_of_all_its_fields(tmp_path):
    store = tmp_path / "plate.zarr"
    msi.write_plate(store, fields())
    with pytest.raises(msi.StoreExistsError, match="exists already; pass mode='w'"):
        msi.write_plate(store, fields())
    with pytest.raises(msi.StoreExistsError, match="holds the images 'B/10/0', which mode='w' would delete"):
        msi.write_plate(store, {key: one for key, one in fields().items() if key != KEYS[0]}, mode="w")
    assert len(msi.open_plate(store)) == 5
    new = {key: tree(number + 20) for number, key in enumerate([*KEYS, ("H", 12, 0)])}
    msi.write_plate(store, new, mode="w")
    assert_as_written_alone(store, new, tmp_path / "single")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("path", ["tables", "A/tables", "A/1/tables", "A/1/0/tables"])
def test_what_is_no_part_of_a_plate_is_not_deleted(tmp_path, path):
    store = tmp_path / "plate.zarr"
    msi.write_plate(store, fields())
    zarr.open_group(store, mode="r+").create_group(path)
    with pytest.raises(msi.StoreExistsError, match=f"holds '{path}', which mode='w' would delete"):
        msi.write_plate(store, fields(), mode="w")
    assert (store / path).exists()


BAD = [
    ({"fields": [tree(0)]}, TypeError, "fields are a dict of pyramids"),
    ({"fields": {}}, ValueError, "fields has no fields"),
    ({"fields": {"A": tree(0)}}, TypeError, "the key of a field is its row, column and number"),
    ({"fields": {("A", 1.5, 0): tree(0)}}, TypeError, "the key of a field is"),
    ({"fields": {("A", 1, True): tree(0)}}, TypeError, "the key of a field is"),
    ({"fields": {("A", 1, 0): pixels(0)}}, TypeError, r"the field \('A', 1, 0\) must be a pyramid"),
    ({"fields": {("A", 1, 0): tree(0), ("A", "1", "0"): tree(0)}}, ValueError, "two fields are called A/1/0"),
    ({"fields": {("A-1", 1, 0): tree(0)}}, ValueError, "name of a row .* not 'A-1'"),
    ({"fields": {("A", "", 0): tree(0)}}, ValueError, "name of a column .* not ''"),
    ({"fields": {("A", "..", 0): tree(0)}}, ValueError, r"name of a column .* not '\.\.'"),
    ({"fields": {("A", 1, "f_0"): tree(0)}}, ValueError, "'f_0' does not"),
    ({"fields": {("A", 1, -1): tree(0)}}, ValueError, "'-1' does not"),
    ({"fields": {("A", 1, "__0"): tree(0)}, "version": "0.6"}, ValueError, "'__0' does not"),
    ({"fields": {("A", 1, "zarr.json"): tree(0)}, "version": "0.6"}, ValueError, "'zarr.json' does not"),
    ({"name": 5}, TypeError, "name must be the name of the plate"),
    ({"rows": "AB"}, TypeError, "rows must be a sequence of names"),
    ({"rows": 0}, ValueError, "rows must be at least 1"),
    ({"rows": ["A", "A"]}, ValueError, "rows names 'A' twice"),
    ({"rows": ["A", "Ä"]}, ValueError, "names of rows .* not 'Ä'"),
    ({"rows": ["B"]}, ValueError, "rows lacks 'A'"),
    ({"columns": ["2"]}, ValueError, "columns lacks '1'"),
    ({"columns": [1.5]}, TypeError, "columns must be names"),
    ({"acquisitions": [0]}, TypeError, "acquisitions are names by id"),
    ({"acquisitions": {-1: "a"}}, ValueError, "id of an acquisition .* not -1"),
    ({"acquisitions": {0: 5}}, TypeError, r"acquisitions\[0\] must be a name or a dict"),
    ({"acquisitions": {0: {"starttime": "now"}}}, TypeError, r"acquisitions\[0\]\['starttime'\] must be an integer"),
    ({"acquisitions": {0: {"a": object()}}}, TypeError, "JSON cannot hold"),
    ({"acquisitions": {0: "a", 1: "b"}}, ValueError, "which of them took A/1/0 is not known"),
    ({"acquisitions": {0: "a"}, "acquisition_of": {0: 1}}, ValueError, "acquisition_of says 1 of '0'"),
    ({"acquisition_of": {9: 1}}, ValueError, "acquisition_of has 9, and there is no such field"),
    ({"acquisition_of": 5}, TypeError, "acquisition_of is a dict"),
    ({"acquisition_of": {0: "a"}}, ValueError, "id of an acquisition .* not 'a'"),
    ({"version": "0.3"}, ValueError, "version must be one of"),
    ({"memory_limit": "1 KiB"}, msi.MemoryLimitError, "memory_limit is 1.00 kiB"),
    ({"windows": [(0, 1)] * 3}, ValueError, "3"),
]


@pytest.mark.parametrize(("given", "kind", "message"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_input_is_refused_before_anything_is_created(tmp_path, given, kind, message):
    with pytest.raises(kind, match=message):
        msi.write_plate(tmp_path / "plate.zarr", **{"fields": {("A", 1, 0): tree(0)}, **given})
    assert list(tmp_path.iterdir()) == []


def test_names_that_differ_in_case_are_warned_of():
    with pytest.warns(UserWarning, match="A/1/0 and a/1/0 differ in upper and lower case only"):
        msi.write_plate(MemoryStore(), {("A", 1, 0): tree(0), ("a", 1, 0): tree(0)})


def test_an_error_of_a_field_names_it(tmp_path):
    flat = msi.to_multiscale(msi.to_spatial_image(np.zeros((8, 8, 8, 8), "u1"), dims="abyx"), [{"y": 2}])
    with pytest.raises(msi.UnsupportedImageError) as caught:
        msi.write_plate(tmp_path / "plate.zarr", {("A", 1, 0): tree(0), ("A", 1, 1): flat})
    assert "in the field ('A', 1, 1) of the plate" in caught.value.__notes__
    assert list(tmp_path.iterdir()) == []


def test_the_memory_of_fields_that_are_not_written_together_is_not_added_up():
    """Chunks of a computed source are held until a block is complete; those of 200 fields are never there at once."""
    part = da.zeros((2, 512, 512), dtype="u2", chunks=(1, 512, 512)) + np.uint16(1)
    one = msi.to_multiscale(msi.to_spatial_image(part, dims="cyx"), [2], chunks=256)
    written = {("A", column, 0): one for column in range(200)}
    with dask.config.set(num_workers=2):
        msi.write_plate(MemoryStore(), written, memory_limit="100 MiB", compute=False)
        with pytest.raises(msi.MemoryLimitError, match="memory_limit is 65"):
            msi.write_plate(MemoryStore(), written, memory_limit="65 MiB", compute=False)


def test_progress_is_that_of_all_fields_together(monkeypatch):
    tallies = []
    monkeypatch.setattr("msi_lazy.run.watch.is_watched", lambda: True)
    made = Tally.__init__
    monkeypatch.setattr(Tally, "__init__", lambda self, *args: (tallies.append(self), made(self, *args))[1])
    msi.write_plate(MemoryStore(), fields(), progress=True)
    tasks = {task.description: (task.completed, task.total) for task in tallies[0].progress.tasks}
    assert tasks == {
        "scale0": (5 * 2 * 40 * 36 * 2,) * 2,
        "scale1": (5 * 2 * 20 * 18 * 2,) * 2,
        "all levels": (5 * 2 * (40 * 36 + 20 * 18) * 2,) * 2,
    }


def test_a_target_inside_another_plate_or_image_is_refused(tmp_path):
    msi.write_plate(tmp_path / "plate.zarr", fields())
    for group in ("A/1/0", "A/1/7/x", "B", "C/1"):
        with pytest.raises((ValueError, msi.StoreExistsError)):
            msi.write_plate(tmp_path / "plate.zarr", fields(), group=group)
    msi.write_plate(tmp_path / "store.zarr", fields(), group="plates/a")
    assert len(msi.open_plate(tmp_path / "store.zarr", group="plates/a")) == 5
    assert block(tmp_path / "store.zarr") == {}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_a_plate_whose_write_is_killed_goes_on(tmp_path: Path, seed):
    chance, case = random.Random(seed), CASES["plate"]
    make_source(tmp_path)
    write(tmp_path, tmp_path / "whole.zarr", case)
    for _ in range(1 if seed == 0 else 3):
        if not kill_after(start(tmp_path, tmp_path / "plate.zarr", case, resume=True), chance.uniform(0, 1.5)):
            break
        with suppress(FileNotFoundError, ValueError):
            assert len(msi.open_plate(tmp_path / "plate.zarr")) == 6  # it was whole, or does not open
            break
    else:
        write(tmp_path, tmp_path / "plate.zarr", case, resume=True)
    assert contents(tmp_path / "plate.zarr") == contents(tmp_path / "whole.zarr")


@pytest.mark.parametrize("suffix", ["ozx", "zip"])
def test_a_plate_in_a_zip_file(tmp_path, suffix):
    """Packed as RFC-9 says, once all fields are whole."""
    msi.write_plate(tmp_path / f"plate.{suffix}", fields(), shards=32)
    msi.write_plate(tmp_path / "plate.zarr", fields(), shards=32)
    found, wanted = msi.open_plate(tmp_path / f"plate.{suffix}"), msi.open_plate(tmp_path / "plate.zarr")
    assert list(found) == list(wanted)
    for key in found:
        np.testing.assert_array_equal(found[key]["scale1"].image, wanted[key]["scale1"].image)
    assert {path.name for path in tmp_path.iterdir()} == {f"plate.{suffix}", "plate.zarr"}


def test_paths_of_levels_are_numbers_where_readers_insist(tmp_path):
    msi.write_plate(tmp_path / "plate.zarr", {("A", 1, 0): tree(0)}, paths="0")
    tree(0).pyramid.to_zarr(tmp_path / "single.zarr", paths="0")
    assert contents(tmp_path / "plate.zarr" / "A" / "1" / "0") == contents(tmp_path / "single.zarr")


def test_fields_of_arrays_with_names_of_their_own_are_one_form(monkeypatch):
    """What is alike is described once, whatever the graphs are called."""
    described = []
    made = write_plate_module.image_job
    monkeypatch.setattr(write_plate_module, "image_job", lambda *a, **o: (described.append(1), made(*a, **o))[1])
    built = [one for one, _ in sources(4)] + [tree(5), tree(6)]
    msi.write_plate(MemoryStore(), {("A", 1, number): one for number, one in enumerate(built)})
    assert len(described) == 2


def test_an_incomplete_plate_is_begun_anew(tmp_path):
    """Its fields have no documents of their own yet, and are no files of a user's."""
    store = tmp_path / "plate.zarr"
    msi.write_plate(store, fields(), compute=False)
    (store / "A" / "1" / "0" / "notes.txt").write_text("mine")
    with pytest.raises(msi.StoreExistsError, match=r"holds 'A/1/0/notes.txt', which mode='w' would delete"):
        msi.write_plate(store, fields(), mode="w")
    (store / "A" / "1" / "0" / "notes.txt").unlink()
    msi.write_plate(store, fields(), mode="w")
    assert_as_written_alone(store, fields(), tmp_path / "single")


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_ngff_zarr_reads_all_fields(tmp_path, version):
    reader = require("ngff_zarr")
    if version == "0.6" and sys.version_info < (3, 12):
        pytest.skip("its releases with 0.6 are tested on Python 3.12 on")
    msi.write_plate(tmp_path / "plate.zarr", {("A", 1, 0): tree(0), ("B", 2, 0): tree(1)}, version=version, name="p")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plate = reader.from_hcs_zarr(str(tmp_path / "plate.zarr"))
        found = np.asarray(plate.get_well("B", "2").get_image(0).images[0].data)
    assert [well.path for well in plate.wells] == ["A/1", "B/2"]
    np.testing.assert_array_equal(found, pixels(1))
