"""Layouts of levels in the store: chunks, shards, codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import is_integer
from msi_lazy.methods.table import is_for_labels
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, LevelPaths, level_path
from msi_lazy.ngff.specifications import DEFAULT_VERSION
from msi_lazy.storage.arrays import is_lossless
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.storage.place import ZarrFormat

__all__ = ["LevelLayout", "label_layouts", "resolve_layouts"]

Shape = tuple[int, ...]
_SHAPES = ("chunks", "shards")
_EMPTY_CHUNKS = "write_empty_chunks"
_SETTINGS = (*_SHAPES, "compressors", "filters", "serializer", "fill_value", _EMPTY_CHUNKS)


@dataclass(frozen=True)
class LevelLayout:
    """Layout of one level's array in the store, resolved from all arguments."""

    path: str
    """Path of the array below the image's group."""
    chunks: Shape
    """Shape of a chunk."""
    shards: Shape | None
    """Shape of a shard; ``None`` without shards."""
    write_unit: Shape
    """Shape of a write unit: a shard, or a chunk without shards, cut to the level."""
    settings: Mapping[str, Any]
    """Further settings, as ``zarr.create_array`` takes them: compressors, and others given by ``encoding``."""
    write_empty_chunks: bool = False
    """Whether chunks of nothing but the fill value are stored."""
    lossless: bool = False
    """Whether the codecs are known to be lossless."""

    @property
    def encoding(self) -> dict[str, Any]:
        """All settings of the array."""
        shards = {} if self.shards is None else {"shards": self.shards}
        return {"chunks": self.chunks, **shards, **self.settings}


def resolve_layouts(
    plan: PyramidPlan,
    zarr_format: ZarrFormat,
    *,
    shards: Any = None,
    compressors: Any = "auto",
    encoding: Any = None,
    kept: int = 0,
    paths: LevelPaths = DEFAULT_PATHS,
) -> tuple[LevelLayout, ...]:
    """Resolve the layout of every level that is written.

    Parameters
    ----------
    plan
        The levels.
    zarr_format
        Zarr version.
    shards, compressors
        Settings of all levels, as for :func:`msi_lazy.to_zarr`.
    encoding
        Settings per level, in the form of xarray's ``DataTree.to_zarr``, which override those of all levels.
    kept
        Number of levels, from the finest, that are not written.
    paths
        Style of the paths of the levels.

    Raises
    ------
    TypeError
        Shards that are no shape, or an encoding that is no mapping of nodes to variables to settings.
    ValueError
        Settings of nodes that are not in the tree, or unknown ones; chunks of another rank than the image; shards
        that are no whole number of chunks, or for Zarr v2, which has none; a name that stands for no codecs.
    """
    checked = _check_encoding(encoding, plan)
    levels = plan.levels[kept:]
    return tuple(_resolve(level, plan, zarr_format, shards, compressors, checked, paths) for level in levels)


def label_layouts(
    plan: PyramidPlan,
    image: PyramidPlan,
    zarr_format: ZarrFormat,
    *,
    shards: Any,
    compressors: Any,
    paths: LevelPaths = DEFAULT_PATHS,
) -> tuple[LevelLayout, ...]:
    """Resolve the layout of every level of labels from the settings of their image, whose codecs hold by name only."""
    named = compressors if isinstance(compressors, str) else "auto"
    along = _shards_along(plan.dims, image.dims, shards)
    return resolve_layouts(plan, zarr_format, shards=along, compressors=named, paths=paths)


def _shards_along(dims: Sequence[str], image_dims: Sequence[str], shards: Any) -> Any:
    """Select from the shards of an image those of a label image, which may lack some dimensions."""
    if isinstance(shards, Sequence) and not isinstance(shards, str) and len(shards) == len(image_dims):
        shards = dict(zip(image_dims, shards, strict=True))
    if isinstance(shards, Mapping):
        return {dim: length for dim, length in shards.items() if dim in dims or dim not in image_dims}
    return shards


def _resolve(
    level: LevelPlan,
    plan: PyramidPlan,
    zarr_format: ZarrFormat,
    shards: Any,
    compressors: Any,
    encoding: Mapping[str, Any],
    paths: LevelPaths,
) -> LevelLayout:
    facts = store_format(zarr_format)
    asked = encoding.get(f"/{level.name}", encoding.get(level.name, {})).get(plan.name, {})
    chunks = tuple(asked.get("chunks") or level.chunks)
    shape = asked["shards"] if "shards" in asked else _level_shards(shards, plan, level, chunks)
    if shape is not None:
        if not facts.has_shards:
            raise ValueError(f"shards need Zarr v3: write version={DEFAULT_VERSION!r}, or leave shards out")
        shape = tuple(shape)
        _check_whole(shape, chunks, level, plan)
    settings: dict[str, Any] = {"compressors": asked.get("compressors", compressors)}
    settings["compressors"] = _codecs(settings["compressors"], plan, zarr_format)
    if facts.key_encoding:
        keys = dict(facts.key_encoding)
        settings["chunk_key_encoding"] = {"name": keys.pop("name"), "configuration": keys}
    settings |= {key: value for key, value in asked.items() if key not in (*_SHAPES, _EMPTY_CHUNKS, "compressors")}
    return LevelLayout(
        path=level_path(paths, level.number, plan.name),
        chunks=chunks,
        shards=shape,
        write_unit=tuple(map(min, shape or chunks, level.shape)),
        settings=settings,
        write_empty_chunks=bool(asked.get(_EMPTY_CHUNKS, False)),
        lossless=not asked and is_lossless(settings["compressors"]),
    )


def _codecs(compressors: Any, plan: PyramidPlan, zarr_format: ZarrFormat) -> Any:
    """Codecs that a name stands for, of images or of labels; others are returned as they are."""
    if not isinstance(compressors, str):
        return compressors
    named = store_format(zarr_format).named_codecs
    if compressors not in named:
        allowed = ", ".join(map(repr, named))
        raise ValueError(
            f"the pyramid cannot be stored with compressors={compressors!r}: give {allowed}, None, or a codec of "
            f"{'numcodecs' if store_format(zarr_format).has_numcodecs else 'zarr.codecs'}"
        )
    kinds = named[compressors]
    return kinds.of_labels if is_for_labels(plan.method, plan.dtype) else kinds.of_images


def _check_encoding(encoding: Any, plan: PyramidPlan) -> Mapping[str, Any]:
    """Refuse an ``encoding`` of the wrong form, of unknown nodes or variables, or with settings that change values."""
    if encoding is None:
        return {}
    form = "encoding has the form {'/scale0': {'image': {'chunks': (64, 64)}}}"
    if not isinstance(encoding, dict) or not all(isinstance(value, dict) for value in encoding.values()):
        raise TypeError(f"{form}, not {encoding!r}")
    for node, variables in encoding.items():
        if str(node).removeprefix("/") not in {level.name for level in plan.levels}:
            raise ValueError(f"encoding names the node {node!r}; the scales are '/scale0' to '/{plan.levels[-1].name}'")
        for name, settings in variables.items():
            if name != plan.name:
                raise ValueError(f"encoding names the variable {name!r}; the image is called {plan.name!r}")
            if not isinstance(settings, dict):
                raise TypeError(f"{form}, not {encoding!r}")
            unknown = [setting for setting in settings if setting not in _SETTINGS]
            if unknown:
                raise ValueError(
                    f"encoding of {node!r} has the setting {unknown[0]!r}; only those "
                    f"that keep the values can be set: {', '.join(_SETTINGS)}"
                )
            for setting in _SHAPES:
                _check_lengths(settings.get(setting), setting, node, len(plan.dims))
    return encoding


def _check_lengths(lengths: Any, setting: str, node: str, ndim: int) -> None:
    if lengths is None:
        return
    whole = isinstance(lengths, (tuple, list)) and all(type(n) is int and n > 0 for n in lengths)
    if not whole or len(lengths) != ndim:
        raise ValueError(f"encoding of {node!r}: {setting} must be {ndim} positive integers, not {lengths!r}")


def _level_shards(shards: Any, plan: PyramidPlan, level: LevelPlan, chunks: Shape) -> Shape | None:
    """Shape of the shards of a level.

    Parameters
    ----------
    shards
        ``None`` for none; ``"auto"`` for the blocks that a level is computed in, so that a task writes whole
        shards; a shape as a tuple, a dict or one integer for the spatial dimensions, the same on all levels.
        No shard is larger than needed to hold the level.
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
    pairs = zip((wanted.get(dim) for dim in plan.dims), chunks, level.shape, strict=True)
    return tuple(c if length is None else min(int(length), _round_up(n, c)) for length, c, n in pairs)


def _explicit(shards: Any, plan: PyramidPlan) -> Mapping[str, Any]:
    """Length of a shard by dimension; along those left out it is that of a chunk."""
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
