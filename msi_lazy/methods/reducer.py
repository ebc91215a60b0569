"""A user's own function as a kernel: it is called on whole windows, and its result is checked.

::

    image with boundary="pad"      o o o o o o o      windows of 3: the last one holds a single sample
    calls of the function          |-----------|      f(array[:6], (3,))
                                               |-|    f(array[6:], (1,))
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WindowFunction", "check_function", "name_of_function"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WindowFunction:
    """Kernel that calls a function ``f(array, factors) -> array``."""

    function: Callable[[Array, tuple[int, ...]], Array]
    """Function that reduces whole windows, NumPy in and out."""
    radius: Callable[[int], int]
    """Samples around its windows that it gets, on either side, for a factor."""

    def __call__(self, array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None) -> Array:
        """Reduce each window to one sample.

        The function gets a read-only view, and is called once, or once for each kind of partial window at the image's
        end, with the sizes that these have.

        Raises
        ------
        TypeError
            The function returned something other than a NumPy array, or a masked one, or a dtype that
            cannot become the image's.
        ValueError
            The function returned an array of another shape than one sample for each window.
        OverflowError
            The image's dtype cannot hold the returned values.
        """
        out = np.empty(out_shape, array.dtype)
        radii = [self.radius(factor) if factor > 1 else 0 for factor in factors]
        sides = (
            _window_kinds(length - 2 * radius, factor, count)
            for length, radius, factor, count in zip(array.shape, radii, factors, out_shape, strict=True)
        )
        for kinds in product(*sides):
            sizes = tuple(size for size, _, _ in kinds)
            source = tuple(
                slice(first * factor, first * factor + count * size + 2 * radius)
                for (size, first, count), factor, radius in zip(kinds, factors, radii, strict=True)
            )
            target = tuple(slice(first, first + count) for _, first, count in kinds)
            out[target] = self._call(array[source], sizes, out[target].shape)
        return out

    def _call(self, array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...]) -> Array:
        given = array.view()
        given.flags.writeable = False
        call = f"{name_of_function(self.function)} for an array of shape {array.shape} and factors {factors}"
        try:
            result = self.function(given, factors)
        except Exception as error:
            error.add_note(f"raised by the downsampling method {call}")
            raise
        if not isinstance(result, np.ndarray) or isinstance(result, np.ma.MaskedArray):
            raise TypeError(f"{call} returned {type(result).__name__}; it must return a plain NumPy array")
        if result.shape != out_shape:
            raise ValueError(
                f"{call} returned shape {result.shape}; it must return {out_shape}, one sample for each window"
            )
        return _as_dtype(result, array.dtype, call)


def check_function(function: Any) -> None:
    """Refuse what cannot be called as ``f(array, factors)``, as far as Python can tell beforehand.

    Raises
    ------
    TypeError
        It cannot.
    """
    if not callable(function):
        raise TypeError(f"a method must be a function f(array, factors), not {function!r}")
    try:
        called = signature(function)
    except (TypeError, ValueError):  # some compiled functions have no signature
        return
    try:
        called.bind(None, ())
    except TypeError as error:
        raise TypeError(f"{function!r} cannot be called as f(array, factors): {error}") from None


def name_of_function(function: Callable[..., Any]) -> str:
    """Return the name of a function with its module, which no row of the table has.

    Examples
    --------
    >>> name_of_function(partial(name_of_function, 1))
    'msi_lazy.methods.reducer.name_of_function'
    """
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _window_kinds(length: int, factor: int, count: int) -> list[tuple[int, int, int]]:
    """List window size, first window and number of windows, for the whole windows, then a partial one if any."""
    whole = min(length // factor, count)
    kinds = [(factor, 0, whole)] if whole else []
    return kinds if whole == count else [*kinds, (length - whole * factor, whole, 1)]


def _as_dtype(result: Array, dtype: np.dtype[Any], call: str) -> Array:
    """Convert ``result`` to the image's dtype: floats are rounded half to even for integers; nothing wraps."""
    if result.dtype == dtype or (result.dtype.kind in "iuf" and dtype.kind == "f"):
        return result.astype(dtype, copy=False)
    if result.dtype.kind not in "iuf" or dtype.kind not in "iu":
        raise TypeError(f"{call} returned dtype {result.dtype}, but the image has {dtype}; convert one of them")
    rounded = np.rint(result.astype(np.float64)) if result.dtype.kind == "f" else result
    info = np.iinfo(dtype)
    # a float is compared with the power of two beyond the range: the largest integer of 64 bits is no float
    if not (
        (rounded >= info.min) & (rounded < info.max + 1 if rounded.dtype.kind == "f" else rounded <= info.max)
    ).all():
        raise OverflowError(
            f"{call} returned values from {result.min()} to {result.max()}, which {dtype} cannot hold; "
            f"clip them, or convert the image first, e.g. image.astype('float32')"
        )
    return rounded.astype(dtype)
