"""What explain() says, and that it says the same of a tree as was planned for it."""

import time
from collections import Counter
from itertools import product
from math import prod

import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan.memory import codec_bytes
from msi_lazy.plan.reading import Reading
from tests.support.plans import make_plan


def test_the_plan_of_a_terabyte():
    plan = make_plan((8192,) * 3, factors=((2, 2, 2),) * 7)
    assert plan.blocks == 32768
    assert plan.tasks <= 1.2 * plan.blocks
    assert plan.read_amplification == 1
    assert plan.reading.chunks == plan.reading.source_chunks == 64**3
    assert plan.bytes_read == plan.levels[0].nbytes == 2 * 8192**3
    assert 32 * 2**20 < plan.memory_per_thread < 150 * 2**20
    assert plan.carry_bytes == plan.levels[3].nbytes + plan.levels[6].nbytes


def test_a_petabyte_is_planned_and_printed_at_once():
    start = time.perf_counter()
    text = str(make_plan((81920,) * 3, factors=((2, 2, 2),) * 10))
    assert "scale10" in text
    assert time.perf_counter() - start < 20  # a runaway, not a speed: that is measured in benchmarks/


class Tiles:
    """Tiles of all colours, as scanners store them: each is decoded whole, and counted."""

    dtype, ndim = np.dtype("u1"), 3

    def __init__(self, shape, tile):
        self.shape, self.chunks, self.decoded = shape, tile, Counter()

    def __getitem__(self, key):
        sides = (range(part.start // tile, -(-part.stop // tile)) for part, tile in zip(key, self.chunks, strict=True))
        self.decoded.update(product(*sides))
        y, x, c = np.ogrid[key]
        return ((y * 7 + x * 3) * (c + 1)).astype("u1")


@pytest.mark.parametrize("method", ["mean", "gaussian"])
@pytest.mark.parametrize("chunks", [None, {"y": 32, "x": 32, "c": 1}, {"y": 32, "x": 32, "c": 2}])
def test_blocks_span_the_channels_that_the_source_interleaves(chunks, method):
    image = msi.to_spatial_image(Tiles((60_000, 60_000, 3), (256, 256, 3)), dims="yxc")
    plan = msi.explain(msi.to_multiscale(image, "auto", method=method, chunks=chunks))
    assert plan.levels[0].blocks[2] == 3
    assert plan.tasks <= 1.2 * plan.blocks
    assert plan.reading.chunks <= plan.reading.source_chunks * (1 if method == "mean" else 1.5)


def test_each_interleaved_tile_is_read_once_for_all_colours():
    tiles, store = Tiles((300, 260, 3), (64, 64, 3)), MemoryStore()
    tree = msi.to_multiscale(msi.to_spatial_image(tiles, dims="yxc"), [2, 2], chunks=32, block_bytes="64 KiB")
    assert not tiles.decoded
    tree.pyramid.to_zarr(store)
    assert set(tiles.decoded.values()) == {1}
    assert len(tiles.decoded) == 5 * 5
    whole = tiles[tuple(slice(0, n) for n in tiles.shape)]
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0/image"].values, whole.transpose(2, 0, 1))


def test_blocks_do_not_span_more_channels_than_they_may_hold():
    image = msi.to_spatial_image(Tiles((4096, 4096, 400), (256, 256, 400)), dims="yxc")
    plan = msi.explain(msi.to_multiscale(image, [2], block_bytes="4 MiB"))
    assert prod(plan.levels[0].blocks) <= 4 * 2**20


def test_text():
    text = str(make_plan((512, 1024, 1024)))
    assert text.splitlines()[0] == "Pyramid of 'image' (z, y, x), uint16, method mean, boundary trim"
    for words in (
        "512 x 1024 x 1024",
        "64 x 64 x 64",
        "z 0.5 micrometer",
        "tasks:",
        "per worker thread",
        "1 x the image",
    ):
        assert words in text


def test_html_is_a_table_and_escapes_names():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 64), "u1"), name="<b>"), [2])
    html = msi.explain(tree)._repr_html_()
    assert html.count("<tr>") == 3
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_the_plan_is_read_back_from_the_tree():
    image = msi.to_spatial_image(np.zeros((100, 120), "u2"), scale={"x": 0.25}, axis_units={"x": "nanometer"})
    tree = msi.to_multiscale(image, [2, 3], method="min", chunks=16, boundary="pad", block_bytes=5000)
    plan = msi.explain(tree)
    assert (plan.method, plan.boundary, plan.block_bytes) == ("min", "pad", 5000)
    assert [level.shape for level in plan.levels] == [(100, 120), (50, 60), (17, 20)]
    assert [level.factors for level in plan.levels] == [(1, 1), (2, 2), (3, 3)]
    assert [level.chunks for level in plan.levels] == [(16, 16), (16, 16), (16, 16)]
    assert [level.blocks for level in plan.levels] == [
        tuple(c[0] for c in node.image.chunks) for node in tree.children.values()
    ]
    assert sum(stage.blocks for stage in plan.stages) <= plan.tasks
    assert [level.scale for level in plan.levels] == [(1, 0.25), (2, 0.5), (6, 1.5)]


def test_chunks_survive_arithmetic_only_as_the_default():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((600, 600), "u2")), [2], chunks=100)
    assert msi.explain(tree).levels[0].chunks == (100, 100)
    with xr.set_options(keep_attrs=True):
        doubled = tree.map_over_datasets(lambda d: d * 2 if d.data_vars else d)
    assert msi.explain(doubled).levels[0].chunks == (256, 256)


def test_block_bytes_that_no_chunk_fits_are_raised_with_a_note():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((400, 400), "u2")), [2], chunks=100, block_bytes=100)
    plan = msi.explain(tree)
    assert any("block_bytes raised from 100" in note for note in plan.notes)
    assert "block_bytes raised" in str(plan)


@pytest.mark.parametrize(("edge", "chunk"), [(64, 48), (64, 64), (64, 100), (60, 7)])
def test_chunks_decoded_are_counted_per_block(edge, chunk):
    plan = make_plan((300,), "x", ((2,),), chunks=edge // 2, block_bytes=edge * 2)
    stage = plan.stages[0]
    chunks = (tuple(min(chunk, 300 - start) for start in range(0, 300, chunk)),)
    borders = np.arange(0, 300, chunk)
    touched = 0
    for index in np.ndindex(*stage.counts):
        (window,) = stage.needed(index)[0]
        touched += sum(start < window.stop and start + chunk > window.start for start in borders)
    assert Reading.of_stage(stage, chunks, True).chunks == touched


def test_memory_counts_the_window_its_levels_a_copy_a_source_chunk_and_codecs():
    plan = make_plan((512, 512, 512), factors=((2, 2, 2),) * 2)
    block = 256**3 * 2
    levels = block + block // 8 + block // 64
    source_chunk = 128**3 * 2
    codecs = codec_bytes(64**3 * 2, source_chunk)
    assert plan.memory_per_thread == levels + block + source_chunk + codecs
