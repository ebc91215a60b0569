"""Kernels run on a whole image, with no blocks and no graph."""

import numpy as np

from msi_lazy.methods import resolve_method
from msi_lazy.methods.row import no_radius


def run_kernel(name, array, factors, out_shape, nodata=None):
    """Windows of a whole image; around it, a kernel with a radius gets what its row says of the edge."""
    method = resolve_method(name)
    for axis, (factor, count) in enumerate(zip(factors, out_shape, strict=True)):
        radius = method.radius(factor) if factor > 1 else 0
        if method.radius is not no_radius:
            reach, last = np.arange(-radius, count * factor + radius), max(count * factor, array.shape[axis]) - 1
            if method.edge == "reflect":
                reach %= 2 * last + 2
                reach = np.minimum(reach, 2 * last + 1 - reach)
            array = array.take(reach.clip(0, array.shape[axis] - 1), axis)
    if array.dtype == np.float16 and method.float16_through != "float16":
        wide = method.kernel(array.astype(method.float16_through), factors, out_shape, nodata)
        return wide.astype(np.float16)
    return method.kernel(array, factors, out_shape, nodata)
