"""Names of the methods, each with its description."""

from __future__ import annotations

from enum import Enum

__all__ = ["Methods"]


class Methods(Enum):
    """Names of the downsampling methods; help(Methods.MODE) or ``Methods.MODE.__doc__`` describes one.

    ======================== =================================================== ========= ======= ==========
    name                     sample of the next level                            integers  labels  chains
    ======================== =================================================== ========= ======= ==========
    ``mean`` (default)       mean of the window                                  half even no      no
    ``bin_shrink``           mean of the window                                  half up   no      no
    ``median``               lower median of the window                          kept      yes     no
    ``min``, ``max``         extreme of the window                               kept      yes     yes
    ``mode``                 most frequent sample of the window                  kept      yes     no
    ``nearest``              first sample of the window                          kept      yes     yes
    ``gaussian``             Gaussian-weighted mean around the window's centre   half even no      no
    ``label_gaussian``       largest Gaussian-weighted vote around the centre    kept      yes     no
    ``xarray_coarsen``       mean of the window                                  truncated no      no
    ``dask_image_gaussian``  SciPy's Gaussian at the window's centre             half even no      no
    ``itk_gaussian``         ITK's discrete Gaussian at the window's centre      half even no      no
    ======================== =================================================== ========= ======= ==========

    *Labels*: every value is one of the image's.  *Chains*: two steps give the same as one step by the product of
    their factors.

    A new sample lies at the centre of its window, but for ``nearest``, where it lies at the sample that it is.
    NaN and ``nodata`` are left out of all but ``nearest``; a window of nothing else stays what it is, ``nodata``
    where it holds both.  Infinities are ordinary numbers: they win extremes, have votes, and make means
    infinite, or NaN where both signs meet.

    The names of multiscale-spatial-image (msi) are understood too, in capitals or not: ``ITK_BIN_SHRINK`` is
    ``bin_shrink``, ``DASK_IMAGE_MODE`` is ``mode``, ``DASK_IMAGE_NEAREST`` is ``nearest``, and ``ITK_LABEL_GAUSSIAN``
    is ``label_gaussian``.  Each description says what differs from msi, and why.

    Examples
    --------
    >>> Methods.ITK_BIN_SHRINK.row
    'bin_shrink'
    >>> Methods("mode") is Methods.MODE
    True
    """

    row: str
    """Name of the row in the table of methods."""

    def __new__(cls, value: str, description: str, row: str | None = None) -> Methods:
        """Create a member of a name, its documentation, and its row in the table, if that has another name."""
        member = object.__new__(cls)
        member._value_ = value
        member.__doc__ = description
        member.row = row or value
        return member

    MEAN = (
        "mean",
        """Mean of each window.  Integers of any width are summed exactly and rounded once, half to even, so that
        levels become neither darker nor brighter; floats are summed in float64, in C order.  NaN and ``nodata``
        are left out; a window of nothing else becomes NaN, or ``nodata``.  Not for bool.""",
    )
    BIN_SHRINK = (
        "bin_shrink",
        """Mean of each window, integers rounded half up, as ITK's BinShrinkImageFilter does.  Half up makes
        each level brighter, on noise and for factors of 2 by 1/8 of a unit in 2D and 1/16 in 3D: prefer ``mean``.
        NaN and ``nodata`` are left out; a window of nothing else becomes NaN, or ``nodata``.  Not for bool.""",
    )
    MEDIAN = (
        "median",
        """Lower median of each window: of n sorted samples number (n + 1) // 2, so always one of them.  NaN
        and ``nodata`` are left out; a window of nothing else becomes NaN, or ``nodata``.  0.0 and -0.0 are one
        value, written as 0.0.""",
    )
    MIN = (
        "min",
        """Smallest sample of each window.  NaN and ``nodata`` are left out; a window of nothing else becomes NaN,
        or ``nodata``.""",
    )
    MAX = (
        "max",
        """Largest sample of each window.  NaN and ``nodata`` are left out; a window of nothing else becomes NaN,
        or ``nodata``.""",
    )
    MODE = (
        "mode",
        """Most frequent sample of each window, of equally frequent ones the smallest: for labels.  NaN and
        ``nodata`` have no vote; a window of nothing else becomes NaN, or ``nodata``.  0.0 and -0.0 are one value,
        written as 0.0.""",
    )
    NEAREST = (
        "nearest",
        """First sample of each window, whatever it is: NaN and ``nodata`` are picked like any other.  The new
        sample lies where that sample lies, not at the window's centre: for labels, and for a quick look.""",
    )
    GAUSSIAN = (
        "gaussian",
        """Gaussian-weighted mean around the centre of each window; reads samples beyond the window.  The weights
        at distances u of at most 4 sigma from the centre are exp(-u^2 / (2 sigma^2)), with
        sigma^2 = (f^2 - 1) / (8 ln 2): they take a point spread of full width at half maximum 1 to one of f
        samples (Cardoso et al., MICCAI 2015).  Where the image ends, its last sample is repeated.  Summed in float64,
        integers rounded once, half to even.  NaN and ``nodata`` are left out, and the other weights scaled up; where
        nothing else has a weight the result is NaN, or ``nodata``.  Not for bool.""",
    )
    LABEL_GAUSSIAN = (
        "label_gaussian",
        """Label with the largest vote around the centre of each window, of equal votes the smallest: smoother borders
        than ``mode``.  Votes are the weights of ``gaussian``, as integers, so that ties are true ties.  NaN and
        ``nodata`` have no vote; where nothing else has one the result is NaN, or ``nodata``.""",
    )
    XARRAY_COARSEN = (
        "xarray_coarsen",
        """Mean of each window, integers truncated towards zero, as ``coarsen().mean().astype(dtype)`` does: for results
        equal to msi's, integers bit for bit where the sizes divide.  Each level of small integers becomes darker by up
        to half a unit: prefer ``mean``.  Different from msi: samples that fill no window are left out at the
        end, where every other method and tool leaves them out, not at the start; sums are exact or in float64.
        NaN and ``nodata`` are left out; a window of nothing else becomes NaN, or ``nodata``.  Not for bool.""",
    )
    DASK_IMAGE_GAUSSIAN = (
        "dask_image_gaussian",
        """``dask_image.ndfilters.gaussian_filter`` of the whole level, its edge reflected, evaluated at the centre
        of each window: the sample there for odd factors, the mean of the two central ones along each axis for
        even ones.  Summed in float64, rounded once, half to even.  Different from msi: msi interpolates at the window's
        first sample but says that it is the centre, which shifts every level by half a pixel or more; it takes sigma
        from the spacing but uses it in pixels, which is right only at spacing 1; and it truncates, which darkens.
        NaN and ``nodata`` are left out as in ``gaussian``.  Not for bool.""",
    )
    ITK_GAUSSIAN = (
        "itk_gaussian",
        """ITK's DiscreteGaussianImageFilter (Bessel kernel, maximum error 0.01, width 32, edge repeated)
        evaluated at the centre of each window, by the same rule as ``dask_image_gaussian``; without ITK.  Different
        from msi: position, sigma and rounding, as there; and the kernel of factors above 16 is computed to full
        precision, which ITK's approximation loses.  NaN and ``nodata`` are left out as in ``gaussian``.  Not
        for bool.""",
    )
    ITK_BIN_SHRINK = (
        "itk_bin_shrink",
        """msi's name for ``bin_shrink``.  Different from msi: any dimensions, ``c`` and ``t`` included, any dtype, and
        64-bit integers without a detour through float64.""",
        "bin_shrink",
    )
    DASK_IMAGE_MODE = (
        "dask_image_mode",
        """msi's name for ``mode``.  Different from msi: the window is the one that the new sample stands for, where
        msi's lies half a window off; and counts do not wrap in small integers.""",
        "mode",
    )
    DASK_IMAGE_NEAREST = (
        "dask_image_nearest",
        """msi's name for ``nearest``.  Different from msi: the same samples, but with their own coordinates, where msi
        gives them those of the window's centre.""",
        "nearest",
    )
    ITK_LABEL_GAUSSIAN = (
        "itk_label_gaussian",
        """msi's name for ``label_gaussian``.  Different from msi: labels vote; msi blurs the numbers of the labels
        first, which invents labels that are not in the image, and shifts them.""",
        "label_gaussian",
    )
