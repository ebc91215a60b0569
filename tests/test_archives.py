"""Images in zip files: read, written, replaced, resumed; hostile ones are refused."""

import json
import os
import pickle
import random
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from zarr.storage import LocalStore, ZipStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.show.viewer.contents import Contents
from msi_lazy.show.viewer.server import ViewerServer
from msi_lazy.storage import archive_bytes, replacement
from msi_lazy.storage.archive_index import MOST_MEMBERS
from msi_lazy.storage.archive_store import ArchiveStore
from msi_lazy.storage.packing import pack_directory
from msi_lazy.storage.stored_ledger import StoredLedger
from msi_lazy.write import archive_checks
from tests.support import killing
from tests.support.failing_writes import Source
from tests.support.optional import require
from tests.support.serving import serve

PICTURE = np.random.default_rng(3).integers(0, 4000, (2, 60, 80), dtype="u2")


def make_tree(array=PICTURE, chunks=16):
    return msi.to_multiscale(msi.to_spatial_image(array, dims="cyx"), [2, 2], chunks=chunks)


LABELS = msi.to_multiscale(msi.to_spatial_image(PICTURE[0].astype("u4"), dims="yx"), [2, 2], method="mode", chunks=16)


def assert_same(store, tree=None, **options):
    back = msi.open_multiscale(store, **options)
    for level, image in (tree or make_tree()).children.items():
        np.testing.assert_array_equal(back[level]["image"], image["image"])


def names_of(path):
    with zipfile.ZipFile(path) as packed:
        return packed.namelist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory, and zip files of it by other tools."""
    folder = tmp_path_factory.mktemp("archives")
    make_tree().pyramid.to_zarr(folder / "a.zarr", shards="auto")
    shutil.make_archive(str(folder / "deflated"), "zip", folder / "a.zarr")
    shutil.make_archive(str(folder / "inside"), "zip", folder, "a.zarr")
    with zipfile.ZipFile(folder / "stored.ozx", "w") as packed:
        for file in sorted((folder / "a.zarr").rglob("*")):
            packed.write(file, file.relative_to(folder / "a.zarr"))
    shutil.copy(folder / "stored.ozx", folder / "no suffix")
    return folder


class TestReading:
    @pytest.mark.parametrize("name", ["deflated.zip", "inside.zip", "stored.ozx", "no suffix"])
    def test_by_path(self, folder, name):
        assert_same(folder / name)
        assert_same(f"file://{folder}/{name}".replace(" ", "%20"))
        assert msi.validate(folder / name).ok
        assert msi.verify(folder / name).ok

    def test_a_folder_inside_may_be_named(self, folder):
        assert_same(folder / "inside.zip", group="a.zarr")

    def test_several_folders_inside_are_listed(self, folder, tmp_path):
        for name in ("b.zarr", "c.zarr"):
            shutil.copytree(folder / "a.zarr", tmp_path / "in" / name)
        path = shutil.make_archive(str(tmp_path / "two"), "zip", tmp_path / "in")
        with pytest.raises(FileNotFoundError, match=r"give an image, group='b\.zarr', group='c\.zarr'"):
            msi.open_multiscale(path)
        assert_same(path, group="c.zarr")

    @pytest.mark.parametrize("name", ["deflated.zip", "stored.ozx"])
    def test_by_url(self, folder, name):
        with serve(folder) as url:  # a server that sends no parts of files
            assert_same(f"{url}/{name}")
            with pytest.raises(FileNotFoundError, match="no Zarr group at http"):
                msi.open_multiscale(f"{url}/none.ozx")

    def test_parts_are_read_of_a_server_that_sends_them(self, folder, monkeypatch):
        monkeypatch.setattr(archive_bytes, "_MOST_WHOLE", 100)
        read, part = [], archive_bytes.RemoteFile._part
        monkeypatch.setattr(
            archive_bytes.RemoteFile,
            "_part",
            lambda file, found, *span: read.append(len(found)) or part(file, found, *span),
        )
        with ViewerServer(Contents(LocalStore(folder))) as server:
            assert_same(f"{server.store_url()}stored.ozx")
            assert msi.verify(f"{server.store_url()}stored.ozx").ok  # many parts at once
        assert len(read) > 10
        assert max(read) < (folder / "stored.ozx").stat().st_size

    def test_file_systems_without_an_event_loop(self, folder):
        memory = require("fsspec").filesystem("memory")
        memory.pipe("/a.ozx", (folder / "stored.ozx").read_bytes())
        assert_same("memory://a.ozx")
        memory.rm("/a.ozx")

    def test_a_large_file_of_a_server_without_parts_is_refused(self, folder, monkeypatch):
        monkeypatch.setattr(archive_bytes, "_MOST_WHOLE", 100)
        with serve(folder) as url, pytest.raises(OSError, match="sends no parts of a file"):
            msi.open_multiscale(f"{url}/stored.ozx")

    def test_the_command_line(self, folder, tmp_path):
        for command in (["info"], ["validate"], ["verify"]):
            found = CliRunner().invoke(main, [*command, str(folder / "stored.ozx")])
            assert found.exit_code == 0, found.output
        call = ["convert", str(folder / "stored.ozx"), str(tmp_path / "b.ozx"), "--factors", "2", "--chunks", "16"]
        assert CliRunner().invoke(main, call).exit_code == 0
        np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "b.ozx")["scale0"]["image"], PICTURE)

    def test_the_viewer(self, folder):
        require("neuroglancer")
        with msi.view(folder / "stored.ozx", open_browser=False) as viewer:
            root = zarr.open_group(viewer.store_url, mode="r")
            np.testing.assert_array_equal(root["scale1/image"], make_tree()["scale1"]["image"])

    def test_nothing_is_read_before_it_is_asked_for(self, folder):
        store = ArchiveStore.at(folder / "stored.ozx")
        tree = msi.open_multiscale(store)
        asked = []
        store.file.read = lambda *span: asked.append(span)
        assert tree["scale0"]["image"].data is not None
        assert asked == []

    def test_a_pickled_store_reads_the_same_file_or_none(self, folder, tmp_path):
        path = tmp_path / "a.ozx"
        shutil.copy(folder / "stored.ozx", path)
        store = ArchiveStore.at(path)
        assert_same(store)
        assert_same(pickle.loads(pickle.dumps(store)))
        sent = pickle.dumps(store)
        os.replace(shutil.copy(folder / "deflated.zip", tmp_path / "other"), path)
        assert_same(store)  # which is open
        with pytest.raises(ValueError, match="another file than when it was opened"):
            msi.open_multiscale(pickle.loads(sent))

    @pytest.mark.parametrize("compressors", ["auto", None])
    def test_a_change_of_the_open_file_is_noticed(self, tmp_path, compressors):
        make_tree().pyramid.to_zarr(tmp_path / "a.zip", compressors=compressors)
        make_tree(PICTURE[:, ::-1]).pyramid.to_zarr(tmp_path / "b.zip", compressors=compressors)
        tree = msi.open_multiscale(tmp_path / "a.zip")
        (tmp_path / "a.zip").write_bytes((tmp_path / "b.zip").read_bytes())  # of the same length without codecs
        with pytest.raises(ValueError, match="has been changed since it was opened"):
            tree["scale0"]["image"].compute()

    def test_what_would_change_it_is_refused(self, folder):
        path = folder / "stored.ozx"
        before = path.read_bytes()
        for change in (
            lambda: msi.update(path, {"x": 0}),
            lambda: msi.add_levels(path, [2]),
            lambda: msi.write_labels(path, "cells", LABELS),
            lambda: msi.verify(path, repair=True),
        ):
            with pytest.raises(ValueError, match=r"nothing can be changed: unpack it .* msi_lazy.pack"):
                change()
        assert path.read_bytes() == before
        assert [other.name for other in folder.iterdir() if "unfinished" in other.name] == []


def rewrite(source, target, change):
    """Copy a zip file, with its members as ``change`` has them."""
    with zipfile.ZipFile(source) as packed:
        members = [(info.filename, packed.read(info)) for info in packed.infolist() if not info.is_dir()]
    with zipfile.ZipFile(target, "w") as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in change(members):
            packed.writestr(name, content)


class TestHostile:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda members: [*members, ("../evil", b"x")], "a path that leads out of it"),
            (lambda members: [*members, ("a/../../evil", b"x")], "a path that leads out of it"),
            (lambda members: [*members, ("/etc/passwd", b"x")], "a path that leads out of it"),
            (lambda members: [*members, ("a\\b", b"x")], "a path that leads out of it"),
            (lambda members: [*members, ("zarr.json", b"{}")], "'zarr.json' twice"),
        ],
    )
    def test_members(self, folder, tmp_path, change, words):
        rewrite(folder / "stored.ozx", tmp_path / "odd.zip", change)
        with pytest.raises(ValueError, match=words):
            msi.open_multiscale(tmp_path / "odd.zip")

    @pytest.mark.parametrize("length", [0, 3, 1000, -1, -300])
    def test_cut_short(self, folder, tmp_path, length):
        (tmp_path / "cut.zip").write_bytes((folder / "stored.ozx").read_bytes()[:length])
        with pytest.raises(ValueError, match="no zip file, or not a whole one"):
            msi.open_multiscale(tmp_path / "cut.zip")

    def test_cut_in_front(self, folder, tmp_path):
        content = (folder / "stored.ozx").read_bytes()
        (tmp_path / "cut.zip").write_bytes(content[5000:])
        with pytest.raises(ValueError, match=r"no zip file|does not fit|damaged"):
            msi.open_multiscale(tmp_path / "cut.zip").compute()

    def test_a_flipped_byte_is_noticed(self, folder, tmp_path):
        content = bytearray((folder / "stored.ozx").read_bytes())
        at = content.index(b'"multiscales"')
        content[at + 1] ^= 1
        (tmp_path / "bad.zip").write_bytes(content)
        with pytest.raises(ValueError, match="its checksum is another"):
            msi.open_multiscale(tmp_path / "bad.zip")

    def test_a_bomb_is_not_inflated(self, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("zarr.json", (folder / "a.zarr/zarr.json").read_bytes())
            with packed.open("scale0/zarr.json", "w", force_zip64=True) as member:
                for _ in range(70):
                    member.write(bytes(2**20))
        store = ArchiveStore.at(tmp_path / "bomb.zip")
        with pytest.raises(ValueError, match="metadata have at most"):
            zarr.open_group(store, path="scale0", mode="r")

    def test_no_more_is_inflated_than_the_directory_says(self, tmp_path):
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("zarr.json", b" " * 100_000)
        content = path.read_bytes()
        path.write_bytes(content.replace(struct.pack("<I", 100_000), struct.pack("<I", 50)))
        with pytest.raises(ValueError, match="does not inflate to 50 bytes"):
            msi.open_multiscale(path)

    def test_a_directory_without_end(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr("msi_lazy.storage.archive_index._MOST_DIRECTORY", 2**18)
        with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
            for number in range(6000):
                packed.writestr(f"{'a' * 40}{number}", b"")
        with pytest.raises(ValueError, match=r"no zip file, or not a whole one .*directory of more than 262,144 bytes"):
            msi.open_multiscale(tmp_path / "many.zip")

    def test_unusual_compression(self, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "odd.zip", "w", zipfile.ZIP_LZMA) as packed:
            packed.writestr("zarr.json", b"{}")
        with pytest.raises(ValueError, match="in an unusual compression"):
            msi.open_multiscale(tmp_path / "odd.zip")

    def test_the_command_line_says_it_in_one_line(self, folder, tmp_path):
        (tmp_path / "cut.zip").write_bytes((folder / "stored.ozx").read_bytes()[:1000])
        for command in ("info", "validate", "verify"):
            found = CliRunner().invoke(main, [command, str(tmp_path / "cut.zip")])
            assert found.exit_code == 1
            assert found.output.count("\n") == 1
            assert "no zip file, or not a whole one" in found.output
        found = CliRunner().invoke(main, ["verify", "--repair", str(folder / "stored.ozx")])
        assert "pack that again with msi-lazy pack FOLDER FILE" in found.output


class TestWriting:
    def test_ozx_is_as_rfc_9_recommends(self, tmp_path):
        """The root's zarr.json SHOULD be first, others follow breadth-first; stored; Zip64; sharded; a comment."""
        path = tmp_path / "a.ozx"
        make_tree().pyramid.to_zarr(path, labels={"cells": LABELS})
        assert os.listdir(tmp_path) == ["a.ozx"]
        with zipfile.ZipFile(path) as packed:
            assert packed.testzip() is None
            infos = packed.infolist()
            comment = json.loads(packed.comment)
        names = [info.filename for info in infos]
        documents = [name for name in names if name.endswith("zarr.json")]
        assert names[0] == "zarr.json"
        assert names[: len(documents)] == documents
        assert [name.count("/") for name in documents] == sorted(name.count("/") for name in documents)
        assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
        assert {info.extract_version for info in infos} == {45}
        assert comment == {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}
        assert b"PK\6\6" in path.read_bytes()[-250:]
        assert not [name for name in names if "/." in name or name.startswith(".")]
        assert_same(path)
        assert msi.open_multiscale(path, group="labels/cells")["scale2"]["image"].shape == (15, 20)
        with ZipStore(path, mode="r") as store:
            assert zarr.open_array(store, path="scale0/image", mode="r").shards is not None
            assert_same(store)
        assert msi.validate(path, decode="all").ok
        assert msi.verify(path).ok

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_zip(self, tmp_path, version):
        make_tree().pyramid.to_zarr(tmp_path / "b.zip", version=version)
        assert (tmp_path / "b.zip").is_file()
        assert_same(tmp_path / "b.zip")
        with zipfile.ZipFile(tmp_path / "b.zip") as packed:
            assert bool(packed.comment) == (version == "0.5")
            packed.extractall(tmp_path / "b.zarr")
        assert_same(tmp_path / "b.zarr")
        assert msi.validate(tmp_path / "b.zip").ok

    def test_the_same_image_gives_the_same_bytes(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.zip")
        make_tree().pyramid.to_zarr(tmp_path / "b.zip")
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    def test_an_old_one_is_replaced_at_the_end_and_read_until_then(self, tmp_path):
        path = tmp_path / "a.ozx"
        make_tree().pyramid.to_zarr(path)
        with pytest.raises(msi.StoreExistsError, match="exists already; pass mode='w'"):
            make_tree().pyramid.to_zarr(path)
        other = make_tree(PICTURE[:, ::-1])
        old = msi.open_multiscale(path)
        delayed = other.pyramid.to_zarr(path, mode="w", compute=False)
        assert_same(path)
        delayed.compute()
        assert_same(path, other)
        np.testing.assert_array_equal(old["scale0"]["image"], PICTURE)
        assert os.listdir(tmp_path) == ["a.ozx"]

    def test_labels_of_an_old_one_are_not_deleted_unasked(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.ozx", labels={"cells": LABELS})
        with pytest.raises(msi.StoreExistsError, match="holds the labels 'labels/cells'"):
            make_tree().pyramid.to_zarr(tmp_path / "a.ozx", mode="w")
        make_tree().pyramid.to_zarr(tmp_path / "a.ozx", mode="w", delete_labels=True)
        assert not [name for name in names_of(tmp_path / "a.ozx") if "labels" in name]

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("x.ozx", {"version": "0.4"}, "RFC-9 has Zarr v3 in .ozx"),
            ("x.zip", {"group": "a"}, "with one image, at its root"),
            ("x.zip", {"mode": "w", "replace": "in place"}, "replaced when the new is whole"),
            ("folder.zip", {}, "a directory with the name of a zip file"),
            ("folder.zip/", {}, "a directory with the name of a zip file"),
            ("text.zip", {"mode": "w"}, "no zip file with a Zarr hierarchy at its root"),
            ("inside.zip", {"mode": "w"}, "no zip file with a Zarr hierarchy at its root"),
        ],
    )
    def test_what_cannot_be_written(self, folder, tmp_path, name, options, words):
        (tmp_path / "folder.zip").mkdir()
        (tmp_path / "text.zip").write_text("notes")
        shutil.copy(folder / "inside.zip", tmp_path)
        before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
        with pytest.raises(ValueError, match=words):
            make_tree().pyramid.to_zarr(f"{tmp_path}/{name}", **options)
        assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before

    def test_places_without_files_are_refused(self, tmp_path):
        for store in ("memory://a.zip", ZipStore(tmp_path / "a.zip", mode="w")):
            with pytest.raises(ValueError, match="give the path of one on this machine"):
                make_tree().pyramid.to_zarr(store)

    def test_too_many_members_are_refused_first(self, tmp_path, monkeypatch):
        assert MOST_MEMBERS == 1_000_000
        monkeypatch.setattr(archive_checks, "MOST_MEMBERS", 20)
        with pytest.raises(ValueError, match="at most 20: give shards='auto'"):
            make_tree().pyramid.to_zarr(tmp_path / "a.zip")
        assert os.listdir(tmp_path) == []

    def test_a_source_in_it_is_not_overwritten(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.zip")
        with pytest.raises(ValueError, match="overlap: writing would destroy the source"):
            msi.open_multiscale(tmp_path / "a.zip").pyramid.to_zarr(tmp_path / "a.zip", mode="w")


def test_a_zip_file_is_upgraded_to_a_directory_or_to_another(tmp_path):
    make_tree().pyramid.to_zarr(tmp_path / "a.zip", version="0.4")
    msi.upgrade(tmp_path / "a.zip", tmp_path / "b.zarr")
    msi.pack(tmp_path / "b.zarr", tmp_path / "b.ozx")
    assert_same(tmp_path / "b.ozx")
    msi.upgrade(tmp_path / "a.zip", tmp_path / "c.ozx")
    assert (tmp_path / "c.ozx").read_bytes() == (tmp_path / "b.ozx").read_bytes()


def test_plates(tmp_path):
    msi.write_plate(tmp_path / "p.ozx", {("A", "1", 0): make_tree(), ("B", "2", 0): make_tree()})
    assert os.listdir(tmp_path) == ["p.ozx"]
    plate = msi.open_plate(tmp_path / "p.ozx")
    assert list(plate) == [("A", "1", 0), ("B", "2", 0)]
    np.testing.assert_array_equal(plate["B", "2", 0]["scale1"]["image"], make_tree()["scale1"]["image"])
    assert msi.validate(tmp_path / "p.ozx").ok


class Killed(BaseException):
    """A kill, as far as a test can tell one from an error."""


class TestInterruptions:
    def write(self, path, source, **options):
        data = da.from_array(source, chunks=32, name="it", asarray=True, meta=np.empty((0, 0), "u2"))
        tree = msi.to_multiscale(xr.DataArray(data, dims=("y", "x")), [2], chunks=32, block_bytes=2 * 32 * 32)
        tree.pyramid.to_zarr(path, source_id="it", **options)

    def test_resumed(self, tmp_path, monkeypatch):
        path, picture = tmp_path / "a.ozx", np.random.default_rng(0).integers(0, 99, (160, 160), "u2")
        failing = Source(picture)
        read = failing.__class__.__getitem__

        def fail(self, key):
            if len(self.windows) > 2:
                raise OSError(5, "Input/output error")
            return read(self, key)

        with monkeypatch.context() as patch:
            patch.setattr(Source, "__getitem__", fail)
            with pytest.raises(OSError, match="Input/output"):
                self.write(path, failing)
        assert not path.exists()
        with pytest.raises(msi.UnfinishedImageError, match="resume it"):
            msi.open_multiscale(path)
        with pytest.raises(msi.StoreExistsError, match="holds an incomplete image; resume=True"):
            self.write(path, Source(picture))
        again = Source(picture)
        self.write(path, again, resume=True)
        assert 0 < len(again.windows) < 25
        np.testing.assert_array_equal(next(iter(msi.open_multiscale(path)["scale0"].values())), picture)
        assert os.listdir(tmp_path) == ["a.ozx"]

    def killed(self, monkeypatch, where, name, path, after):
        call = getattr(where, name)

        def kill(*arguments):
            if after:
                call(*arguments)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(where, name, kill)
            with pytest.raises(Killed):
                self.write(path, Source(PICTURE[0]))

    @pytest.mark.parametrize("after", [False, True])
    def test_killed_while_it_is_packed(self, tmp_path, monkeypatch, after):
        path = tmp_path / "a.ozx"
        self.killed(monkeypatch, replacement, "pack_directory", path, after)
        assert not path.exists()
        again = Source(PICTURE[0])
        self.write(path, again, resume=True)
        assert again.windows == []
        assert_complete(tmp_path)

    def test_killed_when_it_is_in_its_place(self, tmp_path, monkeypatch):
        path = tmp_path / "a.ozx"
        self.killed(monkeypatch, StoredLedger, "remove_swapped", path, False)
        state = path.stat()
        msi.open_multiscale(path)
        self.write(path, Source(PICTURE[0]), resume=True)
        assert path.stat() == state
        assert_complete(tmp_path)

    def test_what_another_wrote_meanwhile_is_kept(self, tmp_path, monkeypatch):
        path = tmp_path / "a.ozx"
        self.killed(monkeypatch, replacement, "pack_directory", path, False)
        make_tree().pyramid.to_zarr(tmp_path / "b.zip")
        (tmp_path / "b.zip").rename(path)
        with pytest.raises(msi.StoreExistsError, match="written by another since this write began"):
            self.write(path, Source(PICTURE[0]), resume=True)
        assert_same(path)
        path.unlink()
        self.write(path, Source(PICTURE[0]), resume=True)
        assert_complete(tmp_path)


def assert_complete(folder):
    assert os.listdir(folder) == ["a.ozx"]
    np.testing.assert_array_equal(next(iter(msi.open_multiscale(folder / "a.ozx")["scale0"].values())), PICTURE[0])


class TestPack:
    def test_labels_and_collections(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", group="one", labels={"cells": LABELS})
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", group="two")
        msi.pack(tmp_path / "a.zarr", tmp_path / "a.ozx")
        assert_same(tmp_path / "a.ozx", group="two")
        assert msi.validate(tmp_path / "a.ozx").ok
        with pytest.raises(msi.StoreExistsError, match="exists already"):
            msi.pack(tmp_path / "a.zarr", tmp_path / "a.ozx")
        before = (tmp_path / "a.ozx").read_bytes()
        msi.pack(tmp_path / "a.zarr", tmp_path / "a.ozx", mode="w")
        assert (tmp_path / "a.ozx").read_bytes() == before

    def test_what_is_incomplete_is_refused(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr")
        (tmp_path / "a.zarr/.msi_lazy-unfinished-update").write_text("{}")
        with pytest.raises(msi.UnfinishedImageError, match="incomplete"):
            msi.pack(tmp_path / "a.zarr", tmp_path / "a.ozx")
        assert os.listdir(tmp_path) == ["a.zarr"]

    def test_links_that_would_be_left_out_and_files_without_an_end_are_refused(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr")
        chunk, level = tmp_path / "a.zarr/scale1/image/c/0/0/0", tmp_path / "a.zarr/scale0"
        chunk.rename(tmp_path / "chunk")
        chunk.symlink_to(tmp_path / "chunk")  # what it leads to is packed
        msi.pack(tmp_path / "a.zarr", tmp_path / "new/a.ozx")
        assert_same(tmp_path / "new/a.ozx")
        level.rename(tmp_path / "level")
        for make in (lambda: level.symlink_to(tmp_path / "level"), lambda: level.symlink_to("nowhere")):
            make()
            with pytest.raises(ValueError, match="scale0 is a link to a directory, or no regular file"):
                msi.pack(tmp_path / "a.zarr", tmp_path / "b.ozx")
            level.unlink()
        (tmp_path / "level").rename(level)
        if hasattr(os, "mkfifo"):
            os.mkfifo(level / "pipe")
            with pytest.raises(ValueError, match="pipe is a link to a directory, or no regular file"):
                msi.pack(tmp_path / "a.zarr", tmp_path / "b.ozx")
        assert not (tmp_path / "b.ozx").exists()

    def test_what_is_no_image_is_not_overwritten(self, folder, tmp_path):
        (tmp_path / "notes.zip").write_text("mine")
        with pytest.raises(ValueError, match="no zip file with a Zarr hierarchy at its root"):
            msi.pack(folder / "a.zarr", tmp_path / "notes.zip", mode="w")
        assert (tmp_path / "notes.zip").read_text() == "mine"

    def test_an_array_is_refused(self, folder, tmp_path):
        with pytest.raises(FileNotFoundError, match="no Zarr group at"):
            msi.pack(folder / "a.zarr/scale0/image", tmp_path / "a.ozx")

    def test_a_failure_leaves_nothing(self, tmp_path, monkeypatch):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr")
        monkeypatch.setattr("msi_lazy.storage.packing.shutil.copyfileobj", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            msi.pack(tmp_path / "a.zarr", tmp_path / "a.ozx")
        assert os.listdir(tmp_path) == ["a.zarr"]

    def test_the_command(self, tmp_path):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", version="0.4")
        call = ["pack", str(tmp_path / "a.zarr")]
        assert CliRunner().invoke(main, [*call, str(tmp_path / "a.zip")]).exit_code == 0
        assert_same(tmp_path / "a.zip")
        found = CliRunner().invoke(main, [*call, str(tmp_path / "a.zip")])
        assert "pass --overwrite" in found.output
        found = CliRunner().invoke(main, [*call, str(tmp_path / "a.ozx")])
        assert "RFC-9 has Zarr v3" in found.output


def test_many_members_and_large_ones_are_in_zip64(tmp_path):
    """More members than a plain end record counts."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}").write_bytes(bytes(number))
    specification = msi.api.write.find_specification("0.5")
    pack_directory(tmp_path / "in", tmp_path / "a.zip", specification)
    content = (tmp_path / "a.zip").read_bytes()
    at = content.rindex(b"PK\6\6")
    members, _, size, offset = struct.unpack_from("<QQQQ", content, at + 24)
    assert (members, offset + size) == (3, at)
    assert zlib.crc32(content[offset : offset + 4]) == zlib.crc32(b"PK\1\2")
    assert sorted(names_of(tmp_path / "a.zip")) == ["0", "1", "2"]
    assert Path(tmp_path / "a.zip").stat().st_size == len(content)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere(tmp_path, seed):
    """Old or new at any moment, and resumed to the files of a write that was not killed."""
    chance, case = random.Random(seed), {"method": "mean", "shards": "auto"}
    killing.make_source(tmp_path)
    old, path = make_tree(), tmp_path / "a.ozx"
    if seed % 2:
        old.pyramid.to_zarr(path)
    killing.write(tmp_path, tmp_path / "whole.ozx", case)
    for _ in range(3):
        process = killing.start(tmp_path, path, case, resume=True, mode="w")
        if not killing.kill_after(process, chance.uniform(0.2, 2.5)):
            break
        if path.exists() and len(msi.open_multiscale(path).children) == 3:
            assert_same(path, old)
        elif not path.exists():
            with pytest.raises((FileNotFoundError, msi.UnfinishedImageError)):
                msi.open_multiscale(path)
    is_new = path.exists() and len(msi.open_multiscale(path).children) == 4
    if (tmp_path / ".a.ozx.msi_lazy-unfinished").exists() or not is_new:
        killing.write(tmp_path, path, case, resume=True, mode="w")
    assert sorted(names_of(path)) == sorted(names_of(tmp_path / "whole.ozx"))
    assert_same(path, msi.open_multiscale(tmp_path / "whole.ozx"))
    assert sorted(os.listdir(tmp_path)) == ["a.ozx", "source.zarr", "whole.ozx"]
