"""Writing a pyramid as OME-Zarr: check everything, create, compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from msi_lazy.errors import MemoryLimitError
from msi_lazy.graph.origins import origins
from msi_lazy.graph.source import is_in_memory as is_loaded
from msi_lazy.graph.source import lazy_array
from msi_lazy.ngff.write import VERSIONS, Version, check_holdable, image_attributes
from msi_lazy.plan.factors import parse_bytes_of
from msi_lazy.store.compute import crosses_processes, process_memory, run, worker_threads
from msi_lazy.store.graph import write_graph
from msi_lazy.store.hierarchy import check_encoding, compose_hierarchy, create_hierarchy, loaded_coordinates
from msi_lazy.store.target import Mode, check_target, is_in_memory, open_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    coordinates = [lazy_array(coord) for coord in _lazy_coordinates(tree)]
    check_target(store, mode, origins([*arrays, *coordinates]), storage_options)
    if is_in_memory(store) and crosses_processes():
        raise ValueError("a store in memory cannot be written by worker processes; write to a path")
    memory = _project_memory(plan, memory_limit)
    tree = loaded_coordinates(tree)
    zarr_format: ZarrFormat = 3 if version == "0.5" else 2
    contents = compose_hierarchy(tree, plan, zarr_format, encoding, compressors, attributes)
    target = open_target(store, mode, zarr_format, storage_options)
    create_hierarchy(target, tree, plan, contents)
    targets = [target.open_level(level.number, plan.name) for level in plan.levels]
    delayed = write_graph(arrays, targets, target, attributes, memory.read_back)
    if not compute:
        return delayed
    run(delayed, progress)
    return None


def _project_memory(plan: PyramidPlan, memory_limit: int | str | None) -> MemoryUse:
    """What each process will hold.

    Raises
    ------
    MemoryLimitError
        More than ``memory_limit``.
    """
    threads = worker_threads()
    if memory_limit is None:
        return plan.memory(threads, process_memory())
    limit = parse_bytes_of("memory_limit", memory_limit)
    memory = plan.memory(threads, limit)
    if memory.total > limit:
        raise MemoryLimitError(
            f"the write would hold up to {format_bytes(memory.total)} in each process ({threads} worker threads with "
            f"{format_bytes(memory.per_thread)} each, and {format_bytes(memory.total - threads * memory.per_thread)} "
            f"besides), and memory_limit is {format_bytes(limit)}; use fewer threads per process, or build the pyramid "
            f"with smaller block_bytes (now {format_bytes(plan.block_bytes)}) or smaller chunks"
        )
    return memory


def _check_dtypes(images: Sequence[xr.DataArray]) -> None:
    """Refuse levels of different dtypes, which OME-Zarr's readers do not expect."""
    for number, image in enumerate(images):
        if image.dtype != images[0].dtype:
            raise ValueError(
                f"scale{number} has dtype {image.dtype}, scale0 {images[0].dtype}; convert them alike, "
                f"e.g. with tree.map_over_datasets"
            )


def _lazy_coordinates(tree: xr.DataTree) -> list[xr.DataArray]:
    datasets = [node.to_dataset(inherit=False) for node in tree.subtree]
    coords = (coord for dataset in datasets for coord in dataset.coords.values())
    return [coord for coord in coords if coord.ndim and not is_loaded(coord.variable)]
