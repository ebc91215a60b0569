"""Value that marks samples without data."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["parse_nodata"]


def parse_nodata(nodata: Any, dtype: np.dtype[Any]) -> Any:
    """Convert ``nodata`` to a scalar of the image's dtype.

    Raises
    ------
    ValueError
        The dtype cannot hold it.
    """
    if nodata is None:
        return None
    try:
        if isinstance(nodata, (bool, np.bool_)) and dtype.kind != "b":
            raise TypeError  # True is not meant as the number 1
        with np.errstate(invalid="ignore"):
            scalar = np.asarray(nodata).astype(dtype)[()]
        same = np.ndim(nodata) == 0 and (scalar == nodata or (scalar != scalar and nodata != nodata))
    except (TypeError, ValueError, OverflowError):
        same = False
    if not same:
        raise ValueError(f"nodata {nodata!r} is not a value of the image's dtype {dtype}")
    return scalar
