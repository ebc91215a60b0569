"""The layout of each level: resolved once, from shards, compressors and encoding."""

import re

import numpy as np
import pytest
import zarr
from numcodecs import LZMA
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.tree.read_plan import read_plan
from msi_lazy.write import layout
from msi_lazy.write.layout import resolve_layouts

ARRAY = np.random.default_rng(0).integers(1, 60000, (70, 90), dtype="u2")


def tree(array=ARRAY, **options):
    return msi.to_multiscale(msi.to_spatial_image(array), [2, 2], chunks=16, block_bytes=2 * 32**2, **options)


def layouts(zarr_format=3, **asked):
    return resolve_layouts(read_plan(tree()), zarr_format, **asked)


def encoded(**settings):
    return {"/scale1": {"image": settings}}


def test_a_write_resolves_each_level_once(monkeypatch):
    resolved = []
    resolve = layout._resolve
    monkeypatch.setattr(layout, "_resolve", lambda level, *rest: resolved.append(level.number) or resolve(level, *rest))
    tree().pyramid.to_zarr(MemoryStore(), shards=32, encoding=encoded(chunks=(8, 8)))
    assert resolved == [0, 1, 2]


def test_what_is_created_is_what_was_resolved():
    asked = {"shards": 32, "encoding": encoded(chunks=[8, 8], shards=(16, 40), fill_value=3)}
    store = MemoryStore()
    tree().pyramid.to_zarr(store, **asked)
    for resolved in layouts(**asked):
        stored = zarr.open_array(store, path=resolved.path, mode="r")
        assert (stored.chunks, stored.shards) == (resolved.chunks, resolved.shards)
    assert zarr.open_array(store, path="scale1/image", mode="r").fill_value == 3


@pytest.mark.parametrize(
    ("asked", "chunks", "shards", "unit"),
    [
        ({}, (16, 16), None, (16, 16)),
        ({"shards": 64}, (16, 16), (48, 48), (35, 45)),  # what holds the level, and no more is written
        ({"shards": 64, "encoding": encoded(shards=None)}, (16, 16), None, (16, 16)),
        ({"encoding": encoded(chunks=None)}, (16, 16), None, (16, 16)),
        ({"encoding": encoded(chunks=(8, 64))}, (8, 64), None, (8, 45)),
        ({"shards": 32, "encoding": encoded(chunks=(4, 4))}, (4, 4), (32, 32), (32, 32)),
    ],
    ids=["default", "larger", "none", "no chunks", "long chunks", "both"],
)
def test_chunks_shards_and_write_units(asked, chunks, shards, unit):
    found = layouts(**asked)[1]
    assert (found.path, found.chunks, found.shards, found.write_unit) == ("scale1/image", chunks, shards, unit)
    store = MemoryStore()
    tree().pyramid.to_zarr(store, **asked)
    stored = zarr.open_array(store, path=found.path, mode="r")
    assert (stored.chunks, stored.shards) == (chunks, shards)
    np.testing.assert_array_equal(stored[:], tree()["scale1"].image)


def test_codecs_are_those_asked_for_by_level_then_by_image_then_by_kind():
    asked = {"compressors": GzipCodec(), "encoding": encoded(compressors=ZstdCodec())}
    assert [type(found.settings["compressors"]) for found in layouts(**asked)] == [GzipCodec, ZstdCodec, GzipCodec]
    assert type(layouts()[0].settings["compressors"][0]) is BloscCodec
    labels = read_plan(tree(ARRAY.astype("u4"), method="mode"))
    assert type(resolve_layouts(labels, 3)[0].settings["compressors"][0]) is ZstdCodec


def stored_codecs(store, path):
    """Compressors of an array in the store, each with its settings, whatever the version of Zarr."""
    codecs = zarr.open_array(store, path=path, mode="r").compressors
    return [codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config() for codec in codecs]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_name_stands_for_the_codecs_of_images_and_for_those_of_labels(version):
    labels = tree(ARRAY.astype("u4"), method="mode")
    for name, image, label in (("auto", "'zstd', 'clevel': 3", 3), ("fast", "'lz4', 'clevel': 5", 1)):
        store = MemoryStore()
        tree().pyramid.to_zarr(store, version=version, compressors=name, labels={"a": labels})
        msi.write_labels(store, "b", labels, compressors=name)
        for path in ("scale0/image", "scale2/image"):
            found = str(stored_codecs(store, path))
            assert image in found.replace("<BloscCname.", "")
            assert re.search("'shuffle': (2|'bitshuffle')", found)
        for path in ("labels/a/scale1/image", "labels/b/scale1/image"):
            assert f"'level': {label}" in str(stored_codecs(store, path))
        assert all(found.lossless for found in layouts(compressors=name))


def test_codecs_by_name_for_one_level_and_for_levels_that_are_added():
    store = MemoryStore()
    tree().pyramid.to_zarr(store, encoding=encoded(compressors="fast"))
    msi.add_levels(store, [2], compressors="fast")
    found = [("lz4" in str(stored_codecs(store, f"scale{level}/image"))) for level in range(4)]
    assert found == [False, True, False, True]


@pytest.mark.parametrize("asked", [{"compressors": "faster"}, {"encoding": encoded(compressors="faster")}])
def test_a_name_of_no_codecs_is_refused_with_those_that_there_are(asked):
    with pytest.raises(ValueError, match=r"compressors='faster': give 'auto', 'fast', None, or a codec of zarr.codecs"):
        tree().pyramid.to_zarr(MemoryStore(), **asked)


def test_only_codecs_that_are_known_count_as_lossless():
    assert all(found.lossless for found in layouts())
    assert not any(found.lossless for found in layouts(2, compressors=LZMA()))
    assert [found.lossless for found in layouts(encoding=encoded(filters=[]))] == [True, False, True]


def test_empty_chunks_are_written_where_it_is_asked_for():
    assert [found.write_empty_chunks for found in layouts(encoding=encoded(write_empty_chunks=True))] == [
        False,
        True,
        False,
    ]


def test_levels_that_are_kept_have_no_layout():
    assert [found.path for found in layouts(kept=1)] == ["scale1/image", "scale2/image"]


def test_zarr_v2_has_no_shards():
    with pytest.raises(ValueError, match="shards need Zarr v3"):
        layouts(2, shards=32)
    assert layouts(2)[0].encoding["chunk_key_encoding"] == {"name": "v2", "configuration": {"separator": "/"}}
