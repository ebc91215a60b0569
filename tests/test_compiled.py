"""Kernels are compiled also where numba finds no place to keep what it compiled."""

import numba
import numpy as np
import pytest

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.mode import window_mode


def nowhere():
    """A function of no file, so that numba has no folder beside it, nor one of the user's, to cache it in."""
    names = {}
    exec("def double(number):\n    return 2 * number", names)
    return names["double"]


def test_a_function_that_cannot_be_cached_is_compiled_by_each_process():
    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit(cache=True)(nowhere())  # numba's words are those that we look for
    double = compiled()(nowhere())
    assert double(np.int64(21)) == 42
    assert double.signatures


def test_other_errors_are_not_swallowed(monkeypatch):
    def fail(**options):
        raise RuntimeError("out of order")

    monkeypatch.setattr("msi_lazy.methods.compiled.njit", fail)
    with pytest.raises(RuntimeError, match="out of order"):
        compiled()(nowhere())


def test_kernels_of_the_library_are_cached():
    assert window_mode(np.array([1, 1, 2, 3], "u4"), (2,), (2,)).tolist() == [1, 2]
    import msi_lazy.methods.mode as module

    kernels = [value for value in vars(module).values() if hasattr(value, "py_func")]
    assert kernels
    assert all(kernel._cache.cache_path for kernel in kernels)
