"""Table of downsampling methods: one row each, its facts as fields."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from msi_lazy.methods.kernel import LibraryKernel
from msi_lazy.methods.names import Methods
from msi_lazy.methods.row import Method
from msi_lazy.methods.weights import bessel_radius, centred_gaussian_radius, gaussian_radius

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "check_dtype",
    "check_nodata",
    "describe_method",
    "invents_values",
    "is_for_labels",
    "is_of_library",
    "makes_labels",
    "method_names",
    "register_method",
    "resolve_method",
]

_ROWS = (
    Method(
        "mean",
        LibraryKernel("mean", "window_mean"),
        "mean of each window, integers half to even",
        kinds="iuf",
        float16_through="float64",
    ),
    Method(
        "bin_shrink",
        LibraryKernel("mean", "window_mean_half_up"),
        "mean of each window, integers half up",
        kinds="iuf",
        float16_through="float64",
    ),
    Method("median", LibraryKernel("median", "window_median"), "lower median of each window", keeps_values=True),
    Method(
        "min",
        LibraryKernel("extremes", "window_minimum"),
        "smallest sample of each window",
        keeps_values=True,
        chains=True,
    ),
    Method(
        "max",
        LibraryKernel("extremes", "window_maximum"),
        "largest sample of each window",
        keeps_values=True,
        chains=True,
    ),
    Method(
        "mode",
        LibraryKernel("mode", "window_mode"),
        "most frequent sample of each window, the smallest of equals",
        keeps_values=True,
        labels=True,
    ),
    Method(
        "nearest",
        LibraryKernel("extremes", "window_corner"),
        "first sample of each window",
        keeps_values=True,
        position="corner",
        chains=True,
    ),
    Method(
        "gaussian",
        LibraryKernel("gaussian", "window_gaussian"),
        "Gaussian-weighted mean around each window's centre, integers half to even",
        kinds="iuf",
        radius=gaussian_radius,
        float16_through="float64",
    ),
    Method(
        "label_gaussian",
        LibraryKernel("votes", "window_votes"),
        "label with the largest Gaussian-weighted vote around each window's centre, the smallest of equals",
        keeps_values=True,
        radius=gaussian_radius,
        labels=True,
    ),
    Method(
        "xarray_coarsen",
        LibraryKernel("mean", "window_mean_truncated"),
        "mean of each window, integers truncated",
        kinds="iuf",
        float16_through="float64",
    ),
    Method(
        "dask_image_gaussian",
        LibraryKernel("gaussian", "window_centred_gaussian"),
        "SciPy's Gaussian filter at each window's centre, integers half to even",
        kinds="iuf",
        radius=centred_gaussian_radius,
        edge="reflect",
        float16_through="float64",
    ),
    Method(
        "itk_gaussian",
        LibraryKernel("gaussian", "window_bessel_gaussian"),
        "ITK's discrete Gaussian filter at each window's centre, integers half to even",
        kinds="iuf",
        radius=bessel_radius,
        float16_through="float64",
    ),
)

_LIBRARY = {row.name: row for row in _ROWS}
_TABLE: dict[str, Method] = dict(_LIBRARY)


def register_method(method: Method, *, replace: bool = False) -> Method:
    """Add a method to the table, so that its name can be used like those of the library's.

    Parameters
    ----------
    method
        Row with a name of its own; see :class:`Method` and :meth:`Method.from_function`.
    replace
        Whether it replaces a method that you registered under the same name before, as when the cell of a notebook is
        run again.  The library's methods cannot be replaced.

    Returns
    -------
    Method
        The same row.

    Raises
    ------
    TypeError
        ``method`` is not a row, or ``replace`` not a bool.
    ValueError
        The name is not in lower case, or another method has it.

    Notes
    -----
    The name is known in this process only; trees hold the row itself, so that workers need not know the name.
    """
    if not isinstance(method, Method):
        raise TypeError(f"register_method takes a Method, for example of Method.from_function(f), not {method!r}")
    if not isinstance(replace, bool):
        raise TypeError(f"replace must be True or False, not {replace!r}")
    if method.name in _LIBRARY or not replace:
        _check_name(method)
    if method.name != method.name.lower() or method.name in {member.value for member in Methods}:
        raise ValueError(f"a method's name must be in lower case and not one of msi's, not {method.name!r}")
    _TABLE[method.name] = method
    return method


def method_names() -> tuple[str, ...]:
    """List the names of all methods in the table.

    Examples
    --------
    >>> method_names()[:3]
    ('mean', 'bin_shrink', 'median')
    """
    return tuple(_TABLE)


def describe_method(name: str) -> tuple[str, str]:
    """Return the full name of the method called ``name``, and one phrase on it, for metadata.

    Examples
    --------
    >>> describe_method("max")
    ('msi_lazy.max', 'largest sample of each window')
    """
    row = _TABLE.get(name)
    return (f"msi_lazy.{name}" if name in _LIBRARY else name), (row.description if row else "") or name


def is_of_library(method: Method) -> bool:
    """Tell whether a method is one of the library's own, and not one by the same name."""
    return _LIBRARY.get(method.name) == method


def makes_labels(name: str) -> bool:
    """Tell whether the method called ``name`` is one for labels, so that its levels are most likely labels.

    Examples
    --------
    >>> makes_labels("mode"), makes_labels("mean")
    (True, False)
    """
    row = _TABLE.get(name)
    return row is not None and row.labels


def invents_values(name: str) -> bool:
    """Tell whether the method called ``name`` is one of the library whose results need not be values of the image.

    Examples
    --------
    >>> invents_values("mean"), invents_values("max"), invents_values("a_function_of_mine")
    (True, False, False)
    """
    row = _LIBRARY.get(name)
    return row is not None and not row.keeps_values


def is_for_labels(name: str, dtype: np.dtype[Any]) -> bool:
    """Tell whether samples of ``dtype`` that the method called ``name`` computed are most likely labels.

    Examples
    --------
    >>> import numpy as np
    >>> is_for_labels("mode", np.dtype("u1")), is_for_labels("mean", np.dtype("u2"))
    (True, False)
    """
    return makes_labels(name) or dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize >= 4)


def resolve_method(method: Any) -> Method:
    """Return the row for a name, a member of :class:`Methods`, a row, or a function ``f(array, factors)``.

    Raises
    ------
    ValueError
        No method has this name, or it is a row with the name of another one.
    TypeError
        ``method`` is none of these.

    Examples
    --------
    >>> resolve_method("ITK_BIN_SHRINK").name
    'bin_shrink'
    >>> resolve_method("mena")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: unknown method 'mena'; did you mean 'mean'? Known: mean, bin_shrink, median, ...
    """
    if isinstance(method, Method):
        _check_name(method)
        return method
    if isinstance(method, Methods):
        return _TABLE[method.row]
    if callable(method):
        return Method.from_function(method)
    if not isinstance(method, str):
        raise TypeError(
            f"method must be a name, a member of Methods, a Method or a function f(array, factors), not {method!r}"
        )
    name = method.lower()
    aliases = {member.value: member.row for member in Methods}
    row = _TABLE.get(aliases.get(name, name))
    if row is None:
        close = get_close_matches(name, {**_TABLE, **aliases}, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"unknown method {method!r}{hint} Known: {', '.join(_TABLE)}")
    return row


def _check_name(method: Method) -> None:
    known = _TABLE.get(method.name)
    if known is not None and known != method:
        advice = "" if method.name in _LIBRARY else ", or register it with replace=True"
        raise ValueError(f"there is another method called {method.name!r}; give yours a name of its own{advice}")


def check_dtype(method: Method, dtype: np.dtype[Any]) -> None:
    """Refuse a dtype that ``method`` is not defined for.

    Raises
    ------
    TypeError
        The method is not defined for it; the message names methods that are, if any.
    """
    if dtype.kind in method.kinds and dtype.itemsize <= 8:
        return
    able = [row.name for row in _TABLE.values() if dtype.kind in row.kinds and dtype.itemsize <= 8]
    advice = f"use one of {', '.join(able)}" if able else "convert the image first, e.g. image.astype('float32')"
    raise TypeError(f"method {method.name!r} is not defined for images of dtype {dtype}; {advice}")


def check_nodata(method: Method, nodata: Any) -> None:
    """Refuse ``nodata`` for a method that does not handle it.

    Raises
    ------
    ValueError
        The method does not; the message says what to do.
    """
    if nodata is not None and not method.takes_nodata:
        raise ValueError(
            f"nodata={nodata!r} cannot be left out by the method {method.name!r}, a function of (array, factors) only; "
            f"handle it in the function, or give a Method(...) with a kernel that takes nodata"
        )
