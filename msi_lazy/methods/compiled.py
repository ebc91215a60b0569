"""Compilation of kernels with numba, cached on disk where possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel, so that it is compiled when it is first called, and runs without the interpreter's lock.

    Numba caches what it compiled next to the module, or else in the user's cache folder. Where it may write to neither,
    as in a container with a read-only image and no home, it raises when it decorates: there, each process compiles
    for itself.

    Parameters
    ----------
    **options
        Further options of ``numba.njit``.

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    >>> @compiled()
    ... def double(number):
    ...     return 2 * number
    >>> double(21)
    42
    """

    def decorate(kernel: Callable[..., Any]) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(kernel)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return njit(nogil=True, **options)(kernel)

    return decorate
