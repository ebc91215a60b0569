"""What the levels of a pyramid are made from, as an identity that a resumed write must share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from dask.blockwise import Blockwise
from dask.task_spec import DataNode

from msi_lazy.graph.block_tasks import read_block
from msi_lazy.graph.stage_layers import STAGE_FUNCTIONS, is_level
from msi_lazy.source.identity import identify_stored, identify_value
from msi_lazy.source.origins import held_values
from msi_lazy.source.sources import ChunkReader
from msi_lazy.source.views import find_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da

__all__ = ["identify_levels"]

Identity = dict[str, Any]


def identify_levels(arrays: Sequence[da.Array]) -> list[Identity]:
    """What the levels of a pyramid are made from: the one source of an unedited pyramid, else one for each level."""
    firsts = {name: layer for array in arrays for name, layer in _first_stages(array)}
    if all(map(is_level, arrays)) and len(firsts) == 1:
        return [_identify_input(next(iter(firsts.values())), arrays[0])]
    return [_identify_dask(array) for array in arrays]


def _first_stages(array: da.Array) -> list[tuple[str, Blockwise]]:
    """The layers of a graph that make first stages."""
    layers = array.dask.layers.items()
    return [(name, one) for name, one in layers if isinstance(one, Blockwise) and one.task.func in STAGE_FUNCTIONS]


def _identify_input(layer: Blockwise, array: da.Array) -> Identity:
    """What a first stage reads."""
    source = layer.indices[0][0]
    if layer.task.func is not read_block:
        readers = [value for one in array.dask.layers.values() for value in held_values(one)]
        reader = next((value for value in readers if isinstance(value, ChunkReader)), None)
        # what is rechunked for a first stage is what the reader reads, whatever the graph is called
        return _identify_graph(str(source), array) if reader is None else identify_value(reader)
    node: Any = array.dask.layers[str(getattr(source, "key", source))][getattr(source, "key", source)]
    return identify_value(node.value if isinstance(node, DataNode) else node)


def _identify_dask(array: da.Array) -> Identity:
    view = find_view(array)
    if view is None:
        return _identify_graph(str(array.name), array)
    return {**identify_value(view.array), "crop": [list(np.ravel(crop).tolist()) for crop in view.crop]}


def _identify_graph(name: str, array: da.Array) -> Identity:
    """A graph by the name of its array, and what is stored that it reads."""
    held = {id(value): value for layer in array.dask.layers.values() for value in held_values(layer)}
    return {"graph": name, "reads": [found for found in map(identify_stored, held.values()) if found is not None]}
