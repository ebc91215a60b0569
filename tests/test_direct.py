"""The tasks emitted straight from the plan are those that fusing the whole graph gives."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.task_spec import DataNode
from hypothesis import given
from hypothesis import strategies as st

import msi_lazy as msi
from msi_lazy.graph.direct import emit_blocks
from msi_lazy.graph.fuse_levels import fuse_levels
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.merge import MergeLayer
from msi_lazy.graph.stream import LevelStore
from msi_lazy.tree.read_plan import level_images
from tests.support.fused_steps import fused_steps
from tests.support.strategies import pyramids


def record(block, target, index, *, level):
    key = (level, *index)
    assert key not in target
    target[key] = block.copy()


def run(fused, opened):
    target = next(iter(opened.values())).value
    target.clear()
    dask.get(fused.tasks, list(fused.sinks))
    return dict(target)


def levels_and_stores(tree):
    arrays = [image.data for image in level_images(tree)]
    target = {}
    opened = {f"target{n}": DataNode(f"target{n}", target) for n in range(len(arrays))}
    return arrays, [LevelStore(record, f"target{n}", {"level": n}) for n in range(len(arrays))], opened


@given(case=pyramids(max_dims=3, max_extent=30), data=st.data(), computed=st.booleans())
def test_emitted_tasks_equal_fused_ones(case, data, computed):
    shape, factors = case
    dims = ("z", "y", "x")[-len(shape) :]
    image = xr.DataArray(np.random.default_rng(0).integers(0, 99, shape), dims=dims)
    if computed:
        image = image.copy(
            data=da.from_array(image.values, chunks=tuple(data.draw(st.integers(1, n)) for n in shape)) + 1
        )
    steps = [dict(zip(dims, step, strict=True)) for step in factors]
    block_bytes = data.draw(st.integers(1, image.nbytes + 1))
    tree = msi.to_multiscale(image, steps, chunks=data.draw(st.integers(1, 8)), block_bytes=block_bytes)
    arrays, stores, opened = levels_and_stores(tree)
    emitted, fused = (
        emit_blocks(LevelGraph.of(arrays), stores, opened, "token", in_order=computed),
        fuse_levels(LevelGraph.of(arrays), stores, opened, "token", in_order=computed),
    )
    assert len(emitted.tasks) == len(fused.tasks)
    assert len(emitted.sinks) == len(fused.sinks)
    one, other = run(emitted, opened), run(fused, opened)
    assert one.keys() == other.keys()
    for key, block in one.items():
        np.testing.assert_array_equal(block, other[key], strict=True)


def steps_of(graph):
    return sorted((str(index), sorted(step.__name__ for step in steps)) for index, steps in fused_steps(graph.tasks))


def test_emitted_tasks_have_the_steps_of_fused_ones():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 70))), [2, 2, 2], chunks=4, block_bytes=2048)
    arrays, stores, opened = levels_and_stores(tree)
    emitted, fused = (
        emit_blocks(LevelGraph.of(arrays), stores, opened, "token"),
        fuse_levels(LevelGraph.of(arrays), stores, opened, "token"),
    )
    assert steps_of(emitted) == steps_of(fused)
    assert len(steps_of(emitted)) > 16


@pytest.mark.parametrize("edited", [False, True])
def test_blocks_of_the_first_stage_wait_for_their_context_only(edited):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 70))), [2, 2, 2], chunks=4, block_bytes=2048)
    arrays, stores, opened = levels_and_stores(tree * 2 if edited else tree)
    build = fuse_levels if edited else emit_blocks
    tasks = build(LevelGraph.of(arrays), stores, opened, "token").tasks
    (context,) = (key for key, task in tasks.items() if isinstance(task, DataNode))
    roots = [task for task in tasks.values() if task.dependencies == {context}]
    assert len(roots) == 16
    assert not any(dependency in opened for task in tasks.values() for dependency in task.dependencies)


@pytest.mark.parametrize("edit", ["scaled", "rechunked", "replaced", "dropped", "mixed"])
def test_an_edited_tree_is_not_emitted(edit):
    image = msi.to_spatial_image(np.zeros((64, 70)))
    tree, other = (msi.to_multiscale(image, [2, 2, 2], chunks=4, block_bytes=2048) for _ in range(2))
    arrays, stores, opened = levels_and_stores(tree)
    assert emit_blocks(LevelGraph.of(arrays), stores, opened, "token") is not None
    if edit == "mixed":
        arrays[-1] = levels_and_stores(other)[0][-1]
    elif edit == "dropped":
        arrays.pop()
    elif edit == "replaced":
        arrays[1] = da.zeros(arrays[1].shape, chunks=arrays[1].chunks)
    elif edit == "scaled":
        arrays[0] = arrays[0] * 2
    else:
        arrays[0] = arrays[0].rechunk(32)
    assert emit_blocks(LevelGraph.of(arrays), stores, opened, "token") is None


def test_the_graph_of_a_terabyte_is_small():
    pixels = da.from_array(Blank((8192,) * 3), chunks=(128,) * 3)
    tree = msi.to_multiscale(xr.DataArray(pixels, dims=("z", "y", "x")), [2] * 7)
    arrays, stores, opened = levels_and_stores(tree)
    emitted = emit_blocks(LevelGraph.of(arrays), stores, opened, "token")
    assert len(emitted.tasks) <= 1.01 * 32768
    assert len(pickle.dumps(emitted.tasks)) < 10 * 2**20
    merges = [layer for layer in arrays[-1].dask.layers.values() if isinstance(layer, MergeLayer)]
    assert merges
    assert not any(layer.is_materialized() for layer in merges)


class Blank:
    """A source of any size."""

    dtype, ndim = np.dtype("u2"), 3

    def __init__(self, shape):
        self.shape = shape

    def __getitem__(self, key):
        return np.zeros([part.stop - part.start for part in key], self.dtype)
