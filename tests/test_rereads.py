"""Blocks that are needed before and after a reduction over many of them are read twice, not held."""

from collections import Counter
from functools import partial
from operator import add

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.callbacks import Callback
from dask.core import get_dependencies
from dask.task_spec import Alias, DataNode, List, Task, TaskRef
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
import msi_lazy.graph.fuse_levels
from msi_lazy.graph.fuse import fuse_blocks
from tests.support.counting import CountingArray


class Ran:
    """Functions of a graph that remember how often each of them ran, and with what effect."""

    def __init__(self):
        self.times, self.effects = Counter(), {}

    def root(self, name, *values):
        self.times[name] += 1
        return sum(values) + len(str(name))

    def effect(self, name, value):
        self.times[name] += 1
        self.effects[name] = value
        return value

    def is_root(self, node):
        return getattr(node, "func", None) == self.root


@st.composite
def shapes(draw):
    """What graphs with barriers are made of: key and uses of each task, in order."""
    shape = [(("read", n), ()) for n in range(draw(st.integers(2, 6)))]
    shape += [(("computed", 0), ()), (("root", 0), (("computed", 0),))] if draw(st.booleans()) else []
    kinds = ["add", "add", "total", "total", "total", "alias", "effect", "root"]
    for number in range(10, 10 + draw(st.integers(3, 30))):
        known = [key for key, _ in shape]
        kind = draw(st.sampled_from(kinds))
        most = {"total": 6, "add": 2, "root": 2}.get(kind, 1)
        shape.append(((kind, number), tuple(draw(st.lists(st.sampled_from(known), min_size=1, max_size=most)))))
    return shape


def build(shape, ran):
    """The graph of ``shape``, whose roots and effects report to ``ran``."""
    graph = {("data", 0): DataNode(("data", 0), 5)}
    for key, uses in shape:
        refs = [TaskRef(use) for use in uses]
        graph[key] = {
            "read": lambda key=key: Task(key, ran.root, key, TaskRef(("data", 0))),
            "computed": lambda key=key: Task(key, add, TaskRef(("data", 0)), 2),
            "root": lambda key=key, refs=refs: Task(key, ran.root, key, *refs),
            "add": lambda key=key, refs=refs: Task(key, add, refs[0], refs[-1]),
            "total": lambda key=key, refs=refs: Task(key, sum, List(*refs)),
            "alias": lambda key=key, uses=uses: Alias(key, uses[0]),
            "effect": lambda key=key, refs=refs: Task(key, ran.effect, key, refs[0]),
        }[key[0]]()
    return graph


def is_acyclic(tasks):
    waiting = {key: {use for use in get_dependencies(tasks, key) if use in tasks} for key in tasks}
    while ready := [key for key, uses in waiting.items() if not uses]:
        for key in ready:
            del waiting[key]
        for uses in waiting.values():
            uses.difference_update(ready)
    return not waiting


@given(shape=shapes(), barrier=st.integers(1, 5), data=st.data())
def test_any_graph_does_the_same_with_blocks_read_again(shape, barrier, data):
    ends = data.draw(st.lists(st.sampled_from([key for key, _ in shape]), min_size=1, max_size=6, unique=True))
    shape = shape + [(("effect", n), (end,)) for n, end in enumerate(ends)]
    wanted = [key for key, _ in shape if key[0] == "effect"]
    plain, fused = Ran(), Ran()
    dask.get(build(shape, plain), wanted)
    graph = build(shape, fused)
    result = fuse_blocks(graph, wanted, fused.is_root, "token", barrier=barrier)
    assert is_acyclic(result.tasks)
    dask.get(result.tasks, list(result.sinks))
    assert fused.effects == plain.effects
    assert all(fused.times[key] == 1 for key in wanted)
    assert all(fused.times[key] == times for key, times in plain.times.items() if key[0] == "root")
    assert all(fused.times[key] >= times for key, times in plain.times.items())


def normalised(ran, blocks):
    """The graph of ``y = x - max(x); z = y / sum(y)``, and the keys that store z."""
    shape = [(("read", n), ()) for n in range(blocks)]
    shape.append((("total", "x"), tuple(("read", n) for n in range(blocks))))
    shape += [(("add", n), (("read", n), ("total", "x"))) for n in range(blocks)]
    shape.append((("total", "y"), tuple(("add", n) for n in range(blocks))))
    shape += [(("add", blocks + n), (("add", n), ("total", "y"))) for n in range(blocks)]
    shape += [(("effect", n), (("add", blocks + n),)) for n in range(blocks)]
    return build(shape, ran), [("effect", n) for n in range(blocks)]


def test_two_barriers_take_three_readings():
    ran = Ran()
    graph, wanted = normalised(ran, 4)
    result = fuse_blocks(graph, wanted, ran.is_root, "token", barrier=4)
    assert len(result.tasks) == 1 + 1 + 3 * 4 + 2  # the data, the context, the readings, the two totals
    assert sorted(result.sinks) == [("read-again2-token", n) for n in range(4)]
    dask.get(result.tasks, list(result.sinks))
    assert [ran.times["read", n] for n in range(4)] == [3] * 4


def test_few_blocks_are_held():
    ran = Ran()
    graph, wanted = normalised(ran, 4)
    result = fuse_blocks(graph, wanted, ran.is_root, "token", barrier=5)
    dask.get(result.tasks, list(result.sinks))
    assert [ran.times["read", n] for n in range(4)] == [1] * 4


def test_the_number_that_counts_is_that_of_different_blocks():
    """A chain of sums of the same two blocks is a value of two blocks."""
    ran = Ran()
    shape = [(("read", 0), ()), (("read", 1), ()), (("add", 0), (("read", 0), ("read", 1)))]
    shape += [(("add", n), (("add", n - 1), ("read", n % 2))) for n in range(1, 9)]
    wanted = [("effect", 0)]
    result = fuse_blocks(build([*shape, (wanted[0], (("add", 8),))], ran), wanted, ran.is_root, "token", barrier=3)
    dask.get(result.tasks, list(result.sinks))
    assert set(ran.times.values()) == {1}


def test_a_value_of_one_merge_of_many_blocks_is_a_barrier_too():
    """Each block minus a statistic of a coarse level, which is one merge of all carries."""
    ran = Ran()
    shape = [(("read", n), ()) for n in range(4)]
    shape += [(("root", 0), tuple(("read", n) for n in range(4))), (("alias", 0), (("root", 0),))]
    shape += [(("add", n), (("read", n), ("alias", 0))) for n in range(4)]
    shape += [(("effect", n), (("add", n),)) for n in range(4)]
    wanted = [("effect", n) for n in range(4)]
    result = fuse_blocks(build(shape, ran), wanted, ran.is_root, "token", barrier=4)
    assert len(result.tasks) == 1 + 1 + 4 + 1 + 4
    dask.get(result.tasks, list(result.sinks))
    assert ran.times == Counter({("root", 0): 1, **{("read", n): 2 for n in range(4)}, **dict.fromkeys(wanted, 1)})


def test_a_block_that_is_needed_behind_the_barrier_only_is_read_once():
    ran = Ran()
    shape = [(("read", n), ()) for n in range(4)]
    shape.append((("total", 0), tuple(("read", n) for n in range(3))))
    shape += [(("alias", 0), (("read", 3),)), (("add", 0), (("alias", 0), ("total", 0)))]
    wanted = [("effect", 0)]
    result = fuse_blocks(build([*shape, (wanted[0], (("add", 0),))], ran), wanted, ran.is_root, "token", barrier=3)
    dask.get(result.tasks, list(result.sinks))
    assert set(ran.times.values()) == {1}
    assert len(result.tasks) == 1 + 1 + 3 + 1 + 1


def test_an_effect_whose_value_is_needed_behind_the_barrier_runs_once():
    ran = Ran()
    shape = [(("read", n), ()) for n in range(3)]
    shape += [(("effect", n), (("read", n),)) for n in range(3)]
    shape.append((("total", 0), tuple(("read", n) for n in range(3))))
    shape += [(("add", n), (("effect", n), ("total", 0))) for n in range(3)]
    shape += [(("effect", 3 + n), (("add", n),)) for n in range(3)]
    wanted = [("effect", n) for n in range(6)]
    result = fuse_blocks(build(shape, ran), wanted, ran.is_root, "token", barrier=3)
    dask.get(result.tasks, list(result.sinks))
    assert set(ran.times.values()) == {1}


class Watch(Callback):
    """The most bytes of block values that a scheduler held after any one task."""

    def __init__(self):
        super().__init__(posttask=self._after)
        self.most = 0

    def _after(self, key, value, graph, state, worker):
        self.most = max(self.most, sum(map(size, state["cache"].values())))


def size(value):
    if isinstance(value, (tuple, list)):
        return sum(map(size, value))
    return value.nbytes if isinstance(value, np.ndarray) else 0


EDITS = {
    "centred": (lambda d: d - d.max(), 2),
    "standardised": (lambda d: (d - d.mean()) / d.std(), 2),
    "twice": (lambda d: (d - d.max()) / (d - d.max()).std(), 3),
    "unchanged": (lambda d: d + 1, 1),
}


def write(edit, scheduler):
    """Write an edited pyramid of 64 blocks; give samples read per sample, and most bytes held per byte of the
    image, once the levels are compared with what the tree computes.
    """
    pixels = np.random.default_rng(0).integers(0, 999, (256, 256)).astype("f8")
    source = CountingArray(pixels)
    image = xr.DataArray(da.from_array(source, chunks=(32, 32), asarray=True), dims=("y", "x"))
    tree = msi.to_multiscale(image, [2, 2, 2], chunks=16, block_bytes=32**2 * 8)
    assert tree.pyramid.explain().stages[0].blocks == 64
    tree = tree.map_over_datasets(lambda d: edit(d) if d.data_vars else d)
    source.samples = 0
    store = MemoryStore()
    with Watch() as watch, dask.config.set(scheduler=scheduler):
        # arithmetic drops the chunks that were asked for
        tree.pyramid.to_zarr(store, encoding={f"/scale{n}": {"image": {"chunks": (16, 16)}} for n in range(4)})
    read = source.samples / pixels.size
    opened = msi.open_multiscale(store)
    for name, node in tree.children.items():
        np.testing.assert_array_equal(opened[name].image.values, node.image.values)
    return read, watch.most / pixels.nbytes


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_an_image_is_read_again_and_not_held(edit, scheduler, monkeypatch):
    change, times = EDITS[edit]
    read, held = write(change, scheduler)
    assert read == times
    assert held < 0.25
    if times > 1:
        without = partial(fuse_blocks, barrier=10**9)
        monkeypatch.setattr(msi_lazy.graph.fuse_levels, "fuse_blocks", without)
        read, held = write(change, scheduler)
        assert read == 1
        assert held > 0.75
