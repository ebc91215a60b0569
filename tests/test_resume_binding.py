"""What a resumed write is bound to, and what it may not touch: cases in which a pixel or a file would be lost."""

import importlib
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore, WrapperStore, ZipStore

import msi_lazy as msi
from msi_lazy.methods.code import identify_method
from tests.support.failing_writes import PICTURE, failed_write, halved, snapshot

BLOCKS = {"chunks": 8, "block_bytes": 2 * 32**2}


def tree_of(source, method="mean", **options):
    return msi.to_multiscale(msi.to_spatial_image(source, dims="yx"), [2, 2, 2], method=method, **{**BLOCKS, **options})


def test_labels_in_another_order_are_the_same_write():
    labels = {name: tree_of((PICTURE // n).astype("u4"), "mode") for name, n in (("b", 700), ("a", 900))}
    store = failed_write(tree_of(PICTURE), 900, labels=labels)
    tree_of(PICTURE).pyramid.to_zarr(store, resume=True, labels=dict(reversed(labels.items())))
    whole = MemoryStore()
    tree_of(PICTURE).pyramid.to_zarr(whole, labels=dict(reversed(labels.items())))
    assert snapshot(store) == snapshot(whole)


def test_other_blocks_are_another_write_though_there_are_as_many():
    picture = msi.to_spatial_image(np.random.default_rng(0).integers(0, 9, (448, 448), dtype="u2"), dims="yx")
    one, other = (msi.to_multiscale(picture, [2, 2], chunks=32, block_bytes=size) for size in ("20 KiB", "24 KiB"))
    assert one.pyramid.explain().tasks == other.pyramid.explain().tasks
    store = failed_write(one, 60)
    with pytest.raises(msi.ResumeError, match=r"blocks\.1\.lengths"):
        other.pyramid.to_zarr(store, resume=True)


def first(array, factors):
    return array[:: factors[0], :: factors[1]]


def test_a_registered_method_is_known_by_its_code():
    def corner(array, factors):
        return array[:: factors[0], :: factors[1]]

    def other(array, factors):
        return array[factors[0] - 1 :: factors[0], factors[1] - 1 :: factors[1]]

    one, two = (msi.Method.from_function(function, name="mine") for function in (corner, other))
    assert identify_method(one) != identify_method(two)
    assert identify_method(one) == identify_method(msi.Method.from_function(corner, name="mine"))


@pytest.mark.parametrize(
    "change",
    [{"edge": "reflect"}, {"radius": lambda factor: 3}, {"position": "corner"}, {"keeps_values": True}],
    ids=["edge", "radius", "position", "keeps_values"],
)
def test_every_field_of_a_method_counts(change):
    given = {"radius": lambda factor: 2, "edge": "replicate"}
    one, other = (msi.Method.from_function(first, **{**given, **more}) for more in ({}, change))
    assert identify_method(one) != identify_method(other)


def test_a_function_in_a_module_is_known_by_its_code_and_not_by_its_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    told = []
    for part in ("[::2, ::2]", "[1::2, ::2]"):
        (tmp_path / "my_reducers.py").write_text(
            f"def f(array, factors):\n    return g(array)\n\ndef g(a): return a{part}\n"
        )
        sys.modules.pop("my_reducers", None)
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        told.append(identify_method(msi.Method.from_function(importlib.import_module("my_reducers").f)))
    assert told[0] != told[1]


def test_code_is_told_the_same_way_in_every_process():
    import subprocess

    program = (
        "import numba, numpy as np, msi_lazy as msi\n"
        "from functools import partial\n"
        "from msi_lazy.methods.code import identify_method\n"
        "@numba.njit\ndef compiled(array, factors):\n    return array[::2, ::2]\n"
        "class Reducer:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __call__(self, array, factors): return array[:: self.n, :: self.n]\n"
        "def scaled(scale, array, factors): return {'b', 'a', 'c'} and array[::2, ::2] * scale\n"
        "for f in (compiled, Reducer(2), partial(scaled, 3)):\n"
        "    print(identify_method(msi.Method.from_function(f, name='f')))\n"
    )
    command = [sys.executable, "-c", program]
    first_time, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first_time == second
    assert first_time.count("kernel") == 3


def test_what_a_zip_file_or_a_store_in_memory_holds_may_have_changed(tmp_path):
    def zipped(value):
        with ZipStore(tmp_path / "a.zip", mode="w") as made:
            zarr.create_array(made, data=PICTURE + value)
        return zarr.open_array(ZipStore(tmp_path / "a.zip", mode="r"), mode="r")

    store = failed_write(tree_of(zipped(0)), 250)
    with pytest.raises(msi.ResumeError, match="modified"):
        tree_of(zipped(1)).pyramid.to_zarr(store, resume=True)
    in_memory = zarr.create_array(MemoryStore(), data=PICTURE)
    store = failed_write(tree_of(in_memory), 250)
    with pytest.raises(msi.ResumeError, match=r"modified.*source_id="):
        tree_of(in_memory).pyramid.to_zarr(store, resume=True)


def test_another_node_of_the_tree_is_another_write():
    def tree(length):
        found = tree_of(PICTURE)
        found["extra"] = xr.DataTree(xr.Dataset({"table": ("row", np.arange(length))}))
        return found

    store = failed_write(tree(3), 250)
    with pytest.raises(msi.ResumeError, match="nodes"):
        tree(4).pyramid.to_zarr(store, resume=True)


@pytest.mark.parametrize("name", ["film.tif.partial", "a.partial", "sub.partial/x", "notes.txt"])
def test_foreign_files_are_kept_and_no_blank_place(tmp_path, name):
    path = tmp_path / "o.zarr" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(msi.StoreExistsError):
        tree_of(PICTURE).pyramid.to_zarr(tmp_path / "o.zarr", resume=True)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("key", ["img/README.txt", "img/sub/other/data.bin", "img/deep/arr/zarr.json"])
def test_foreign_keys_below_an_empty_group_are_kept(key):
    store = MemoryStore()
    zarr.open_group(store, path="img", mode="w")
    store._store_dict[key] = store._store_dict["img/zarr.json"]
    with pytest.raises(msi.StoreExistsError):
        tree_of(PICTURE).pyramid.to_zarr(store, group="img", resume=True)
    assert key in store._store_dict


def test_a_level_that_is_a_link_is_unlinked_and_what_it_leads_to_kept(tmp_path):
    tree_of(PICTURE).pyramid.to_zarr(tmp_path / "o.zarr")
    (tmp_path / "o.zarr/scale1").rename(tmp_path / "elsewhere")
    (tmp_path / "o.zarr/scale1").symlink_to(tmp_path / "elsewhere")
    tree_of(PICTURE).pyramid.to_zarr(tmp_path / "o.zarr", mode="w")
    assert not (tmp_path / "o.zarr/scale1").is_symlink()
    assert (tmp_path / "elsewhere/image/zarr.json").exists()


class Undeletable(WrapperStore):
    """A store that deletes a few keys, one by one, and no more."""

    def __init__(self, store, left=10**9):
        super().__init__(store)
        self.state = {"left": left}

    def with_read_only(self, read_only=False):
        other = super().with_read_only(read_only)
        other.state = self.state
        return other

    async def delete(self, key):
        if key in self._store._store_dict:
            if self.state["left"] <= 0:
                raise OSError("killed")
            self.state["left"] -= 1
        await super().delete(key)

    async def delete_dir(self, prefix):
        for key in [key for key in reversed(self._store._store_dict) if key.startswith(f"{prefix}/")]:  # chunks first
            await self.delete(key)


@pytest.mark.parametrize("deleted", [0, 1, 2, 3, 4, 5, *range(10, 120, 10)])
def test_nothing_half_deleted_opens_as_an_image(deleted):
    picture = PICTURE[:48, :48]
    labels = {"cells": tree_of((picture // 700).astype("u4") + 1, "mode")}
    store = Undeletable(MemoryStore())
    tree_of(picture).pyramid.to_zarr(store, labels=labels)
    store.state["left"] = deleted
    with pytest.raises(OSError, match="killed"):
        tree_of(picture + 1).pyramid.to_zarr(store, mode="w", delete_labels=True)
    for group, whole in (("", picture), ("labels/cells", picture // 700 + 1)):
        try:
            found = msi.open_multiscale(store._store, group=group)
        except (ValueError, FileNotFoundError):
            continue
        np.testing.assert_array_equal(found["scale0"].image, whole)
    store.state["left"] = 10**9
    tree_of(picture + 1).pyramid.to_zarr(store, resume=True)
    whole = MemoryStore()
    tree_of(picture + 1).pyramid.to_zarr(whole)
    assert snapshot(store) == snapshot(whole)


def test_no_image_is_put_into_an_unfinished_one():
    store = failed_write(halved(PICTURE)[0], 250)
    with pytest.raises(ValueError, match="is an image itself"):
        tree_of(PICTURE).pyramid.to_zarr(store, group="inner")


def test_a_ledger_that_is_broken_ends_nothing_for_good():
    store = failed_write(tree_of(PICTURE), 250)
    (document,) = (key for key in store._store._store_dict if key.endswith("blocks/zarr.json"))
    store._store._store_dict[document] = store._store._store_dict[document][:40]
    with pytest.raises(msi.ResumeError, match="mode='w'"):
        tree_of(PICTURE).pyramid.to_zarr(store, resume=True)
    tree_of(PICTURE).pyramid.to_zarr(store, mode="w")
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0"].image, PICTURE)


@pytest.mark.parametrize("change", [{"run": "../.."}, {"run": None}, {"nested": ["../other"]}, {"nested": ["/etc"]}])
def test_a_ledger_leads_nowhere_else(change):
    store = failed_write(tree_of(PICTURE), 250)
    ledger = zarr.open_array(store, path=".msi_lazy-unfinished/blocks")
    ledger.attrs.update(change)
    with pytest.raises(msi.ResumeError):
        tree_of(PICTURE).pyramid.to_zarr(store, resume=True)
    tree_of(PICTURE).pyramid.to_zarr(store, mode="w")
    assert not any("unfinished" in key for key in store._store._store_dict)


def test_marks_of_another_run_count_for_nothing():
    """Tasks of a dead run that mark blocks late, on a cluster, do not make the next one leave any out."""
    store = failed_write(tree_of(PICTURE), 250)
    stray = {key: value for key, value in store._store._store_dict.items() if "/c/" in key and "unfinished" in key}
    store.state["left"] = 250
    with dask.config.set(scheduler="synchronous"), pytest.raises(OSError, match="no space"):
        tree_of(PICTURE + 1).pyramid.to_zarr(store, mode="w")
    store._store._store_dict |= stray
    store.state["left"] = 10**9
    tree_of(PICTURE + 1).pyramid.to_zarr(store, resume=True)
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0"].image, PICTURE + 1)
    assert not any("unfinished" in key for key in store._store._store_dict)


def test_an_array_in_memory_over_a_file_is_read_from_memory(tmp_path):
    np.save(tmp_path / "a.npy", PICTURE)
    changed = np.load(tmp_path / "a.npy", mmap_mode="c")
    changed[:] += 1
    tree = tree_of(changed)
    np.testing.assert_array_equal(tree["scale0"].image, PICTURE + 1)
    assert Path(tmp_path / "a.npy").exists()
