"""Work inside one task: read a window or merge carries, then compute the levels of a stage.

Module-level functions of picklable arguments, so that they run in any worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.declared import check_block
from msi_lazy.methods.kernel import LibraryKernel
from msi_lazy.methods.lending import fresh, prefixed
from msi_lazy.methods.row import no_radius
from msi_lazy.methods.samples import as_samples
from msi_lazy.plan.block_names import naming_block
from msi_lazy.plan.windows import Interval, Window, needed_interval, relative_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from msi_lazy.methods import Method
    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.reading import Reading
    from msi_lazy.plan.source_rows import SourceChunks
    from msi_lazy.plan.stages import StagePlan
    from msi_lazy.source.sources import WindowSource

__all__ = [
    "StageRecipe",
    "gather_block",
    "join_pieces",
    "merge_block",
    "pick_level",
    "read_block",
    "reduce_block",
    "reduce_overlapped",
    "reduce_window",
]

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]

_PART_BYTES = 4 * 2**20
"""Bytes of a window that are extended or converted at a time."""


@dataclass(frozen=True)
class StageRecipe:
    """A stage and how its levels are computed."""

    stage: StagePlan
    """Geometry."""
    method: Method
    """Method that reduces a window."""
    nodata: Any
    """Value left out of every reduction, or ``None``."""
    dtype: np.dtype[Any]
    """Dtype of the samples, in native byte order."""
    boundary: str
    """Kept for the record: the geometry already follows it."""
    block_bytes: int
    """Kept for the record: the limit that the blocks were planned for."""
    reading: Reading
    """Kept for the record: the cost of reading the source."""
    notes: tuple[str, ...] = ()
    """Kept for the record: the plan's remarks."""
    source: str | None = None
    """Kept for the record: the layer of a computed source, in the chunks of ``reading``."""


def read_block(source: WindowSource, index: Index, *, recipe: StageRecipe, lend: Lend = fresh) -> tuple[Array, ...]:
    """Read the window of block ``index`` from the source and compute the stage's levels."""
    with naming_block(recipe.stage, index):
        window = source.read(recipe.stage.needed(index)[0], lend)
    return reduce_block(window, index, recipe=recipe, lend=lend)


def merge_block(
    carries: Sequence[Array], index: Index, *, recipe: StageRecipe, before: StagePlan, lend: Lend = fresh
) -> tuple[Array, ...]:
    """Merge the carries that touch the window of block ``index``, and compute the stage's levels.

    ``carries`` are those of the blocks of stage ``before`` that touch the window, in C order.
    """
    window = recipe.stage.needed(index)[0]
    level = recipe.stage.first
    touched = (before.owned(level, position) for position in product(*before.touching(level, window)))
    pairs = ((carry, owned, _common(owned, window)) for carry, owned in zip(carries, touched, strict=True))
    pieces = ((common, carry[relative_slices(common, owned)]) for carry, owned, common in pairs)
    return reduce_block(join_pieces(pieces, window, recipe.dtype, lend), index, recipe=recipe, lend=lend)


def gather_block(
    parts: Sequence[Array | None],
    index: Index,
    *,
    recipe: StageRecipe,
    chunks: SourceChunks,
    lend: Lend = fresh,
) -> tuple[Array, ...]:
    """Cut the window of block ``index`` out of the source's chunks, and compute the stage's levels.

    ``parts`` are the chunks that touch the window, in C order, and perhaps what waits for those of the row before.
    """
    window = recipe.stage.needed(index)[0]

    def pieces() -> Iterator[tuple[Window, Array]]:
        for position, part in zip(product(*chunks.touching(window)), parts, strict=False):
            owned = chunks.owned(position)
            common = _common(owned, window)
            cut = relative_slices(common, owned)
            yield common, check_block(part, position, chunks=chunks, dtype=recipe.dtype, part=cut)

    with naming_block(recipe.stage, index):
        joined = join_pieces(pieces(), window, recipe.dtype, lend)
    return reduce_block(joined, index, recipe=recipe, lend=lend)


def _common(one: Window, other: Window) -> Window:
    """Find the common part of two windows that touch."""
    return tuple(Interval(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def join_pieces(pieces: Iterable[tuple[Window, Array]], window: Window, dtype: np.dtype[Any], lend: Lend) -> Array:
    """Join pieces, each with the window that it fills, to the array of ``window``; one that fills it is not copied."""
    joined = lend("window", tuple(interval.length for interval in window), dtype)
    for filled, piece in pieces:
        if filled == window:
            return piece
        joined[relative_slices(filled, window)] = piece
    return joined


def reduce_block(array: Array, index: Index, *, recipe: StageRecipe, lend: Lend = fresh) -> tuple[Array, ...]:
    """Compute the levels of a stage from the samples of its input level that block ``index`` needs.

    The levels that it writes may be in arrays that are lent by ``lend``; its carry is in none.

    Returns
    -------
    tuple of ndarray
        Samples that the block owns of each level of ``recipe.stage.outputs``.  A level is computed from the
        finer level's values as they are stored: rounded, and cast to the image's dtype.

    Raises
    ------
    TypeError, ValueError
        The samples have another dtype or shape than the image.
    """
    with naming_block(recipe.stage, index):
        return _compute_levels(as_samples(array, recipe.dtype), index, recipe, lend)


def _compute_levels(array: Array, index: Index, recipe: StageRecipe, lend: Lend) -> tuple[Array, ...]:
    """As :func:`reduce_block`, from plain samples in native byte order."""
    stage = recipe.stage
    windows = stage.needed(index)
    if array.shape != tuple(interval.length for interval in windows[0]):
        raise ValueError(
            f"block {index} of level {stage.first} has shape {array.shape}, but the image's metadata says "
            f"{tuple(interval.length for interval in windows[0])}; the source returns other blocks than it declares"
        )
    values = {stage.first: array}
    for step, factors in enumerate(stage.factors):
        terms = (factors, stage.extents[step], recipe.method, recipe.nodata)
        array = reduce_window(array, windows[step], windows[step + 1], *terms, prefixed(lend, str(step)))
        values[stage.first + step + 1] = array
    owned = (relative_slices(stage.owned(level, index), windows[level - stage.first]) for level in stage.outputs)
    outputs = [values[level][part] for level, part in zip(stage.outputs, owned, strict=True)]
    if stage.carry is not None and lend is not fresh:  # it outlives the block
        outputs[-1] = outputs[-1].copy()
    return tuple(outputs)


def reduce_overlapped(array: Array, index: Index, *, recipe: StageRecipe) -> tuple[Array, ...]:
    """Compute the stage's levels from a block with a whole halo around it, as Dask's ``overlap`` returns it."""
    return reduce_block(
        array[relative_slices(recipe.stage.needed(index)[0], recipe.stage.reach(index))], index, recipe=recipe
    )


def pick_level(levels: tuple[Array, ...], *, position: int) -> Array:
    """Pick one level of a stage's tuple."""
    return levels[position]


def reduce_window(
    array: Array,
    window: Window,
    output: Window,
    factors: tuple[int, ...],
    extents: tuple[int, ...],
    method: Method,
    nodata: Any,
    lend: Lend = fresh,
) -> Array:
    """Compute ``output`` of the next level from ``array``, which holds ``window`` of a level of shape ``extents``.

    Kernels of the library compute it in arrays lent by ``lend``; others get none.  What has to be copied first, to be
    extended at an edge of the level or converted, is computed part by part: no large array is copied.
    """
    radii = tuple(method.radius(factor) if factor > 1 else 0 for factor in factors)
    terms = (window, factors, radii, extents, method, nodata, lend)
    parts = [output]
    if isinstance(method.kernel, LibraryKernel) and (
        array.dtype == np.float16 or _reaches_beyond(output, factors, radii, extents)
    ):
        parts = _cut_output(output, factors, array.nbytes)
    if len(parts) == 1:
        return _reduce_part(array, output, *terms)
    reduced = lend("parts", tuple(interval.length for interval in output), array.dtype)
    for part in parts:
        reduced[relative_slices(part, output)] = _reduce_part(array, part, *terms)
    return reduced


def _reaches_beyond(output: Window, factors: Index, radii: Index, extents: Index) -> bool:
    """Tell whether a kernel reaches beyond the level."""
    terms = zip(output, factors, radii, extents, strict=True)
    return any(out.start * factor < radius or out.stop * factor + radius > n for out, factor, radius, n in terms)


def _cut_output(output: Window, factors: Index, nbytes: int) -> list[Window]:
    """Cut ``output`` along the first divided dimension into parts that are computed from few of the ``nbytes`` each."""
    axis = next((dim for dim, factor in enumerate(factors) if factor > 1), 0)
    start, stop = output[axis]
    step = max((stop - start) * _PART_BYTES // max(nbytes, 1), 1)
    along = (Interval(at, min(at + step, stop)) for at in range(start, stop, step))
    return [(*output[:axis], interval, *output[axis + 1 :]) for interval in along]


def _reduce_part(
    array: Array,
    output: Window,
    window: Window,
    factors: Index,
    radii: Index,
    extents: Index,
    method: Method,
    nodata: Any,
    lend: Lend,
) -> Array:
    out_shape = tuple(interval.length for interval in output)
    array = _cut_out(array, window, output, factors, radii, extents)
    if method.radius is not no_radius:
        array = _extend(array, output, factors, radii, extents, method.edge)
    kernel = partial(method.kernel, lend=lend) if isinstance(method.kernel, LibraryKernel) else method.kernel
    if array.dtype == np.float16 and method.float16_through != "float16":
        wide = kernel(array.astype(method.float16_through), factors, out_shape, nodata)
        return wide.astype(np.float16)
    reduced = kernel(array, factors, out_shape, nodata)
    if reduced.shape != out_shape or reduced.dtype != array.dtype:
        raise TypeError(
            f"the kernel of method {method.name!r} returned {reduced.dtype} of shape {reduced.shape} for a block of "
            f"{array.dtype} and factors {factors}; it must return {array.dtype} of shape {out_shape}"
        )
    return reduced


def _cut_out(
    array: Array,
    window: Window,
    output: Window,
    factors: tuple[int, ...],
    radii: tuple[int, ...],
    extents: tuple[int, ...],
) -> Array:
    """Cut out the windows of ``output``, and ``radii`` samples on either side, as far as the level has them."""
    terms = zip(window, output, factors, radii, extents, strict=True)
    needed = ((held.start, needed_interval(out, factor, radius, n)) for held, out, factor, radius, n in terms)
    return array[tuple(slice(start - first, stop - first) for first, (start, stop) in needed)]


def _extend(
    array: Array,
    output: Window,
    factors: tuple[int, ...],
    radii: tuple[int, ...],
    extents: tuple[int, ...],
    edge: str,
) -> Array:
    """Extend ``array`` by the rule of ``edge`` where a kernel with a radius reaches beyond the level.

    A last, partial window is filled with the level's last sample first.  Only then does every window's reflection
    lie within its own reach, so that blocks cannot matter.
    """
    fill, beyond = [], []
    for out, factor, radius, extent in zip(output, factors, radii, extents, strict=True):
        whole = max(out.stop * factor, extent)
        fill.append((0, whole - extent))
        beyond.append((max(radius - out.start * factor, 0), max(out.stop * factor + radius - whole, 0)))
    for widths, mode in ((fill, "edge"), (beyond, {"replicate": "edge", "reflect": "symmetric"}[edge])):
        array = np.pad(array, widths, mode=mode) if any(map(any, widths)) else array  # type: ignore[call-overload]
    return array
