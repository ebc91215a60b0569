"""Layers written out at once are what Dask makes of them, argument by argument."""

import gc

import dask.array as da
import numpy as np
import pytest
from dask.blockwise import Blockwise

import msi_lazy as msi
from msi_lazy.graph import materialize as module
from msi_lazy.graph.garbage import collection_paused
from msi_lazy.graph.materialize import materialize


def shift(block, by, block_info=None, block_id=None):
    return block + by + sum(block_id) + len(block_info)


def pyramid(x):
    return msi.to_multiscale(msi.to_spatial_image(x), [2, 2], chunks=8)["scale2"].image.data


ARRAYS = {
    "elementwise": lambda x: x * 2 + x,
    "transposed": lambda x: x.T - 1,
    "broadcast": lambda x: x + x[:1] + x[:, :1] + np.arange(40),
    "square": lambda x: x * x,
    "keywords": lambda x: da.clip(x, 3, 9).astype("i2"),
    "new axis": lambda x: da.map_blocks(np.expand_dims, x, 0, new_axis=0, chunks=((1,), *x.chunks), dtype=x.dtype),
    "block info": lambda x: x.map_blocks(shift, 5, dtype=x.dtype),
    "outer": lambda x: da.blockwise(np.add.outer, "ijkl", x[:20], "ij", x[:20], "kl", dtype=x.dtype),
    "contracted": lambda x: da.tensordot(x, x.T, axes=1),
    "with a Dask scalar": lambda x: x - x.max(),
    "where": lambda x: da.where(x > 100, x, 0),
    "full": lambda _: da.full((20, 30), 4, chunks=7),
    "pyramid": pyramid,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_tasks_are_those_of_dask(name, monkeypatch):
    x = da.from_array(np.arange(70 * 40.0).reshape(70, 40), chunks=(16, 11))
    graph = ARRAYS[name](x).dask
    assert any(isinstance(layer, Blockwise) and module.is_plain(layer) for layer in graph.layers.values())
    tasks = materialize(graph)
    monkeypatch.setattr(module, "is_plain", lambda layer: False)
    expected = materialize(graph)
    assert list(tasks) == list(expected)
    for key, task in tasks.items():
        assert type(task) is type(expected[key])
        assert task.dependencies == expected[key].dependencies
        assert task == expected[key]
        assert task.data_producer == expected[key].data_producer


def test_all_layers_of_an_edited_tree_are_written_out_at_once():
    edited = pyramid(np.zeros((70, 40))) * 2 - 1
    layers = [layer for layer in edited.dask.layers.values() if isinstance(layer, Blockwise)]
    assert len(layers) > 3
    assert all(map(module.is_plain, layers))


@collection_paused()
def fail_while_paused():
    with collection_paused():
        raise KeyError(gc.isenabled())


def test_garbage_is_collected_again_whatever_happens():
    with pytest.raises(KeyError, match="False"):
        fail_while_paused()
    assert gc.isenabled()
