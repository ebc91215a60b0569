"""Kernels of the library, by name, so that numba is imported only when one is first called."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from msi_lazy.methods.lending import Lend, fresh

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LibraryKernel"]


@dataclass(frozen=True)
class LibraryKernel:
    """A kernel of this room, as a row of the table holds it.

    Importing numba takes a tenth of the time that the whole library takes; opening, planning and printing need none
    of it.

    Examples
    --------
    >>> import numpy as np
    >>> LibraryKernel("extremes", "window_maximum")(np.array([1, 3, 2, 5]), (2,), (2,))
    array([3, 5])
    """

    module: str
    """File in this room."""
    function: str
    """Name of the kernel in it."""

    def load(self) -> Any:
        """Import the kernel."""
        return getattr(import_module(f"msi_lazy.methods.{self.module}"), self.function)

    def __call__(
        self,
        array: np.ndarray[Any, Any],
        factors: tuple[int, ...],
        out_shape: tuple[int, ...],
        nodata: Any = None,
        lend: Lend = fresh,
    ) -> np.ndarray[Any, Any]:
        """Reduce each window of ``array`` to one sample, as :class:`msi_lazy.methods.row.WindowKernel` says.

        The result, and what is computed on the way, are in arrays that are lent by ``lend``.
        """
        reduced: np.ndarray[Any, Any] = self.load()(array, factors, out_shape, nodata, lend)
        return reduced
