"""Names that a parser could take apart: one place is checked, written and read, and nothing outside of it changes."""

import json
from urllib.parse import quote, unquote

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import msi_lazy as msi
from msi_lazy.storage.place import Place
from tests.support.optional import require
from tests.support.serving import files_of

PIXELS = np.random.default_rng(0).integers(1, 60000, (16, 16), dtype="u2")
PIECES = [
    *"ab %#?;&=+~'ü日\\$@!,.:",
    "%20",
    "%2F",
    "%25",
    "..",
    "a#b",
    "?x=1",
    ";v",
    "%2e%2e",
    "file:",
    "[1]",
    "{a}",
    "*",
]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
NAMES = NAMES.filter(
    lambda name: name.strip(". ") and name == name.strip(" ") and "::" not in name and "://" not in name
)
PATHS = st.lists(NAMES, min_size=1, max_size=2).map("/".join)
SETTINGS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=max(settings.default.max_examples // 5, 4),
    deadline=None,
)


def write_image(store, **options):
    msi.to_multiscale(msi.to_spatial_image(PIXELS), [2], chunks=16).pyramid.to_zarr(store, **options)


def misread(path):
    """Other paths that a careless parser would take a path for."""
    others = {unquote(path), quote(path), *(path.partition(mark)[0] for mark in "#?;%&:@ \\"), path.replace("\\", "/")}
    others |= {path.replace(mark, match) for mark, match in {"*": "bc", "**": "b", "?": "q", "[1]": "1"}.items()}
    parts = {part for other in others for part in (other, other.rstrip("/ ."))}
    return sorted(part for part in parts - {path} if part.strip("/ .") and not {"..", "."} & set(part.split("/")))


LOCAL = {
    "path": lambda base, path: base / path,
    "string": lambda base, path: f"{base}/{path}",
    "trailing slash": lambda base, path: f"{base}/{path}/",
    "steps back": lambda base, path: f"{base}/sub/../{path}",
    "steps back, as a URL": lambda base, path: f"file://{quote(f'{base}/sub/../{path}')}/",
    "file URL": lambda base, path: (base / path).as_uri(),
    "localhost": lambda base, path: f"file://localhost{quote(f'{base}/{path}')}",
    "local URL": lambda base, path: f"local://{quote(f'{base}/{path}')}",
    "relative": lambda base, path: f"./{path}",
}


@SETTINGS
@given(path=PATHS, form=st.sampled_from(sorted(LOCAL)))
def test_of_local_files(path, form, tmp_path_factory, monkeypatch):
    base = tmp_path_factory.mktemp("names")
    monkeypatch.chdir(base)
    (base / "sub").mkdir()
    decoys = [base / other for other in misread(path) if not f"{path}/".startswith(f"{other}/")]
    for decoy in decoys:
        decoy.mkdir(parents=True, exist_ok=True)
        (decoy / "thesis.txt").write_text("mine")
    target = base / path
    target.parent.mkdir(parents=True, exist_ok=True)
    held = target.exists()
    before = files_of(base)
    store = LOCAL[form](base, path)
    assert Place.parse(store).directory == target
    if held:  # a decoy lies in it
        with pytest.raises((ValueError, FileExistsError)):
            write_image(store, mode="w")
        assert files_of(base) == before
        return
    write_image(store)
    write_image(store, mode="w")
    now = files_of(base)
    assert {file: content for file, content in now.items() if target not in (base / file).parents} == before
    assert (target / "zarr.json").is_file()
    assert (msi.open_multiscale(store)["scale0"].image.values == PIXELS).all()
    assert (msi.open_multiscale(target)["scale0"].image.values == PIXELS).all()
    assert msi.verify(store).ok


def check_bucket(bucket, path, objects, put, options):
    """Write to a path in a bucket with decoys; give functions that read and put its objects."""
    decoys = [f"{other.strip('/')}/thesis.txt" for other in misread(path)]
    for decoy in decoys:
        if not f"{decoy}/".startswith(f"{path}/"):
            put(decoy)
    before = objects()
    for url in (f"{bucket}/{path}", f"{bucket}/{path}/"):
        write_image(url, mode="w", storage_options=options)
        now = objects()
        assert {key: content for key, content in now.items() if not key.startswith(f"{path}/")} == before
        assert json.loads(now[f"{path}/zarr.json"])["node_type"] == "group"
        opened = msi.open_multiscale(url, storage_options=options)
        assert (opened["scale0"].image.values == PIXELS).all()
    assert Place.parse(f"{bucket}/{path}", storage_options=options).location.overlaps(
        Place.parse(f"{bucket}/{path}/scale0", storage_options=options).location
    )


@example(path="a*")
@example(path="a**/[1]?")
@SETTINGS
@given(path=PATHS)
def test_of_a_file_system_of_fsspec(path):
    files = fsspec.filesystem("memory")
    files.store.clear()

    def objects():
        return {key.removeprefix("/bucket/"): file.getvalue() for key, file in files.store.items()}

    check_bucket("memory://bucket", path, objects, lambda key: files.pipe(f"/bucket/{key}", b"mine"), None)
    files.store.clear()


@pytest.fixture(scope="module")
def s3():
    """A client of a server, and the options to reach it."""
    boto3 = require("boto3")
    require("s3fs")
    server = require("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="images")
    yield client, {"endpoint_url": url, "key": "test", "secret": "test"}
    server.stop()


@example(path="a*")
@example(path="a**/[1]?")
@SETTINGS
@given(path=PATHS)
def test_of_a_bucket(path, s3):
    client, options = s3

    def listed():
        return client.list_objects_v2(Bucket="images").get("Contents", [])

    def objects():
        return {entry["Key"]: client.get_object(Bucket="images", Key=entry["Key"])["Body"].read() for entry in listed()}

    check_bucket("s3://images", path, objects, lambda key: client.put_object(Bucket="images", Key=key), options)
    for entry in listed():
        client.delete_object(Bucket="images", Key=entry["Key"])
