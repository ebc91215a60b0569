"""The table of downsampling methods: one row each, its facts as fields."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msi_lazy.methods.extremes import window_corner, window_maximum, window_minimum
from msi_lazy.methods.gaussian import window_gaussian
from msi_lazy.methods.mean import window_mean
from msi_lazy.methods.mode import window_mode
from msi_lazy.methods.weights import gaussian_radius

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

__all__ = [
    "Method",
    "Methods",
    "WindowKernel",
    "check_dtype",
    "describe_method",
    "method_names",
    "no_radius",
    "resolve_method",
]


class WindowKernel(Protocol):
    """What computes the windows of one block: a module-level function of arrays."""

    def __call__(
        self,
        array: np.ndarray[Any, Any],
        factors: tuple[int, ...],
        out_shape: tuple[int, ...],
        nodata: Any = None,
    ) -> np.ndarray[Any, Any]:
        """Reduce each window of ``array`` to one sample; the result has shape ``out_shape``."""
        ...


def no_radius(factor: int) -> int:
    """Radius of a box method: its window is all it reads."""
    return 0


@dataclass(frozen=True)
class Method:
    """One downsampling method."""

    name: str
    """Name in the API and in the metadata."""
    kernel: WindowKernel
    """Computes the windows of one block."""
    description: str
    """One phrase for the metadata and the plan."""
    kinds: str
    """Dtype kinds (NumPy's letters) it is defined for."""
    keeps_values: bool
    """Whether every value it gives is one of its window's: safe for labels."""
    position: Literal["centre", "corner"] = "centre"
    """Where in its window a new sample lies."""
    radius: Callable[[int], int] = no_radius
    """Samples beyond the window, on either side, that a factor's kernel reads."""
    float16_through: Literal["float32", "float64"] = "float32"
    """Wider float that half precision is computed in (numba has none); float64 where it rounds."""

    def offset(self, factor: int) -> float:
        """Distance from the centre of a window's first sample to the new sample, in samples."""
        return (factor - 1) / 2 if self.position == "centre" else 0.0


_ROWS = (
    Method(
        "mean",
        window_mean,
        "mean of each window, integers half to even",
        "iuf",
        False,
        float16_through="float64",
    ),
    Method("min", window_minimum, "smallest sample of each window", "biuf", True),
    Method("max", window_maximum, "largest sample of each window", "biuf", True),
    Method("nearest", window_corner, "first sample of each window", "biuf", True, position="corner"),
    Method("mode", window_mode, "most frequent sample of each window, the smallest of equals", "biuf", True),
    Method(
        "gaussian",
        window_gaussian,
        "Gaussian-weighted mean around each window's centre, integers half to even",
        "iuf",
        False,
        radius=gaussian_radius,
        float16_through="float64",
    ),
)

_TABLE: dict[str, Method] = {row.name: row for row in _ROWS}


class Methods(Enum):
    """Names of the downsampling methods.

    ``MEAN``
        Mean of each window: integers exact, rounded half to even; not for bool.  The new sample lies at
        the window's centre.
    ``MIN``, ``MAX``
        Smallest and largest sample of each window, at the window's centre.
    ``NEAREST``
        The first sample of each window, at that sample's place: for labels.
    ``MODE``
        The most frequent sample of each window, at its centre; of equally frequent ones the smallest: for labels.
        0.0 and -0.0 are one value, written as 0.0.
    ``GAUSSIAN``
        Gaussian-weighted mean around each window's centre, which reads samples beyond the window: integers
        rounded half to even; not for bool.  The full width at half maximum grows from one sample to one
        window; where the image ends, its last sample is repeated.

    NaN and ``nodata`` are left out of all but ``NEAREST``.  A window of nothing else stays what it is.

    Examples
    --------
    >>> resolve_method(Methods.MEAN) is resolve_method("mean")
    True
    """

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    NEAREST = "nearest"
    MODE = "mode"
    GAUSSIAN = "gaussian"


def method_names() -> tuple[str, ...]:
    """Names of all methods in the table."""
    return tuple(_TABLE)


def describe_method(name: str) -> str:
    """One phrase on the method called ``name``; its name again if it is not in the table."""
    row = _TABLE.get(name)
    return row.description if row is not None else name


def resolve_method(method: Any) -> Method:
    """Row of the table for a name, a member of :class:`Methods` or a :class:`Method`.

    Raises
    ------
    ValueError
        No method has this name.
    TypeError
        Not a name, a member or a row.

    Examples
    --------
    >>> resolve_method("mena")
    Traceback (most recent call last):
        ...
    ValueError: unknown method 'mena'; did you mean 'mean'? Known: mean, min, max, nearest, mode, gaussian
    """
    if isinstance(method, Method):
        return method
    name = method.value if isinstance(method, Methods) else method
    if not isinstance(name, str):
        raise TypeError(f"method must be a name, a member of Methods or a Method, not {method!r}")
    row = _TABLE.get(name.lower())
    if row is None:
        close = get_close_matches(name.lower(), _TABLE, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"unknown method {name!r}{hint} Known: {', '.join(_TABLE)}")
    return row


def check_dtype(method: Method, dtype: np.dtype[Any]) -> None:
    """Refuse a dtype that ``method`` is not defined for.

    Raises
    ------
    TypeError
        Names the dtype, and the methods that take it if there are any.
    """
    if dtype.kind in method.kinds and dtype.itemsize <= 8:
        return
    able = [row.name for row in _TABLE.values() if dtype.kind in row.kinds and dtype.itemsize <= 8]
    advice = f"use one of {', '.join(able)}" if able else "convert the image first, e.g. image.astype('float32')"
    raise TypeError(f"method {method.name!r} is not defined for images of dtype {dtype}; {advice}")
