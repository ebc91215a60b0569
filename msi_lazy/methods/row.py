"""Downsampling method: a row of facts."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msi_lazy.methods.reducer import WindowFunction, check_function, name_of_function

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

__all__ = ["Method", "WindowKernel", "no_radius"]


_CHOICES = {
    "position": ("centre", "corner"),
    "edge": ("replicate", "reflect"),
    "float16_through": ("float16", "float32", "float64"),
}


class WindowKernel(Protocol):
    """Function that reduces the windows of one block: at module level, of arrays."""

    def __call__(
        self,
        array: np.ndarray[Any, Any],
        factors: tuple[int, ...],
        out_shape: tuple[int, ...],
        nodata: Any = None,
    ) -> np.ndarray[Any, Any]:
        """Reduce each window to one sample.

        Parameters
        ----------
        array
            Block to reduce, native byte order, any number of dimensions.
        factors
            Window size along each dimension.
        out_shape
            Number of windows along each dimension, the shape of the result; the last window may reach beyond ``array``.
        nodata
            Samples of this value are left out; a window with no other sample becomes this value.
        """
        ...


def no_radius(factor: int) -> int:
    """Return the radius of a box method, which reads its window only."""
    return 0


@dataclass(frozen=True)
class Method:
    """One downsampling method: a row of the table.

    Examples
    --------
    :meth:`from_function` turns a function ``f(array, factors)`` into a method; a kernel of your own, which handles
    ``nodata`` and partial windows, is a row like the library's:

    >>> from msi_lazy.methods.extremes import window_maximum
    >>> Method("peak", window_maximum, "largest sample of each window", keeps_values=True).offset(2)
    0.5
    """

    name: str
    """Name in the API and in the metadata."""
    kernel: WindowKernel
    """Function that reduces the windows of one block; must pickle to run on a cluster."""
    description: str = ""
    """One phrase for the metadata and the plan."""
    _: KW_ONLY
    kinds: str = "biuf"
    """Dtype kinds (NumPy's letters) that it is defined for; its result has the dtype of its input."""
    keeps_values: bool = False
    """Whether every value it returns is one of the image's: safe for labels."""
    position: Literal["centre", "corner"] = "centre"
    """Position of a new sample in its window."""
    radius: Callable[[int], int] = no_radius
    """Samples beyond the window, on either side, that a factor's kernel reads."""
    edge: Literal["replicate", "reflect"] = "replicate"
    """Rule for the samples beyond the ends of the image that a kernel with a radius gets."""
    chains: bool = False
    """Whether two steps give the same as one step by the product of their factors, read from level 0."""
    labels: bool = False
    """Whether it is meant for labels only, which are compressed as such."""
    takes_nodata: bool = True
    """Whether the kernel handles ``nodata``."""
    float16_through: Literal["float16", "float32", "float64"] = "float32"
    """Float that half precision is computed in (numba has none); float64 where it rounds."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"the name of a method must be a string, not {self.name!r}")
        if not self.name:
            raise ValueError(
                "a method's name must not be empty; to be registered it must be in lower case and not one of msi's"
            )
        for field in ("kernel", "radius"):
            if not callable(getattr(self, field)):
                raise TypeError(f"{field} of method {self.name!r} must be a function, not {getattr(self, field)!r}")
        for field in ("description", "kinds"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(f"{field} of method {self.name!r} must be a string, not {getattr(self, field)!r}")
        for field in ("keeps_values", "chains", "labels", "takes_nodata"):
            if not isinstance(getattr(self, field), bool):
                raise TypeError(f"{field} of method {self.name!r} must be True or False, not {getattr(self, field)!r}")
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ValueError(
                    f"{field} of method {self.name!r} must be one of {', '.join(map(repr, allowed))}, "
                    f"not {getattr(self, field)!r}"
                )

    @classmethod
    def from_function(
        cls,
        function: Callable[[np.ndarray[Any, Any], tuple[int, ...]], np.ndarray[Any, Any]],
        *,
        name: str | None = None,
        radius: Callable[[int], int] = no_radius,
        keeps_values: bool = False,
        position: Literal["centre", "corner"] = "centre",
        edge: Literal["replicate", "reflect"] = "replicate",
    ) -> Method:
        """Create a method from a function ``f(array, factors) -> array``, NumPy in and out.

        Parameters
        ----------
        function
            Function that gets a read-only block of whole windows and the window size along each dimension, and returns
            one sample for each window, in the image's dtype.  Floats for an integer image are rounded half to even,
            and refused where they do not fit.  The result must depend only on the samples of each window, and those
            within ``radius`` around it.
        name
            Name in the metadata; the function's own by default, with its module.
        radius
            Number of samples around the windows that the block has on either side, along each dimension that is
            divided by the given factor.
        keeps_values, position, edge
            As the fields of the row.

        Examples
        --------
        >>> import numpy as np
        >>> def smoothed(array, factors):
        ...     return (array[:-2:2] + 2 * array[1:-1:2] + array[2::2]) / 4
        >>> row = Method.from_function(smoothed, radius=lambda factor: 1, position="corner")
        >>> row.kernel(np.arange(10.0), (2,), (4,))
        array([1., 3., 5., 7.])
        """
        check_function(function)
        if not callable(radius):
            raise TypeError(f"radius must be a function of the factor, such as lambda factor: 2, not {radius!r}")
        return cls(
            name_of_function(function) if name is None else name,
            WindowFunction(function, radius),
            f"the function {name_of_function(function)}",
            keeps_values=keeps_values,
            position=position,
            radius=radius,
            edge=edge,
            takes_nodata=False,
            float16_through="float16",
        )

    def offset(self, factor: int) -> float:
        """Return the distance from the centre of a window's first sample to the new sample, in samples."""
        return (factor - 1) / 2 if self.position == "centre" else 0.0
