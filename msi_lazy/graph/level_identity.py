"""Identity of the sources of a pyramid's levels, which must be the same when a write is resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.compat.dask_graphs import held_values, layers_of
from msi_lazy.source.identity import identify_selection, identify_stored, identify_value
from msi_lazy.source.sources import ChunkReader
from msi_lazy.source.views import find_view

if TYPE_CHECKING:
    import dask.array as da

    from msi_lazy.graph.level_graph import LevelGraph, StageLayer

__all__ = ["identify_levels"]

Identity = dict[str, Any]


def identify_levels(levels: LevelGraph) -> list[Identity]:
    """Identify the sources of a pyramid: the one of an unedited pyramid, else one for each level."""
    if levels.are_picks and len(levels.first_stages) == 1:
        return [_identify_input(levels.first_stages[0], levels.arrays[0])]
    return [_identify_dask(array) for array in levels.arrays]


def _identify_input(stage: StageLayer, array: da.Array) -> Identity:
    if stage.source is not None:
        return identify_value(stage.source)
    readers = [value for layer in layers_of(array).values() for value in held_values(layer)]
    reader = next((value for value in readers if isinstance(value, ChunkReader)), None)
    # the samples rechunked for a first stage are those that the reader reads, whatever the graph's name
    return _identify_graph(str(stage.below), array) if reader is None else identify_value(reader)


def _identify_dask(array: da.Array) -> Identity:
    view = find_view(array)
    if view is None:
        return _identify_graph(str(array.name), array)
    return {**identify_value(view.array), **identify_selection(view.selection, view.casts)}


def _identify_graph(name: str, array: da.Array) -> Identity:
    """Identify a graph by the name of its array, and by the stored arrays that it reads."""
    held = {id(value): value for layer in layers_of(array).values() for value in held_values(layer)}
    return {"graph": name, "reads": identify_stored(held.values())}
