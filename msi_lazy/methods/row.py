"""What a downsampling method is: a row of facts."""

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
    """One downsampling method: a row of the table.

    Examples
    --------
    A function ``f(array, factors)`` as a method is made by :meth:`from_function`; a kernel of your own, which knows
    ``nodata`` and partial windows, is a row like the library's:

    >>> from msi_lazy.methods.extremes import window_maximum
    >>> Method("peak", window_maximum, "largest sample of each window", keeps_values=True).offset(2)
    0.5
    """

    name: str
    """Name in the API and in the metadata."""
    kernel: WindowKernel
    """Computes the windows of one block; must pickle to run on a cluster."""
    description: str = ""
    """One phrase for the metadata and the plan."""
    _: KW_ONLY
    kinds: str = "biuf"
    """Dtype kinds (NumPy's letters) it is defined for; what it returns has the dtype it is given."""
    keeps_values: bool = False
    """Whether every value it gives is one of the image's: safe for labels."""
    position: Literal["centre", "corner"] = "centre"
    """Where in its window a new sample lies."""
    radius: Callable[[int], int] = no_radius
    """Samples beyond the window, on either side, that a factor's kernel reads."""
    edge: Literal["replicate", "reflect"] = "replicate"
    """What a kernel with a radius is given beyond the ends of the image."""
    chains: bool = False
    """Whether two steps give what one step by the product of their factors gives, read from level 0."""
    labels: bool = False
    """Whether it is meant for labels only, which are compressed as such."""
    takes_nodata: bool = True
    """Whether the kernel knows what to do with ``nodata``."""
    float16_through: Literal["float16", "float32", "float64"] = "float32"
    """Float that half precision is computed in (numba has none); float64 where it rounds."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"the name of a method must be a text, not {self.name!r}")
        if not self.name:
            raise ValueError("a method's name must not be empty, and to register it in lower case and none of msi's")
        for field in ("kernel", "radius"):
            if not callable(getattr(self, field)):
                raise TypeError(f"{field} of method {self.name!r} must be a function, not {getattr(self, field)!r}")
        for field in ("description", "kinds"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(f"{field} of method {self.name!r} must be a text, not {getattr(self, field)!r}")
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
        """Method of a function ``f(array, factors) -> array``, NumPy in and out.

        Parameters
        ----------
        function
            Given a block of whole windows, which it cannot write to, and the window size along each
            dimension; returns one sample for each window, in the image's dtype.  Floats for an integer image are
            rounded half to even, and refused where they do not fit.  It must depend on nothing but the
            samples of each window, and those within ``radius`` around it.
        name
            Name in the metadata; the function's own by default, with its module.
        radius
            How many samples around the windows the block has on either side, along each dimension that is
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
            raise TypeError(f"radius is a function of the factor, such as lambda factor: 2, not {radius!r}")
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
        """Distance from the centre of a window's first sample to the new sample, in samples."""
        return (factor - 1) / 2 if self.position == "centre" else 0.0
