"""ITK's filters on whole arrays.

ITK's modules are loaded when they are first used; their warnings, as errors, would crash the interpreter.
"""

import ctypes
import sys
import warnings

import numpy as np

from tests.support.optional import require


def itk_bin_shrink(array, factors):
    """BinShrinkImageFilter."""
    return _run(array, "bin_shrink_image_filter", shrink_factors=list(factors[::-1]))


def itk_discrete_gaussian(array, variances):
    """DiscreteGaussianImageFilter with msi's settings."""
    settings = {"maximum_error": 0.01, "maximum_kernel_width": 32}
    return _run(array, "discrete_gaussian_image_filter", variance=list(variances[::-1]), **settings)


def _run(array, name, **arguments):
    itk = require("itk")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(itk, name)(itk.image_from_array(np.ascontiguousarray(array)), **arguments)
        keep_swig_types()
        return itk.array_from_image(made)


def keep_swig_types():
    """Keep the table of ITK's types until the process is gone.

    SWIG frees it when Python ends, makes a type for that, whose warning is an error here, and crashes.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("swig_runtime_data"):
            for table in vars(module).values():
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(table))
