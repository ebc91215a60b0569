"""How the array of a level lies in the store: chunks, shards, codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import is_integer
from msi_lazy.methods.table import is_for_labels
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.storage.place import ZarrFormat

__all__ = ["array_settings", "level_shards", "write_unit"]

Shape = tuple[int, ...]


def array_settings(
    plan: PyramidPlan,
    level: LevelPlan,
    shards: Any,
    compressors: Any,
    asked: Mapping[str, Any],
    zarr_format: ZarrFormat,
) -> dict[str, Any]:
    """Encoding of the array of a level, in xarray's words; what ``asked`` says goes first.

    Raises
    ------
    ValueError
        Shards that are no whole number of chunks, or for Zarr v2, which has none.
    """
    facts = store_format(zarr_format)
    chunks = tuple(asked.get("chunks") or level.chunks)
    settings: dict[str, Any] = {"chunks": chunks}
    shape = tuple(asked["shards"]) if asked.get("shards") else level_shards(shards, plan, level, chunks)
    if shape is not None:
        if not facts.has_shards:
            raise ValueError("shards need Zarr v3: write version='0.5', or leave shards out")
        _check_whole(shape, chunks, level, plan)
        settings["shards"] = shape
    settings["compressors"] = compressors
    if isinstance(compressors, str) and compressors == "auto":
        codecs = facts.label_codecs if is_for_labels(plan.method, plan.dtype) else facts.image_codecs
        settings["compressors"] = codecs()
    if facts.key_encoding:
        encoding = dict(facts.key_encoding)
        settings["chunk_key_encoding"] = {"name": encoding.pop("name"), "configuration": encoding}
    return {**settings, **asked}


def write_unit(level: LevelPlan, plan: PyramidPlan, shards: Any, asked: Mapping[str, Any]) -> Shape:
    """What is written as a whole: a shard, or a chunk where there are none."""
    chunks = tuple(asked.get("chunks") or level.chunks)
    unit = tuple(asked["shards"]) if asked.get("shards") else level_shards(shards, plan, level, chunks)
    return tuple(map(min, unit or chunks, level.shape))


def level_shards(shards: Any, plan: PyramidPlan, level: LevelPlan, chunks: Shape) -> Shape | None:
    """Shape of the shards of a level.

    Parameters
    ----------
    shards
        ``None`` for none; ``"auto"`` for the blocks that the level is made in, so that a task writes whole
        shards; a shape as a tuple, a dict or one integer for the spatial dimensions, the same on all levels.
        No shard is larger than it takes to hold the level.

    Raises
    ------
    TypeError, ValueError
        None of these.
    """
    if shards is None:
        return None
    if isinstance(shards, str):
        if shards != "auto":
            raise ValueError(f"shards must be None, 'auto', an integer, a tuple or a dict, not {shards!r}")
        whole = zip(level.blocks, chunks, level.shape, strict=True)
        return tuple(_round_up(block if block == n else max(block - block % c, c), c) for block, c, n in whole)
    wanted = _explicit(shards, plan)
    for length in wanted.values():
        if not is_integer(length) or length < 1:
            raise TypeError(f"shards must be positive integers, not {shards!r}")
    # a level smaller than a shard gets one that just holds it
    pairs = zip((wanted.get(dim) for dim in plan.dims), chunks, level.shape, strict=True)
    return tuple(c if length is None else min(int(length), _round_up(n, c)) for length, c, n in pairs)


def _explicit(shards: Any, plan: PyramidPlan) -> Mapping[str, Any]:
    """Length of a shard along each dimension that has one; along the others it is that of a chunk."""
    if isinstance(shards, Mapping):
        unknown = [dim for dim in shards if dim not in plan.dims]
        if unknown:
            raise ValueError(f"shards name the dimension {unknown[0]!r}, but the image has {plan.dims}")
        return shards
    if isinstance(shards, Sequence):
        if len(shards) != len(plan.dims):
            raise ValueError(f"shards {tuple(shards)} have {len(shards)} entries, but the image has {plan.dims}")
        return dict(zip(plan.dims, shards, strict=True))
    return {axis.name: shards for axis in plan.axes if axis.is_spatial}


def _check_whole(shards: Shape, chunks: Shape, level: LevelPlan, plan: PyramidPlan) -> None:
    for dim, shard, chunk in zip(plan.dims, shards, chunks, strict=True):
        if shard % chunk:
            raise ValueError(
                f"shards must be whole numbers of chunks: along {dim!r} of {level.name} a shard of {shard} is "
                f"none of chunks of {chunk}"
            )


def _round_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit
