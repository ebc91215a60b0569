"""Stores beyond local directories: S3 for real, obstore, HTTP, zip files, Icechunk."""

import shutil
import time
from inspect import signature
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import ObjectStore, ZipStore

import msi_lazy as msi
from tests.support.opaque import OpaqueStore
from tests.support.optional import require
from tests.support.serving import serve

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def make_tree(shape=(2, 70, 90)):
    array = np.random.default_rng(0).integers(1, 60000, shape, dtype="u2")
    image = msi.to_spatial_image(array, dims="cyx", c_coords=["a", "b"])
    return msi.to_multiscale(image, [2, 2], chunks=32, block_bytes=2**13)


def assert_same(store, tree, **options):
    back = msi.open_multiscale(store, **options)
    assert list(back.children) == list(tree.children)
    for level in tree.children:
        np.testing.assert_array_equal(back[level].image, tree[level].image)
    assert back["scale0"].c.values.tolist() == ["a", "b"]


@pytest.fixture(scope="module")
def endpoint():
    server = require("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint, request):
    """A fresh bucket: its name, and the options of fsspec's file system."""
    bucket = f"bucket-{abs(hash(request.node.name))}"
    require("s3fs")
    require("boto3").client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS).create_bucket(Bucket=bucket)
    return bucket, {"endpoint_url": endpoint, "key": "test", "secret": "test"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_s3_by_threads(s3, version):
    bucket, options = s3
    tree = make_tree()
    url = f"s3://{bucket}/deep/cells.ome.zarr"
    tree.pyramid.to_zarr(url, version=version, storage_options=options, windows="auto")
    assert_same(url, tree, storage_options=options)
    with pytest.raises(msi.StoreExistsError):
        tree.pyramid.to_zarr(url, version=version, storage_options=options)
    tree.pyramid.to_zarr(url, mode="w", version=version, storage_options=options)
    assert_same(url, tree, storage_options=options)


def test_s3_by_worker_processes(s3):
    from distributed import Client, LocalCluster

    bucket, options = s3
    tree = make_tree()
    url = f"s3://{bucket}/cells.ome.zarr"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        tree.pyramid.to_zarr(url, shards="auto", storage_options=options)
        msi.write_labels(url, "spots", make_labels(), storage_options=options)
    assert_same(url, tree, storage_options=options)
    group = zarr.open_group(url, mode="r", storage_options=options)
    assert group["labels"].attrs["ome"]["labels"] == ["spots"]


def make_labels():
    labels = msi.to_spatial_image(np.arange(70 * 90, dtype="u4").reshape(70, 90) // 500, dims="yx")
    return msi.to_multiscale(labels, [2, 2], method="mode", chunks=32)


def test_levels_are_added_on_s3(s3):
    bucket, options = s3
    tree = make_tree()
    url = f"s3://{bucket}/cells.ome.zarr"
    msi.to_multiscale(tree["scale0"].image, [], chunks=32).pyramid.to_zarr(url, storage_options=options)
    msi.add_levels(url, [2, 2], storage_options=options)
    assert_same(url, tree, storage_options=options)


def test_a_source_on_s3_that_was_written_again_is_another(s3, tmp_path):
    bucket, options = s3
    url, target = f"s3://{bucket}/source.zarr", tmp_path / "target.zarr"

    def begin(**resuming):
        source = zarr.open_array(url, mode="r", storage_options=options)
        tree = msi.to_multiscale(msi.to_spatial_image(source), [2], chunks=8)
        tree.pyramid.to_zarr(target, compute=False, **resuming)

    for value in (1, 2):
        zarr.create_array(url, data=np.full((32, 32), value, "u2"), overwrite=True, storage_options=options)
        if value == 1:
            begin()
            begin(resume=True)
            time.sleep(1.1)  # S3 states whole seconds
    with pytest.raises(msi.ResumeError, match="modified"):
        begin(resume=True)


@pytest.fixture
def files(s3, endpoint):
    """Objects below ``cells.ome.zarr`` in the bucket, through obstore."""
    return require("obstore.store").S3Store(
        s3[0],
        prefix="cells.ome.zarr",
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def test_s3_through_obstore(files):
    tree = make_tree()
    tree.pyramid.to_zarr(ObjectStore(files))
    assert_same(ObjectStore(files, read_only=True), tree)
    with pytest.raises(msi.StoreExistsError):
        tree.pyramid.to_zarr(ObjectStore(files))


def test_a_source_on_s3_is_not_its_own_target_by_another_way(s3, files):
    bucket, options = s3
    url, tree = f"s3://{bucket}/cells.ome.zarr", make_tree()
    tree.pyramid.to_zarr(url, storage_options=options)
    with pytest.raises(ValueError, match="overlap"):
        msi.open_multiscale(ObjectStore(files)).pyramid.to_zarr(url, mode="w", storage_options=options)
    for store in (ObjectStore(files), OpaqueStore(ObjectStore(files))):
        with pytest.raises(ValueError, match="overlap"):
            msi.open_multiscale(url, storage_options=options).pyramid.to_zarr(store, mode="w")
    assert_same(url, tree, storage_options=options)
    msi.open_multiscale(ObjectStore(files)).pyramid.to_zarr(f"s3://{bucket}/others.zarr", storage_options=options)
    assert_same(f"s3://{bucket}/others.zarr", tree, storage_options=options)


def test_local_files_through_obstore(tmp_path):
    tree = make_tree()
    tree.pyramid.to_zarr(ObjectStore(require("obstore.store").LocalStore(tmp_path)))
    assert_same(tmp_path, tree)


def test_http_is_read(tmp_path):
    tree = make_tree()
    tree.pyramid.to_zarr(tmp_path / "cells.ome.zarr")
    with serve(tmp_path) as url:
        assert_same(f"{url}/cells.ome.zarr", tree)


def test_a_pyramid_is_written_in_one_session_of_icechunk_and_committed(tmp_path):
    icechunk = require("icechunk")
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repository")))
    session = repository.writable_session("main")
    tree = make_tree()
    tree.pyramid.to_zarr(session.store)
    assert_same(session.store, tree)
    session.commit("a pyramid")
    assert_same(repository.readonly_session("main").store, tree)


def test_a_pyramid_is_replaced_and_verified_in_a_session_of_icechunk(tmp_path):
    icechunk = require("icechunk")
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repository")))
    store = repository.writable_session("main").store
    make_tree().pyramid.to_zarr(store)
    make_tree().pyramid.to_zarr(store, mode="w")
    assert_same(store, make_tree())
    assert msi.verify(store).ok


@pytest.mark.skipif("IO" not in str(signature(ZipStore).parameters["path"].annotation), reason="zarr 3.4 has it")
def test_a_zip_file_is_read_that_is_nowhere_but_open(tmp_path):
    tree = make_tree()
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    packed = BytesIO(Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "out.zarr")).read_bytes())
    with ZipStore(packed, mode="r") as store:
        assert_same(store, tree)
        msi.open_multiscale(store).pyramid.to_zarr(tmp_path / "again.zarr")
    assert_same(tmp_path / "again.zarr", tree)
