"""Marks mean that a block is on disk, and manifests tell what was stored from what is there."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import dask
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore

import msi_lazy as msi
from msi_lazy.storage import marker, target
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.manifest import MANIFEST
from msi_lazy.write import conclude
from tests.support.failing_writes import PICTURE, picture_tree
from tests.support.killing import contents


def marks(store):
    return {path.name: path for path in (store / LEDGER).glob("*/c/*")}


def interrupted(path, monkeypatch, **options):
    """Write an image up to its last step, so that all its blocks are marked."""
    with monkeypatch.context() as patch:
        patch.setattr("msi_lazy.write.conclude.store_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            picture_tree().pyramid.to_zarr(path, source_id="it", **options)


@pytest.fixture
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "o.zarr"
    picture_tree().pyramid.to_zarr(path, source_id="it")
    return contents(path)


def found(report):
    return [(finding.path, finding.unit, finding.kind) for finding in report.findings]


def test_blocks_are_marked_after_what_they_stored_is_on_disk(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(target, "sync_file_system", lambda _path: events.append("sync"))
    monkeypatch.setattr(marker, "store_mark", lambda _marks, number, _stored: events.append(number))
    told = marker.Marker.__call__

    def listen(self, number, units):
        return (events.append(-number), told(self, number, units))

    monkeypatch.setattr(marker.Marker, "__call__", listen)
    monkeypatch.setattr("msi_lazy.write.conclude._AwaitMarks.__call__", lambda self: self.marker.flush())
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr")
    numbers = {event for event in events if event != "sync" and event > 0}
    assert len(numbers) > 20
    assert all("sync" in events[events.index(-number) : events.index(number)] for number in numbers)


def test_other_processes_mark_at_once_when_the_end_of_the_write_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(marker, "_SHORTEST_WAIT", 600.0)
    monkeypatch.setattr(target, "sync_file_system", lambda _path: None)
    others = []
    flushed = marker.Marker.flush

    def flush(self):  # that of the process that ends the write, which has stored nothing itself
        other = pickle.loads(pickle.dumps(self))
        others.append(other)
        for number, units in self._waiting.items():
            other(number, units)
        self._waiting.clear()
        flushed(self)

    monkeypatch.setattr(marker.Marker, "flush", flush)
    monkeypatch.setattr(conclude, "_LONGEST_WAIT", 5.0)
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr")
    assert len(others) == 1
    assert msi.verify(tmp_path / "o.zarr").ok


def test_what_a_killed_write_asked_for_is_forgotten_by_the_next(tmp_path, monkeypatch):
    interrupted(tmp_path / "o.zarr", monkeypatch)
    asked = list((tmp_path / "o.zarr").rglob("asked"))
    assert len(asked) == 1
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", source_id="it", resume=True, compute=False)
    assert not asked[0].exists()


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_everything_is_on_disk_before_the_image_is_whole_and_the_ledger_gone(tmp_path, mode, monkeypatch):
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr") if mode == "w" else None
    events = []

    def sync(directory):
        left = [*Path(directory).rglob(f"{LEDGER}*/blocks"), *Path(directory).parent.glob(f".*{LEDGER}/blocks")]
        events.append(("sync", bool(left)))

    written = target.write_attributes
    monkeypatch.setattr(target, "sync_file_system", sync)
    monkeypatch.setattr(
        "msi_lazy.write.finish.write_attributes", lambda *args: (events.append("attributes"), written(*args))
    )
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", mode=mode)
    at = events.index("attributes")
    assert events[at - 1] == ("sync", True)
    assert events[at + 1 :] == [("sync", True), ("sync", False)]


def test_a_disk_that_cannot_take_what_was_written_ends_the_write_and_marks_nothing(tmp_path, whole, monkeypatch):
    def fails(_directory):
        raise OSError(5, "the disk is broken")

    with monkeypatch.context() as patch:
        patch.setattr(target, "sync_file_system", fails)
        with pytest.raises(OSError, match="the disk is broken"):
            picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", source_id="it")
    assert not marks(tmp_path / "o.zarr")
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", source_id="it", resume=True)
    assert contents(tmp_path / "o.zarr") == whole


@pytest.mark.parametrize(
    "opened",
    [
        lambda path: path,
        lambda path: FsspecStore.from_url(path.as_uri(), storage_options={"auto_mkdir": True}),
        lambda path: LoggingStore(LocalStore(path), log_level="ERROR"),
    ],
)
def test_local_files_are_synced_however_they_are_opened(opened, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(target, "sync_file_system", synced.append)
    picture_tree().pyramid.to_zarr(opened(tmp_path / "o.zarr"))
    assert len(synced) >= 4
    assert set(synced) == {tmp_path / "o.zarr"}


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_what_need_not_be_durable_is_not_waited_for(mode, tmp_path, whole, monkeypatch):
    if mode == "w":
        picture_tree(PICTURE[::-1]).pyramid.to_zarr(tmp_path / "o.zarr")
    monkeypatch.setattr(target, "sync_file_system", lambda _directory: pytest.fail("synced"))
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", mode=mode, source_id="it", durable=False)
    assert contents(tmp_path / "o.zarr") == whole


def truncate(path):
    path.write_bytes(b"")


def append(path):
    path.write_bytes(path.read_bytes() + b"rest")


@pytest.mark.parametrize("harm", [Path.unlink, truncate, append])
def test_marked_blocks_whose_files_have_other_sizes_are_stored_again(harm, tmp_path, whole, monkeypatch):
    interrupted(tmp_path / "o.zarr", monkeypatch)
    for chunk in ("scale0/the image/c/3/7", "scale1/the image/c/0/0", "scale3/the image/c/1/1"):
        harm(tmp_path / "o.zarr" / chunk)
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", source_id="it", resume=True)
    assert contents(tmp_path / "o.zarr") == whole


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[[]]", b"null", b"{}", b'[["scale0/the image",[-1,2,3]]]', b"\xff", b"[" * 10**5]
)
def test_torn_marks_are_none(content, tmp_path, whole, monkeypatch):
    interrupted(tmp_path / "o.zarr", monkeypatch)
    before = marks(tmp_path / "o.zarr")
    for path in list(before.values())[:5]:
        path.write_bytes(content)
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", source_id="it", resume=True)
    assert contents(tmp_path / "o.zarr") == whole


@pytest.mark.parametrize("name", ["²", "0007", "1" * 30, "-1", "99999", "x"])
def test_marks_of_no_block_are_none(name, tmp_path, whole, monkeypatch):
    interrupted(tmp_path / "o.zarr", monkeypatch)
    seven = marks(tmp_path / "o.zarr")["7"]
    seven.rename(seven.with_name(name))
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", source_id="it", resume=True)
    assert contents(tmp_path / "o.zarr") == whole


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shards", [None, 16])
def test_a_chunk_that_is_lost_from_all_levels_is_found(version, shards, tmp_path):
    options = {} if version == "0.4" else {"shards": shards}
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", version=version, **options)
    assert msi.verify(tmp_path / "o.zarr").ok
    chunks = "0/0" if version == "0.4" else "c/0/0"
    for number in range(4):
        (tmp_path / f"o.zarr/scale{number}/the image/{chunks}").unlink()
    report = msi.verify(tmp_path / "o.zarr", repair=True)
    assert ("scale0/the image", (0, 0), "missing") in found(report)
    assert not report.ok
    assert not any(finding.repaired for finding in report.findings)
    assert "not empty on purpose" in str(report)


def test_chunks_that_are_empty_on_purpose_are_none(tmp_path):
    array = PICTURE.copy()
    array[:70, :70] = 0
    picture_tree(array).pyramid.to_zarr(tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr/scale0/the image/c/0/0").exists()
    assert msi.verify(tmp_path / "o.zarr").ok


def test_a_chunk_that_changed_is_found_in_level_0_too_and_nothing_is_made_from_it(tmp_path):
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr")
    zarr.open_array(tmp_path / "o.zarr/scale0/the image")[:8, :8] += 1
    report = msi.verify(tmp_path / "o.zarr", repair=True)
    assert found(report)[0] == ("scale0/the image", (0, 0), "altered")
    assert not any(finding.repaired for finding in report.findings)
    assert "msi_lazy.update" in str(report)
    msi.update(tmp_path / "o.zarr", (slice(8), slice(8)))
    assert msi.verify(tmp_path / "o.zarr").ok


def test_bytes_behind_the_end_of_a_chunk_are_found_and_removed(tmp_path):
    image = msi.to_spatial_image(PICTURE, dims="yx")
    pyramid = msi.to_multiscale(image, [2], chunks=32)
    pyramid.pyramid.to_zarr(tmp_path / "o.zarr", compressors=zarr.codecs.GzipCodec(level=1))
    sound = contents(tmp_path / "o.zarr")
    for chunk in ("scale0/image/c/1/1", "scale1/image/c/0/1"):
        append(tmp_path / "o.zarr" / chunk)
    kinds = {finding.path: finding.kind for finding in msi.verify(tmp_path / "o.zarr").findings}
    assert set(kinds) >= {"scale0/image", "scale1/image"}
    msi.verify(tmp_path / "o.zarr", repair=True)
    (tmp_path / "o.zarr/scale0/image/c/1/1").write_bytes(sound[Path("scale0/image/c/1/1")])
    assert msi.verify(tmp_path / "o.zarr", repair=True).ok
    assert msi.verify(tmp_path / "o.zarr").ok
    assert (tmp_path / "o.zarr/scale1/image/c/0/1").read_bytes()[-4:] != b"rest"


def test_other_stores_have_manifests_too_and_lost_keys_are_found():
    store = MemoryStore()
    picture_tree().pyramid.to_zarr(store)
    assert msi.verify(store).ok
    for number in range(4):
        del store._store_dict[f"scale{number}/the image/c/0/0"]
    assert ("scale0/the image", (0, 0), "missing") in found(msi.verify(store))


@pytest.mark.parametrize("content", [None, b"", b"msi_lazy stored 1\n", b"x" * 1000])
def test_an_image_without_a_sound_manifest_is_verified_by_its_levels(content, tmp_path):
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr")
    for manifest in tmp_path.rglob(MANIFEST):
        manifest.unlink() if content is None else manifest.write_bytes(content)
    assert msi.verify(tmp_path / "o.zarr").ok
    append(tmp_path / "o.zarr/scale1/the image/c/0/0")
    assert [finding.unit for finding in msi.verify(tmp_path / "o.zarr").roots] == [(0, 0)]


def test_labels_and_added_levels_have_manifests(tmp_path):
    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr")
    cells = msi.to_multiscale(msi.to_spatial_image((PICTURE % 9).astype("u4"), dims="yx"), [2, 2, 2], "mode", chunks=8)
    msi.write_labels(tmp_path / "o.zarr", "cells", cells)
    picture_tree().pyramid.to_zarr(tmp_path / "p.zarr")
    msi.add_levels(tmp_path / "p.zarr", [2])
    for level in ("o.zarr/labels/cells/scale0/image", "p.zarr/scale4/the image"):
        (tmp_path / level / "c/0/0").unlink()
        report = msi.verify(tmp_path / level.partition("/")[0])
        assert [finding.kind for finding in report.findings][:1] == ["missing"]


def test_a_write_that_was_taken_over_stores_nothing_more(tmp_path):
    image = picture_tree()
    path = tmp_path / "o.zarr"
    delayed = image.pyramid.to_zarr(path, source_id="it", compute=False)
    (path / LEDGER / "lease").write_text(json.dumps({"token": "another"}))
    before = contents(path)
    with dask.config.set(scheduler="synchronous"), pytest.raises(RuntimeError, match="another write has taken over"):
        delayed.compute()
    assert contents(path) == before


def test_two_writes_at_once_are_refused(tmp_path):
    class Second:
        def __init__(self):
            self.error = None

        def __call__(self, block):
            if self.error is None:
                with pytest.raises(msi.TargetInUseError) as caught:
                    picture_tree().pyramid.to_zarr(tmp_path / "o.zarr", mode="w")
                self.error = caught.value
            return block

    second = Second()
    image = msi.to_spatial_image(PICTURE, dims="yx").chunk(80)
    edited = msi.to_multiscale(image.copy(data=image.data.map_blocks(second, dtype="u2", meta=image.data._meta)), [2])
    edited.pyramid.to_zarr(tmp_path / "o.zarr")
    assert "is being written by another write" in str(second.error)
    assert msi.verify(tmp_path / "o.zarr").ok


_ENDS_WITH_MARKS = """
import sys
from pathlib import Path
from types import SimpleNamespace
from msi_lazy.storage import marker

folder = Path(sys.argv[1])
marker._SHORTEST_WAIT, marker.sync_target = 60, lambda target: None
marker.store_mark = lambda marks, number, stored: (folder / str(number)).touch()
place = SimpleNamespace(directory=folder)
marker.Marker(SimpleNamespace(durable=True, target=place, marks=place))(3, [])
"""


def test_a_process_that_ends_marks_what_it_has_stored(tmp_path):  # as workers do that an adaptive cluster retires
    subprocess.run([sys.executable, "-c", _ENDS_WITH_MARKS, tmp_path], check=True, timeout=50)
    assert [path.name for path in tmp_path.iterdir()] == ["3"]
