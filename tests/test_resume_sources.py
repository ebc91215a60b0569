"""A write is resumed from the same source alone, whatever store it lies in, and the same one is not refused."""

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, ObjectStore, ZipStore

import msi_lazy as msi
from tests.support.opaque import RenamedStore
from tests.support.optional import require
from tests.support.serving import serve

PIXELS = np.random.default_rng(0).integers(1, 60000, (32, 64), dtype="u2")


def begin(source, target, **options):
    tree = msi.to_multiscale(msi.to_spatial_image(source), [2], chunks=8)
    tree.pyramid.to_zarr(target, compute=False, **options)


def store_two(store):
    for name, pixels in (("a", PIXELS), ("b", PIXELS[::-1])):
        zarr.create_array(store, name=name, data=pixels, chunks=(8, 8), overwrite=True)


@pytest.fixture
def served(tmp_path):
    require("aiohttp")
    with serve(tmp_path) as url:
        yield f"{url}/two.zarr"


STORES = {
    "zip": lambda path, url: ZipStore(path / "two.zip", mode="r"),
    "zip, fsspec": lambda path, url: FsspecStore.from_url(f"zip://::file://{path}/two.zip", read_only=True),
    "local": lambda path, url: LocalStore(path / "two.zarr"),
    "a user's wrapper": lambda path, url: RenamedStore(LocalStore(path / "two.zarr")),
    "obstore": lambda path, url: ObjectStore(require("obstore.store").LocalStore(path / "two.zarr")),
    "http": lambda path, url: FsspecStore.from_url(url, read_only=True),
    "http, obstore": lambda path, url: ObjectStore(
        require("obstore.store").HTTPStore.from_url(url, client_options={"allow_http": True})
    ),
}


@pytest.mark.parametrize("kind", STORES)
def test_an_array_is_that_of_its_path_in_a_store(kind, tmp_path, served):
    store_two(LocalStore(tmp_path / "two.zarr"))
    with ZipStore(tmp_path / "two.zip", mode="w") as packed:
        store_two(packed)
    store = STORES[kind](tmp_path, served)
    target = tmp_path / "target.zarr"
    begin(zarr.open_array(store, path="a", mode="r"), target)
    with pytest.raises(msi.ResumeError, match="place"):
        begin(zarr.open_array(store, path="b", mode="r"), target, resume=True)
    begin(zarr.open_array(STORES[kind](tmp_path, served), path="a", mode="r"), target, resume=True)


def test_a_wrapped_array_that_was_written_again_is_another(tmp_path):
    store = RenamedStore(LocalStore(tmp_path / "two.zarr"))
    store_two(store)
    begin(zarr.open_array(store, path="a", mode="r"), tmp_path / "target.zarr")
    store_two(store)
    with pytest.raises(msi.ResumeError, match="modified"):
        begin(zarr.open_array(store, path="a", mode="r"), tmp_path / "target.zarr", resume=True)


def test_what_icechunk_holds_cannot_be_identified(tmp_path):
    icechunk = require("icechunk")
    arrays = []
    for name, pixels in (("a", PIXELS), ("b", PIXELS[::-1])):
        repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / name)))
        session = repository.writable_session("main")
        zarr.create_array(session.store, name="image", data=pixels, chunks=(8, 8))
        session.commit("an image")
        arrays.append(zarr.open_array(repository.readonly_session("main").store, path="image", mode="r"))
    begin(arrays[0], tmp_path / "target.zarr")
    with pytest.raises(msi.ResumeError, match="source_id="):
        begin(arrays[1], tmp_path / "target.zarr", resume=True)
