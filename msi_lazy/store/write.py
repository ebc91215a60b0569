"""Writing a pyramid as OME-Zarr: check everything, create, compute."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from msi_lazy.errors import MemoryLimitError
from msi_lazy.graph.direct import can_emit
from msi_lazy.graph.origins import origins
from msi_lazy.graph.pipeline import is_lossless
from msi_lazy.graph.source import is_in_memory as is_loaded
from msi_lazy.graph.source import lazy_array
from msi_lazy.graph.stages import is_level
from msi_lazy.graph.views import find_view
from msi_lazy.ngff.write import VERSIONS, Version, check_holdable, image_attributes
from msi_lazy.plan.blocks import aligned_blocks
from msi_lazy.plan.factors import parse_bytes_of
from msi_lazy.plan.reading import longest_between
from msi_lazy.store.compute import crosses_processes, process_memory, run, worker_threads
from msi_lazy.store.graph import write_graph
from msi_lazy.store.hierarchy import (
    asked_settings,
    check_encoding,
    compose_hierarchy,
    create_hierarchy,
    loaded_coordinates,
)
from msi_lazy.store.target import Mode, check_target, is_in_memory, open_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dask.array as da
    import xarray as xr
    from dask.delayed import Delayed

    from msi_lazy.plan.memory import MemoryUse
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.store.target import ZarrFormat

__all__ = ["write_tree"]


def write_tree(
    tree: xr.DataTree,
    images: Sequence[xr.DataArray],
    plan: PyramidPlan,
    store: Any,
    mode: Mode,
    version: Version,
    compressors: Any,
    encoding: Mapping[str, Any] | None,
    compute: bool,
    progress: bool,
    storage_options: Mapping[str, Any] | None,
    memory_limit: int | str | None,
) -> Delayed | None:
    """Write ``tree``, whose dimensions are in the order of the specification; see ``msi_lazy.to_zarr``."""
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(repr, VERSIONS))}, not {version!r}")
    check_holdable(plan.axes, plan.name)
    _check_dtypes(images)
    encoding = check_encoding(encoding, plan)
    attributes = image_attributes(plan, version)
    arrays = [lazy_array(image) for image in images]
    others = [lazy_array(variable) for variable in _lazy_variables(tree, plan)]
    check_target(store, mode, origins([*arrays, *others]), storage_options)
    if is_in_memory(store) and crosses_processes():
        raise ValueError("a store in memory cannot be written by worker processes; write to a path")
    lossless = not encoding and (compressors == "auto" or is_lossless(compressors))
    memory = _project_memory(plan, arrays, encoding, memory_limit, may_read_back=lossless and can_emit(arrays))
    tree = loaded_coordinates(tree)
    zarr_format: ZarrFormat = 3 if version == "0.5" else 2
    contents = compose_hierarchy(tree, plan, zarr_format, encoding, compressors, attributes)
    target = open_target(store, mode, zarr_format, storage_options)
    create_hierarchy(target, tree, plan, contents)
    targets = [
        target.open_level(
            level.number, plan.name, asked_settings(encoding, level, plan).get("write_empty_chunks", False)
        )
        for level in plan.levels
    ]
    delayed = write_graph(arrays, targets, target, attributes, memory.read_back)
    if not compute:
        return delayed
    run(delayed, progress)
    return None


def _project_memory(
    plan: PyramidPlan,
    arrays: Sequence[da.Array],
    encoding: Mapping[str, Any],
    memory_limit: int | str | None,
    may_read_back: bool,
) -> MemoryUse:
    """What each process will hold.

    Raises
    ------
    MemoryLimitError
        More than ``memory_limit``, or nobody can say.
    """
    threads = worker_threads()
    limit = process_memory() if memory_limit is None else parse_bytes_of("memory_limit", memory_limit)
    memory = plan.memory(threads, limit if may_read_back else None)
    merged, held = _merged_bytes(plan, arrays, encoding)
    memory = replace(memory, per_thread=memory.per_thread + merged, rechunking=memory.rechunking + held)
    if memory_limit is None:
        return memory
    planned = plan.stages and all(map(is_level, arrays))
    if not (planned or plan.untransposed is not None or all(find_view(array) is not None for array in arrays)):
        raise MemoryLimitError(
            "memory_limit cannot be held against a tree that was edited: what its arrays need is not known; leave "
            "memory_limit out, or write the pyramid as to_multiscale built it"
        )
    if memory.total > limit:
        raise MemoryLimitError(
            f"the write would hold up to {format_bytes(memory.total)} in each process ({threads} worker threads with "
            f"{format_bytes(memory.per_thread)} each, and {format_bytes(memory.total - threads * memory.per_thread)} "
            f"besides), and memory_limit is {format_bytes(limit)}; use fewer threads per process, or build the pyramid "
            f"with smaller block_bytes (now {format_bytes(plan.block_bytes)}) or smaller chunks"
        )
    return memory


def _merged_bytes(plan: PyramidPlan, arrays: Sequence[da.Array], encoding: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of the largest block that is merged to fit the chunks or shards in ``encoding``, and held meanwhile."""
    merged = held = 0
    for level, array in zip(plan.levels, arrays, strict=True):
        asked = asked_settings(encoding, level, plan)
        units = tuple(map(min, asked.get("shards") or asked.get("chunks") or level.chunks, level.shape))
        blocks = aligned_blocks(array.chunks, units)
        if blocks != array.chunks:
            merged = max(merged, 3 * prod(map(max, blocks)) * array.dtype.itemsize)
            held += 2 * prod(map(longest_between, array.chunks, blocks)) * array.dtype.itemsize
    return merged, held


def _check_dtypes(images: Sequence[xr.DataArray]) -> None:
    """Refuse levels of different dtypes, which OME-Zarr's readers do not expect."""
    for number, image in enumerate(images):
        if image.dtype != images[0].dtype:
            raise ValueError(
                f"scale{number} has dtype {image.dtype}, scale0 {images[0].dtype}; convert them alike, "
                f"e.g. with tree.map_over_datasets"
            )


def _lazy_variables(tree: xr.DataTree, plan: PyramidPlan) -> list[xr.DataArray]:
    """Everything in the tree that is still to be read, but the images of its scales."""
    levels = {f"/{level.name}" for level in plan.levels}
    found: list[xr.DataArray] = []
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        names = [name for name in dataset.variables if not (node.path in levels and name == plan.name)]
        found.extend(dataset[name] for name in names if not is_loaded(dataset[name].variable))
    return found
