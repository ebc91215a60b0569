"""upgrade: the same samples and all that is said of them, in another version; chunks keep their bytes if possible."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from numcodecs import BZ2, LZ4, LZMA, Blosc, Delta, GZip, Zlib, Zstd
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import msi_lazy as msi
from msi_lazy.cli import main
from tests.support.old_images import OLD_VERSIONS, old_image, samples
from tests.support.stored_images import broken

NOTE = ".msi_lazy-unfinished-upgrade"
NEW = ("0.5", "0.6")
UNITS = {"y": "micrometer", "x": "micrometer"}


def files(root):
    """Contents of a store, or of a directory, by key."""
    if isinstance(root, MemoryStore):
        return {key: buffer.to_bytes() for key, buffer in root._store_dict.items()}
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


def documents(contents):
    return {key: content for key, content in contents.items() if key.endswith("zarr.json")}


def chunks(root):
    """Bytes of chunks, by the path of the array and the index, in any form of keys."""
    found = {}
    for key, content in files(root).items():
        numbers = key.replace("/c/", "/").replace(".", "/").split("/")
        if all(part.isdigit() for part in numbers[-2:]):
            found["/".join(numbers)] = content
    return found


def without_zeros(document):
    """A document without translations by nothing, which the writer of 0.6 leaves out."""
    if isinstance(document, dict):
        return {name: without_zeros(value) for name, value in document.items()}
    if isinstance(document, list):
        moves = [not isinstance(one, dict) or any(one.get("translation", [1])) for one in document]
        return [without_zeros(one) for one, is_kept in zip(document, moves, strict=True) if is_kept]
    return document


def attributes(root, path=""):
    return zarr.open_group(root, path=path, mode="r", use_consolidated=False).attrs.asdict()


def written(version, store, **options):
    """An image with channels, units and labels, and what users put into stores, as this library writes it."""
    pixels = np.random.default_rng(0).integers(1, 200, (2, 33, 24)).astype("u2")
    tree = msi.to_multiscale(msi.to_spatial_image(pixels, "cyx", c_coords=["a", "b"], axis_units=UNITS), [2], chunks=16)
    tree.attrs |= {"by": "me"}
    numbers = msi.to_spatial_image(pixels[0].astype("u4"), axis_units=UNITS)
    labels = msi.to_multiscale(numbers, [2], method="mode", chunks=16)
    msi.to_zarr(tree, store, version=version, labels={"cells": labels}, **options)
    return tree


# --- 0.5 and 0.6 ---


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(("one", "other"), [("0.5", "0.6"), ("0.6", "0.5")])
def test_from_one_to_the_other_and_back_metadata_of_groups_are_all_that_changes(tmp_path, one, other, in_place):
    written(one, tmp_path / "a.zarr", shards=16)
    before = files(tmp_path / "a.zarr")
    target = None if in_place else tmp_path / "b.zarr"
    report = msi.upgrade(tmp_path / "a.zarr", target, to=other, in_place=in_place)
    assert (report.versions, report.to, report.encoded) == ((one,), other, {})
    after = files(target or tmp_path / "a.zarr")
    assert set(after) == set(before)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {f"{path}zarr.json" for path in ("", "labels/", "labels/cells/")}
    assert attributes(target or tmp_path / "a.zarr")["ome"]["version"] == other
    assert attributes(target or tmp_path / "a.zarr", "labels/cells")["ome"]["version"] == other
    if not in_place:
        assert files(tmp_path / "a.zarr") == before
    last = target or tmp_path / "a.zarr"
    msi.upgrade(last, to=one, in_place=True)
    for key in changed:
        assert without_zeros(json.loads(files(last)[key])) == without_zeros(json.loads(before[key]))


def test_consolidated_metadata_are_those_of_the_new_version(tmp_path):
    written("0.5", tmp_path / "a.zarr")
    msi.upgrade(tmp_path / "a.zarr", to="0.6", in_place=True)
    inner = json.loads((tmp_path / "a.zarr/zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert inner["labels/cells"]["attributes"]["ome"]["version"] == "0.6"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert msi.verify(tmp_path / "a.zarr").ok


def test_what_one_version_has_no_place_for_comes_back_in_the_other(tmp_path):
    written("0.6", tmp_path / "a.zarr")
    root = zarr.open_group(tmp_path / "a.zarr", mode="r+", use_consolidated=False)
    ome = root.attrs["ome"]
    image = ome["multiscales"][0]
    image["coordinateSystems"].append({"name": "atlas", "axes": [{"name": n, "type": "space"} for n in "cyx"]})
    affine = [[1.0, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0]]
    ends = {"input": {"name": "physical"}, "output": {"name": "atlas"}}
    image["coordinateTransformations"] = [{"type": "affine", "affine": affine, "name": "tilt", **ends}]
    root.attrs["ome"] = ome
    msi.upgrade(root.store, to="0.5", in_place=True)
    assert "axes" in attributes(root.store)["ome"]["multiscales"][0]
    msi.upgrade(root.store, to="0.6", in_place=True)
    assert attributes(root.store)["ome"] == ome


@pytest.mark.filterwarnings("ignore:.*differ from the coordinates")
def test_a_transformation_of_the_whole_image_becomes_that_of_each_level(tmp_path):
    """0.6: each dataset has one transformation, to the intrinsic system; 0.5 may state a further one for all."""
    written("0.5", tmp_path / "a.zarr")
    root = zarr.open_group(tmp_path / "a.zarr", mode="r+", use_consolidated=False)
    ome = root.attrs["ome"]
    ome["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 0.5, 0.25]}]
    root.attrs["ome"] = ome
    before = msi.open_multiscale(tmp_path / "a.zarr")
    msi.upgrade(tmp_path / "a.zarr", to="0.6", in_place=True)
    after = msi.open_multiscale(tmp_path / "a.zarr")
    for level in ("scale0", "scale1"):
        xr.testing.assert_equal(before[level].to_dataset(), after[level].to_dataset())
    assert "coordinateTransformations" not in attributes(tmp_path / "a.zarr")["ome"]["multiscales"][0]


# --- from Zarr v2 ---


@pytest.mark.parametrize("to", NEW)
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_old_versions_get_axes_and_spacings_and_keep_the_rest(version, in_place, to):
    root = old_image(version)
    before = chunks(root.store)
    target = None if in_place else MemoryStore()
    report = msi.upgrade(root.store, target, to=to, in_place=in_place)
    assert (report.versions, report.encoded) == ((version,), {})
    store = target or root.store
    assert chunks(store) == before
    assert not [key for key in files(store) if key.rpartition("/")[2].startswith(".")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = msi.open_multiscale(store)
        labels = msi.open_multiscale(store, group="labels/cells")
    assert tree["scale0"].img.dims == tuple("tczyx")
    np.testing.assert_array_equal(tree["scale0"].img, samples())
    np.testing.assert_array_equal(labels["scale1"].img, (samples(5, "u4") % 7)[..., ::2, ::2])
    np.testing.assert_array_equal(tree["scale1"].x, np.arange(10) * 2 + 0.5)
    assert list(tree["scale0"].c.values) == ["c0", "c1", "c2"]
    found = attributes(store)
    assert found["by"] == "me"
    assert found["ome"]["omero"]["rdefs"] == {"model": "color"}
    assert found["ome"]["multiscales"][0]["metadata"] == {"by": "hand"}
    assert attributes(store, "labels/cells")["ome"]["image-label"]["colors"][0]["rgba"] == [255, 0, 0, 255]
    assert zarr.open_array(store, path="0", mode="r").metadata.dimension_names == tuple("tczyx")


def test_what_this_library_wrote_is_as_if_it_were_written_in_the_new_version(tmp_path):
    tree = written("0.4", tmp_path / "a.zarr")
    written("0.5", tmp_path / "b.zarr")
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "c.zarr")
    assert set(files(tmp_path / "c.zarr")) == set(files(tmp_path / "b.zarr"))
    assert attributes(tmp_path / "c.zarr") == attributes(tmp_path / "b.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened, same = (xr.open_datatree(tmp_path / name, engine="zarr") for name in ("c.zarr", "b.zarr"))
    for level in ("scale0", "scale1"):
        xr.testing.assert_equal(opened[level].to_dataset(), same[level].to_dataset())
        np.testing.assert_array_equal(opened[level].image, tree[level].image)
    assert msi.verify(tmp_path / "c.zarr").ok
    assert msi.validate(tmp_path / "c.zarr").ok


SAME_BYTES = {
    "none": None,
    **{f"blosc-lz4-{shuffle}": Blosc("lz4", 5, shuffle) for shuffle in (-1, 0, 1, 2)},
    **{f"blosc-{name}": Blosc(name, 1) for name in ("zstd", "blosclz", "lz4hc", "zlib")},
    "zstd": Zstd(3),
    "zstd-checksum": Zstd(1, checksum=True),
    "gzip": GZip(5),
}
OTHER_BYTES = {"zlib": Zlib(), "lz4": LZ4(), "bz2": BZ2(), "lzma": LZMA()}


def flat_image(store=None, dtype="u2", order="C", compressor="default", filters=(), separator="/", fill=0):
    """An image of 0.4 with one level, of which some chunks are missing."""
    root = zarr.create_group(MemoryStore() if store is None else store, zarr_format=2)
    codecs = {} if compressor == "default" else {"compressors": compressor}
    array = root.create_array(
        "0", shape=(37, 50), chunks=(16, 16), dtype=dtype, order=order, filters=list(filters), fill_value=fill,
        chunk_key_encoding={"name": "v2", "separator": separator}, **codecs,
    )  # fmt: skip
    array[:20] = (np.random.default_rng(0).random((20, 50)) * 100).astype(dtype)
    scale = [{"type": "scale", "scale": [1.0, 0.5]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    root.attrs["multiscales"] = [{"version": "0.4", "name": "a", "axes": axes, "datasets": datasets}]
    return root


@pytest.mark.parametrize(
    ("codec", "dtype"),
    [*((codec, dtype) for codec in SAME_BYTES for dtype in ("<u2", ">f4")), ("blosc-lz4--1", "|u1"), ("none", "|b1")],
)
def test_chunks_whose_codec_zarr_v3_has_keep_their_bytes(codec, dtype):
    for order, separator, in_place in (("C", "/", True), ("F", ".", False), ("F", "/", True)):
        root = flat_image(dtype=dtype, order=order, compressor=SAME_BYTES[codec], separator=separator)
        before, expected = chunks(root.store), root["0"][:]
        target = None if in_place else MemoryStore()
        report = msi.upgrade(root.store, target, in_place=in_place)
        assert report.encoded == {}
        assert chunks(target or root.store) == before
        array = zarr.open_array(target or root.store, path="0", mode="r", zarr_format=3)
        np.testing.assert_array_equal(array[:], expected)
        assert array.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
        opened = msi.open_multiscale(target or root.store)["scale0"].a
        np.testing.assert_array_equal(opened, expected)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("dtype", ["<u2", ">f4"])
@pytest.mark.parametrize("codec", [*OTHER_BYTES, "delta"])
def test_chunks_of_other_codecs_are_encoded_again_which_is_said(codec, dtype, in_place):
    filters = [Delta(dtype)] if codec == "delta" else []
    root = flat_image(dtype=dtype, compressor=OTHER_BYTES.get(codec), order="F", separator=".", filters=filters)
    expected, count = root["0"][:], len(chunks(root.store))
    target = None if in_place else MemoryStore()
    report = msi.upgrade(root.store, target, in_place=in_place)
    store = target or root.store
    assert f"Zarr v3 has no '{codec}'" in report.encoded["0"]
    assert "0: decoded and encoded again, as Zarr v3 has no" in str(report)
    found = files(store)
    assert sum(key.startswith("0/c/") for key in found) == count == len(found) - 2  # and no old chunk
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0"].a, expected)


def test_values_of_missing_chunks_stay(tmp_path):
    root = flat_image(LocalStore(tmp_path / "a.zarr"), fill=7, dtype=">i2")
    expected = root["0"][:]
    assert (expected == 7).sum() > 500
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert len(chunks(tmp_path / "b.zarr")) == len(chunks(tmp_path / "a.zarr")) < 12
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b.zarr/0", mode="r")[:], expected)


SAMPLES = {"S4": b"ab", "U4": "é", "<M8[ns]": 1, "<m8[s]": 2, "string": "é", "fields": (3, 2.5)}
FILLS = {"S4": b"q", "U4": "zz", "<M8[ns]": 5, "<m8[s]": 7, "string": "fill", "fields": (7, 1.5)}


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("dtype", FILLS)
def test_values_of_missing_chunks_stay_where_samples_are_stored_in_another_way(tmp_path, dtype):
    root = flat_image(LocalStore(tmp_path / "a.zarr"))
    kinds = {"string": str, "fields": np.dtype([("a", "<u2"), ("b", ">f4")])}
    settings = {"shape": (5,), "chunks": (2,), "dtype": kinds.get(dtype, dtype), "fill_value": FILLS[dtype]}
    array = root.create_array("table", **settings)
    array[:1] = np.asarray([SAMPLES[dtype]], array.dtype)
    expected = array[:]
    assert "table" in msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr").encoded
    assert not (tmp_path / "b.zarr/table/c/1").exists()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b.zarr/table", mode="r")[:], expected)


def test_chunks_that_are_copied_are_not_decoded(tmp_path):
    flat_image(LocalStore(tmp_path / "a.zarr"))
    (tmp_path / "a.zarr/0/1/1").write_bytes(b"no chunk at all")
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr/0/c/1/1").read_bytes() == b"no chunk at all"


# --- what is in a store besides ---


def collection(folder, version="0.4"):
    """Two images, as bioformats2raw lists them, with its document of metadata, and notes of a user."""
    for name in ("0", "1"):
        written(version, folder, group=name)
    (folder / "OME/METADATA.ome.xml").write_text("<OME/>")
    (folder / "notes.txt").write_text("mine")
    (folder / "0/more").mkdir()
    (folder / "0/more/table.csv").write_text("1,2")


@pytest.mark.parametrize("in_place", [True, False])
def test_a_collection_goes_as_a_whole_with_files_of_others(tmp_path, in_place):
    collection(tmp_path / "a.zarr")
    target = None if in_place else tmp_path / "b.zarr"
    msi.upgrade(tmp_path / "a.zarr", target, to="0.6", in_place=in_place)
    out = target or tmp_path / "a.zarr"
    assert attributes(out) == {"ome": {"version": "0.6", "bioformats2raw.layout": 3}}
    assert attributes(out, "OME")["ome"] == {"version": "0.6", "series": ["0", "1"]}
    for name, text in (("OME/METADATA.ome.xml", "<OME/>"), ("notes.txt", "mine"), ("0/more/table.csv", "1,2")):
        assert (out / name).read_text() == text
    assert msi.verify(out, group="1").ok


@pytest.mark.parametrize("in_place", [True, False])
def test_plates_go_as_a_whole(tmp_path, in_place):
    """0.4 and 0.5 state the version in plates and wells, too; the groups of rows have no metadata in Zarr v2."""
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}]
    plate = {"columns": [{"name": "1"}], "rows": [{"name": "A"}], "wells": wells, "version": "0.4", "name": "p"}
    root.attrs["plate"] = plate
    root.create_group("A/1", attributes={"well": {"images": [{"path": "0"}], "version": "0.4"}})
    for path in ("A/.zgroup", "A/.zattrs"):
        (tmp_path / "a.zarr" / path).unlink(missing_ok=True)
    flat_image(LocalStore(tmp_path / "a.zarr/A/1/0"))
    target = None if in_place else tmp_path / "b.zarr"
    out = target or tmp_path / "a.zarr"
    msi.upgrade(tmp_path / "a.zarr", target, in_place=in_place)
    assert attributes(out)["ome"] == {"version": "0.5", "plate": plate | {"version": "0.5"}}
    assert attributes(out, "A/1")["ome"]["well"] == {"images": [{"path": "0"}], "version": "0.5"}
    assert attributes(out, "A") == {}
    msi.upgrade(out, to="0.6", in_place=True)
    del plate["version"]
    assert attributes(out)["ome"] == {"version": "0.6", "plate": plate}
    assert len(msi.open_multiscale(out, group="A/1/0")) == 1


def test_a_part_is_copied_alone(tmp_path):
    collection(tmp_path / "a.zarr")
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr", group="1")
    assert set(attributes(tmp_path / "b.zarr")) == {"ome", "by"}
    assert msi.validate(tmp_path / "b.zarr").ok


# --- runs that are killed ---


class KilledStore(WrapperStore):
    """A store that changes nothing more after some changes."""

    def __init__(self, store, left=10**9):
        super().__init__(store)
        self.left = left

    def with_read_only(self, read_only=False):
        return self

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise OSError("killed")

    async def set(self, key, value):
        self._count()
        await super().set(key, value)

    async def delete(self, key):
        self._count()
        await super().delete(key)


IMAGES = {
    "0.5": lambda: stored(lambda store: written("0.5", store)),
    "0.2": lambda: old_image("0.2").store,
    "zlib": lambda: flat_image(compressor=Zlib(), separator=".").store,
}


def stored(write):
    store = MemoryStore()
    write(store)
    return store


@pytest.mark.filterwarnings("ignore:Both zarr.json", "ignore:the image memory")
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("kind", IMAGES)
def test_a_run_that_was_killed_at_any_moment_is_repeated(kind, in_place):
    source = files(IMAGES[kind]())
    fresh, whole = MemoryStore(), MemoryStore()
    for store in (fresh, whole):
        store._store_dict.update({key: _buffer(content) for key, content in source.items()})
    counting = KilledStore(whole)
    target = None if in_place else KilledStore(MemoryStore())
    msi.upgrade(counting, target, to="0.6", in_place=in_place)
    changes = 10**9 - (target or counting).left
    expected = files(whole if in_place else target._store)
    name = "a" if kind == "zlib" else "img" if kind == "0.2" else "image"
    samples_of = {key: msi.open_multiscale(store)["scale0"][name].values for key, store in {"old": fresh}.items()}
    step = max(changes // 12, 1)
    for left in [*range(0, changes, step), *range(max(changes - 8, 0), changes)]:
        inner, copy = MemoryStore(), MemoryStore()
        inner._store_dict.update({key: _buffer(content) for key, content in source.items()})
        out = inner if in_place else copy
        killed = KilledStore(out, left)
        with pytest.raises(OSError, match="killed"):
            msi.upgrade(killed if in_place else inner, None if in_place else killed, to="0.6", in_place=in_place)
        if files(out).get("zarr.json") == expected["zarr.json"]:  # that of the root is the last one
            assert documents(expected) == documents(files(out))
        if in_place:  # it opens at any moment, in the old version or the new one
            np.testing.assert_array_equal(msi.open_multiscale(inner)["scale0"][name], samples_of["old"])
        else:
            assert files(inner) == source
            if left > 0 and "zarr.json" not in files(out):
                with pytest.raises(msi.UnfinishedImageError, match="its upgrade was interrupted"):
                    msi.open_multiscale(out)
        msi.upgrade(inner, None if in_place else copy, to="0.6", in_place=in_place)
        assert files(out) == expected
        assert NOTE not in files(out)


def _buffer(content):
    from zarr.core.buffer import default_buffer_prototype

    return default_buffer_prototype().buffer.from_bytes(content)


def test_old_documents_are_kept_until_the_new_ones_are_complete(tmp_path):
    inner = stored(lambda store: written("0.5", store))
    before = files(inner)
    with pytest.raises(OSError, match="killed"):
        msi.upgrade(KilledStore(inner, 3), to="0.6", in_place=True)
    changed = [key for key, content in files(inner).items() if content != before.get(key) and key != NOTE]
    assert len(changed) == 2
    kept = json.loads(files(inner)[NOTE])["documents"]
    assert {key: kept[key].encode() for key in changed} == {key: before[key] for key in changed}


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("codec", [None, Zlib()])
def test_files_with_names_like_chunks_go_along_and_chunks_beyond_the_end_are_none(tmp_path, codec, in_place):
    array = flat_image(LocalStore(tmp_path / "a.zarr"), compressor=codec)["0"]
    expected = array[:]
    (tmp_path / "a.zarr/0/7").write_text("mine")
    (tmp_path / "a.zarr/0/9").mkdir()
    shutil.copy(tmp_path / "a.zarr/0/0/0", tmp_path / "a.zarr/0/9/9")
    target = tmp_path / ("a.zarr" if in_place else "b.zarr")
    msi.upgrade(tmp_path / "a.zarr", None if in_place else target, in_place=in_place)
    assert (target / "0/7").read_text() == "mine"
    np.testing.assert_array_equal(zarr.open_array(target / "0", mode="r")[:], expected)


def killed_copy(folder, source, monkeypatch):
    """Copy chunks, and be killed before the documents are stored."""
    with monkeypatch.context() as patch:
        patch.setattr("msi_lazy.maintain.run_upgrade._sync", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            msi.upgrade(folder / source, folder / "copy.zarr")


def test_a_copy_is_not_mixed_with_what_another_source_left(tmp_path, monkeypatch):
    """Chunks without compression have the same size in both."""
    for name in ("a.zarr", "b.zarr"):
        array = flat_image(LocalStore(tmp_path / name), compressor=None)["0"]
        array[:20] = array[:20] + (name == "b.zarr")
    array[20:] = 9  # chunks that b.zarr alone has
    expected = {name: zarr.open_array(tmp_path / name / "0", mode="r")[:] for name in ("a.zarr", "b.zarr")}
    killed_copy(tmp_path, "b.zarr", monkeypatch)
    with pytest.raises(msi.StoreExistsError, match=r"holds an incomplete copy of .*b\.zarr, not of .*a\.zarr"):
        msi.upgrade(tmp_path / "a.zarr", tmp_path / "copy.zarr")
    shutil.move(tmp_path / "b.zarr", tmp_path / "elsewhere")
    shutil.move(tmp_path / "a.zarr", tmp_path / "b.zarr")  # older than what was copied
    msi.upgrade(tmp_path / "b.zarr", tmp_path / "copy.zarr")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "copy.zarr/0", mode="r")[:], expected["a.zarr"])
    assert len(chunks(tmp_path / "copy.zarr")) == len(chunks(tmp_path / "b.zarr"))


def test_what_a_killed_copy_left_half_written_is_deleted(tmp_path, monkeypatch):
    flat_image(LocalStore(tmp_path / "a.zarr"))
    killed_copy(tmp_path, "a.zarr", monkeypatch)
    (tmp_path / f"copy.zarr/0/c/0/0.{'0' * 32}.partial").write_text("half")
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "copy.zarr")
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "fresh.zarr")
    assert files(tmp_path / "copy.zarr") == files(tmp_path / "fresh.zarr")


def test_chunks_that_another_upgrade_has_deleted_are_not_encoded_as_missing(monkeypatch):
    """Two upgrades in place at once: the second has planned when the first deletes the old chunks."""
    store = flat_image(compressor=Zlib()).store
    expected = zarr.open_array(store, path="0", mode="r", zarr_format=2)[:]
    plan, begun = msi.api.upgrade.plan_upgrade, []

    def interrupted(*arguments, **options):
        planned = plan(*arguments, **options)
        if not begun:
            begun.append(1)
            with monkeypatch.context() as patch:  # killed when all old chunks are deleted, before their document is
                patch.setattr("msi_lazy.maintain.run_upgrade.delete_key", delete_chunk)
                with pytest.raises(ZeroDivisionError):
                    msi.upgrade(store, in_place=True)
        return planned

    def delete_chunk(where, key):
        if "/.z" in key or key.startswith(".z"):
            raise ZeroDivisionError
        where._store_dict.pop(key, None)

    monkeypatch.setattr("msi_lazy.api.upgrade.plan_upgrade", interrupted)
    with pytest.raises(ValueError, match="has been changed while it was upgraded"):
        msi.upgrade(store, in_place=True)
    np.testing.assert_array_equal(zarr.open_array(store, path="0", mode="r", zarr_format=3)[:], expected)


# --- refusals ---


def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path):
    collection(tmp_path / "a.zarr")
    (tmp_path / "taken").mkdir()
    (tmp_path / "folder.ozx").mkdir()
    (tmp_path / "taken/file").write_text("x")
    before = files(tmp_path)
    cases = [
        ({"target": tmp_path / "taken"}, FileExistsError, "exists already"),
        ({"target": tmp_path / "folder.ozx"}, ValueError, "a directory with the name of a zip file"),
        ({"target": tmp_path / "a.zarr"}, ValueError, "lies in"),
        ({"target": tmp_path / "a.zarr/b.zarr"}, ValueError, "lies in"),
        ({"target": tmp_path / "taken/b.zarr", "group": "nowhere"}, FileNotFoundError, "no Zarr group"),
        ({"in_place": True, "group": "0"}, ValueError, "is part of .*; upgrade that as a whole, or give a target"),
        ({"group": "0/scale0/image", "in_place": True}, ValueError, "is a Zarr array, not the group"),
    ]
    for arguments, error, words in cases:
        with pytest.raises(error, match=words):
            msi.upgrade(tmp_path / "a.zarr", **arguments)
    assert files(tmp_path) == before


def test_nothing_to_do_an_unfinished_write_links_and_broken_documents_are_named(tmp_path):
    written("0.5", tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=r"is OME-Zarr 0\.5 already: there is nothing to upgrade"):
        msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert msi.upgrade(tmp_path / "a.zarr", in_place=True).documents == 0
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "c.zarr")
    (tmp_path / "c.zarr/scale0/link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="holds the link 'scale0/link'"):
        msi.upgrade(tmp_path / "c.zarr", tmp_path / "b.zarr", to="0.6")
    (tmp_path / "c.zarr/scale0/link").unlink()
    msi.to_zarr(msi.open_multiscale(tmp_path / "a.zarr"), tmp_path / "d.zarr", compute=False)
    with pytest.raises(msi.UnfinishedImageError, match="holds an incomplete image"):
        msi.upgrade(tmp_path / "d.zarr", tmp_path / "b.zarr", to="0.6")
    for text in ("{", "[" * 200_000):
        (tmp_path / "c.zarr/labels/cells/zarr.json").write_text(text)
        with pytest.raises(ValueError, match=r"'labels/cells/zarr.json' in .* is no JSON .*: repair it first"):
            msi.upgrade(tmp_path / "c.zarr", tmp_path / "b.zarr", to="0.6")
    assert not (tmp_path / "b.zarr").exists()


def test_an_image_that_cannot_be_read_is_named():
    root = old_image("0.2")
    del root["labels/cells/1"]
    with pytest.raises(ValueError, match=r"'labels/cells' in .* cannot be upgraded: it lists a level '1', "):
        msi.upgrade(root.store, {})


def nested_without_saying_so(folder):
    root = old_image("0.2", store=LocalStore(folder))
    for path in ("0", "1", "labels/cells/0", "labels/cells/1"):
        document = json.loads((folder / path / ".zarray").read_text())
        del document["dimension_separator"]
        (folder / path / ".zarray").write_text(json.dumps(document))
    return root


@pytest.mark.filterwarnings("ignore:the image /")
def test_chunks_that_are_not_where_the_document_says_are_not_read_as_missing(tmp_path):
    nested_without_saying_so(tmp_path / "a.zarr")
    for use in (msi.open_multiscale, lambda store: msi.upgrade(store, in_place=True)):
        with pytest.raises(ValueError, match=r"are stored with '/' between their indices, and its metadata say '\.'"):
            use(tmp_path / "a.zarr")
    msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "b.zarr")["scale0"].img, samples())


def test_a_group_without_anything_of_ome_zarr_is_refused(tmp_path):
    zarr.create_group(tmp_path / "a.zarr", zarr_format=2).create_array("0", data=np.ones(3))
    with pytest.raises(ValueError, match="holds nothing of OME-Zarr"):
        msi.upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr")


@pytest.mark.parametrize("suffix", ["ozx", "zip"])
def test_zip_files_are_read_and_packed_but_not_changed(tmp_path, suffix):
    tree = written("0.5", tmp_path / "a.zarr")
    report = msi.upgrade(tmp_path / "a.zarr", tmp_path / f"b.{suffix}", to="0.6")
    assert report.to == "0.6"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", f"b.{suffix}"]
    assert msi.validate(tmp_path / f"b.{suffix}").versions == ("0.6",)
    with pytest.raises(FileExistsError, match="exists already"):
        msi.upgrade(tmp_path / "a.zarr", tmp_path / f"b.{suffix}", to="0.6")
    with pytest.raises(ValueError, match="is a zip file, which is written as a whole"):
        msi.upgrade(tmp_path / f"b.{suffix}", in_place=True)
    msi.upgrade(tmp_path / f"b.{suffix}", tmp_path / "c.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "c.zarr")["scale1"].image, tree["scale1"].image)


def test_the_command_line(tmp_path):
    old_image("0.1", store=LocalStore(tmp_path / "a.zarr"))
    run = CliRunner()
    assert "give a target for the copy, or --in-place" in run.invoke(main, ["upgrade", str(tmp_path / "a.zarr")]).output
    done = run.invoke(main, ["upgrade", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--to", "0.6"])
    assert (done.exit_code, "OME-Zarr 0.6, from 0.1" in done.output) == (0, True)
    assert run.invoke(main, ["upgrade", str(tmp_path / "a.zarr"), "--in-place"]).exit_code == 0
    assert attributes(tmp_path / "a.zarr")["ome"]["version"] == "0.5"
    assert broken(zarr.open_group(tmp_path / "a.zarr", mode="r")) == ["axes-unit"]
