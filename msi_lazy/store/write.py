"""Writing a pyramid as OME-Zarr: check, create, compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da

from msi_lazy.graph.source import local_sources
from msi_lazy.ngff.write import VERSIONS, Version, check_holdable, image_attributes
from msi_lazy.store.compute import active_client, run
from msi_lazy.store.graph import write_graph
from msi_lazy.store.target import Mode, check_target, create_target, is_in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from dask.delayed import Delayed

    from msi_lazy.plan.pyramid import PyramidPlan

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
) -> Delayed | None:
    """Write ``tree``, whose dimensions are in the order of the specification; see ``msi_lazy.to_zarr``."""
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(repr, VERSIONS))}, not {version!r}")
    check_holdable(plan.axes, plan.name)
    encoding = _check_encoding(encoding, plan)
    attributes = image_attributes(plan, version)
    arrays = [image.data if image.chunks is not None else da.from_array(image.values) for image in images]
    check_target(store, mode, local_sources(arrays), storage_options)
    if is_in_memory(store) and active_client() is not None:
        raise ValueError("a MemoryStore cannot be written by the workers of a distributed client; write to a path")
    target = create_target(tree, plan, store, mode, version, encoding, compressors, storage_options)
    targets = [target.open_level(level.number, plan.name) for level in plan.levels]
    delayed = write_graph(arrays, targets, target, attributes)
    if not compute:
        return delayed
    run(delayed, progress)
    return None


def _check_encoding(encoding: Mapping[str, Any] | None, plan: PyramidPlan) -> Mapping[str, Any]:
    """Refuse names that are not in the tree, before anything is created."""
    for node, variables in (encoding or {}).items():
        if node.removeprefix("/") not in {level.name for level in plan.levels}:
            raise ValueError(f"encoding names the node {node!r}; the scales are '/scale0' to '/{plan.levels[-1].name}'")
        unknown = [name for name in variables if name != plan.name]
        if unknown:
            raise ValueError(f"encoding names the variable {unknown[0]!r}; the image is called {plan.name!r}")
    return encoding or {}
