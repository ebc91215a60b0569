"""Chunks and shards of an image that others read: each is the old one or the new one, whole, at any moment."""

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, LoggingStore, MemoryStore

import msi_lazy as msi
from msi_lazy.plan.windows import Interval
from msi_lazy.storage.write_units import replace_window
from tests.support.damage import samples, truncate, write
from tests.support.failing_writes import FailingStore
from tests.support.killing import contents

FORMS = {"0.5": {}, "0.4": {"version": "0.4"}, "shards": {"shards": 32}, "zstd": {"compressors": "auto"}}


def edit(path):
    """Edit all of level 0, and return the files of the chunks of level 1."""
    zarr.open_array(path / "scale0/image")[:] = 9
    return sorted(file for file in (path / "scale1/image").rglob("*") if file.is_file() and file.name[0].isdigit())


@pytest.mark.parametrize("form", FORMS)
def test_whoever_has_opened_a_chunk_before_an_update_reads_the_old_one_to_its_end(form, tmp_path):
    write(tmp_path / "a.zarr", **FORMS[form])
    files = edit(tmp_path / "a.zarr")
    before = [file.read_bytes() for file in files]
    handles = [file.open("rb") for file in files]
    msi.update(tmp_path / "a.zarr", (slice(None), slice(None)))
    assert [handle.read() for handle in handles] == before
    assert not [file for file, old in zip(files, before, strict=True) if file.read_bytes() == old]
    for handle in handles:
        handle.close()
    write(tmp_path / "b.zarr", np.full_like(samples(), 9), **FORMS[form])
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


class HistoryStore(LoggingStore):
    """A store that remembers what was done to chunks, in order."""

    def __init__(self, store, history=None):
        super().__init__(store, log_level="ERROR")
        self.history = [] if history is None else history

    def with_read_only(self, read_only=False):
        return HistoryStore(self._store.with_read_only(read_only), self.history)

    async def get(self, key, *args, **kwargs):
        self.history.append(("get", key))
        return await self._store.get(key, *args, **kwargs)

    async def set(self, key, value):
        self.history.append(("set", key))
        await self._store.set(key, value)

    async def delete(self, key):
        self.history.append(("delete", key))
        await self._store.delete(key)


@pytest.mark.parametrize("shards", [None, 32])
def test_nothing_of_an_old_chunk_is_read_or_removed_before_the_new_one_is_stored(shards):
    store = HistoryStore(MemoryStore())
    write(store, shards=shards)
    zarr.open_array(store, path="scale0/image")[:, :30] = 9
    store.history.clear()
    msi.update(store, (slice(None), slice(30)))
    coarsest = [action for action, key in store.history if key.startswith("scale2/image/c")]
    assert coarsest
    assert set(coarsest) == {"set"}


@pytest.mark.parametrize("left", range(4))
@pytest.mark.parametrize("form", ["0.5", "0.4", "shards"])
def test_a_store_that_fails_keeps_what_it_has(form, left):
    store = FailingStore(MemoryStore())
    write(store, **FORMS[form])
    old = [zarr.open_array(store, path=f"scale{level}/image", mode="r")[:] for level in (1, 2)]
    edited = samples()
    edited[:, 40:] = 9
    zarr.open_array(store, path="scale0/image")[:, 40:] = 9
    write(rebuilt := MemoryStore(), edited, **FORMS[form])
    store.state["left"] = left
    with pytest.raises(OSError, match="no space"):
        msi.update(store, (slice(None), slice(40, None)))
    for level, before in enumerate(old, start=1):
        now, new = (zarr.open_array(one, path=f"scale{level}/image", mode="r")[:] for one in (store, rebuilt))
        assert ((now == before) | (now == new)).all()
    store.state["left"] = 10**9
    msi.update(store, (slice(None), slice(40, None)))
    assert msi.verify(store).ok


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opened", [LocalStore, lambda path: LoggingStore(LocalStore(path), log_level="ERROR")])
def test_what_is_stored_of_each_unit_is_returned_and_an_empty_one_removed(form, opened, tmp_path):
    write(tmp_path / "a.zarr", **FORMS[form])
    array = zarr.open_array(opened(tmp_path / "a.zarr"), path="scale1/image", mode="r+")
    new = array[:]
    new[:32, :32] = 0
    stored = replace_window(array, tuple(Interval(0, n) for n in array.shape), new)
    assert stored[0, 0] is None
    directory = tmp_path / "a.zarr/scale1/image"
    names = {unit: array.metadata.encode_chunk_key(unit) for unit in stored}
    for unit, content in stored.items():
        file = directory / names[unit]
        assert (file.read_bytes() if file.exists() else None) == content
    assert (zarr.open_array(directory, mode="r")[:] == new).all()
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_zeros_of_the_other_sign_and_not_a_number_are_stored_as_a_write_stores_them(fill, tmp_path):
    array = np.full((40, 40), fill, "f4")
    array[:16, :16] = -0.0
    array[20:, 20:] = 2
    write(tmp_path / "a.zarr", array, method="nearest", compressors="auto")
    before = contents(tmp_path / "a.zarr")
    msi.update(tmp_path / "a.zarr", (slice(None), slice(None)))
    assert contents(tmp_path / "a.zarr") == before


@pytest.mark.parametrize("form", ["0.5", "0.4", "shards"])
def test_a_repair_too_reads_nothing_of_a_damaged_chunk_before_it_has_replaced_it(form, tmp_path):
    write(tmp_path / "a.zarr", **FORMS[form])
    sound = contents(tmp_path / "a.zarr")
    files = [file for file in (tmp_path / "a.zarr/scale1/image").rglob("*") if file.is_file() and file.name.isdigit()]
    for file in files:
        truncate(file)
    handles = [file.open("rb") for file in files]
    damaged = [file.read_bytes() for file in files]
    report = msi.verify(tmp_path / "a.zarr", repair=True)
    assert report.ok
    assert [handle.read() for handle in handles] == damaged
    assert contents(tmp_path / "a.zarr") == sound
    for handle in handles:
        handle.close()
