"""Provenance of the levels of a stored image: method, nodata and factors, by its attributes and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods import method_names, resolve_method
from msi_lazy.methods.table import check_dtype, check_nodata, describe_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.methods import Method
    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["read_factors", "read_method", "read_nodata", "recorded_method", "recorded_nodata"]

Extents = tuple[int, ...]


def recorded_method(stored: StoredImage) -> str | None:
    """Name of the method in the attributes of an image; ``None`` unless it is one of this library."""
    name = stored.method
    if name is None or name not in method_names():
        return None
    return name if describe_method(name)[0] == stored.metadata.get("method") else None


def read_method(stored: StoredImage, asked: Any, dtype: np.dtype[Any]) -> Method:
    """Find the method of the levels of an image.

    Parameters
    ----------
    stored
        The image.
    asked
        Method by the user, needed where the attributes name none of this library; else ``None``.
    dtype
        Dtype of the samples.

    Raises
    ------
    ValueError
        The attributes name no method of this library and none was given, or another one than was given.
    TypeError
        The method is not defined for ``dtype``.
    """
    name = recorded_method(stored)
    if asked is None and name is None:
        what = (
            f"name the method {stored.method!r}, which is not one of msi_lazy's" if stored.method else "name no method"
        )
        raise ValueError(
            f"the image's attributes {what}: pass method=, by which its levels were computed; one of "
            f"{', '.join(method_names())}, or the function itself"
        )
    row = resolve_method(name if asked is None else asked)
    if name is not None and row.name != name and len(stored.levels) > 1:
        raise ValueError(f"the image's levels were computed by {name!r}, and not by {row.name!r}: leave method= out")
    check_dtype(row, dtype.newbyteorder("="))
    return row


def read_nodata(stored: StoredImage, method: Method, dtype: np.dtype[Any]) -> Any:
    """Read the value that every reduction left out, as a scalar of ``dtype``; ``None`` if there is none."""
    value = recorded_nodata(stored)
    if value is None:
        return None
    check_nodata(method, value)
    scalar = np.asarray(value).astype(dtype.newbyteorder("="))
    return scalar[()]


def recorded_nodata(stored: StoredImage) -> Any:
    """Value without data in the attributes of an image, as a number; ``None`` if there is none."""
    value = _kwargs(stored).get("nodata")
    if isinstance(value, str):  # "nan" and "inf", for which JSON has no numbers
        with suppress(ValueError):
            return float(value)
    return value if isinstance(value, (bool, int, float)) else None


def read_factors(stored: StoredImage, shapes: Sequence[Extents]) -> tuple[Extents, ...]:
    """Read the factors of every step: those of the attributes if the shapes agree, else by the spacings.

    Raises
    ------
    ValueError
        No factors give a level's shape from that of the finer one.
    """
    listed = _kwargs(stored).get("scale_factors")
    entries: list[Any] = listed if isinstance(listed, list) and len(listed) == len(shapes) - 1 else []
    entries = entries or [None] * (len(shapes) - 1)
    found = []
    for number, entry in enumerate(entries, start=1):
        finer, extents = shapes[number - 1], shapes[number]
        factors = _listed_factors(entry, stored.dims)
        if factors is None or not fits(finer, extents, factors):
            spacings = zip(stored.levels[number - 1].scale, stored.levels[number].scale, strict=True)
            factors = tuple(max(round(coarse / fine), 1) for fine, coarse in spacings)
        if not fits(finer, extents, factors):
            raise ValueError(
                f"level {stored.levels[number].path!r} has shape {extents}, and the finer level {finer}: by its "
                f"scale the factors are {factors}, which give another shape, so it cannot be recomputed"
            )
        found.append(factors)
    return tuple(found)


def fits(finer: Extents, extents: Extents, factors: Extents) -> bool:
    """Tell whether ``factors`` give a level of shape ``extents``, with trim or with pad along each dimension.

    Examples
    --------
    >>> fits((7, 8), (3, 4), (2, 2)), fits((7, 8), (4, 4), (2, 2)), fits((7, 8), (5, 4), (2, 2))
    (True, True, False)
    """
    return all(m in (n // f, -(-n // f)) for n, m, f in zip(finer, extents, factors, strict=True))


def _listed_factors(entry: Any, dims: tuple[str, ...]) -> Extents | None:
    """Factors of one entry of the attributes, ``None`` if it does not list one for each dimension."""
    if not isinstance(entry, Mapping) or set(entry) != set(dims):
        return None
    factors = tuple(entry[dim] for dim in dims)
    return factors if all(type(factor) is int and factor > 0 for factor in factors) else None


def _kwargs(stored: StoredImage) -> Mapping[str, Any]:
    kwargs = stored.metadata.get("kwargs")
    return kwargs if isinstance(kwargs, Mapping) else {}
