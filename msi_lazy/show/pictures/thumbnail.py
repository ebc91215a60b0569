"""A thumbnail of a tree, as an array of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import parse_integer
from msi_lazy.show.pictures.display_settings import read_display_settings
from msi_lazy.show.pictures.planes import Frame, compute_planes, fit_axis
from msi_lazy.tree.read_plan import level_images, read_plan

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["make_thumbnail"]


def make_thumbnail(tree: xr.DataTree, max_size: int = 256) -> np.ndarray[Any, Any]:
    """Draw a small picture of the image, as an array of colours.

    It is computed from the coarsest level with a sample for each pixel, and nothing else is read.  The active channels
    add up in the colours and windows of the root's ``omero`` attributes.  Where these state no window, 8 bits are shown
    as they are, and of other samples the middle 99.8 % from black to the full colour.  An image with neither
    channels nor colours is gray.  Labels, of a label image or from a method for labels, have distinct colours,
    or their own from the attributes, and 0 is black.

    Parameters
    ----------
    tree
        A pyramid.
    max_size
        Pixels along the longer side, at most.  A smaller image is not enlarged.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 3)``, uint8, in the image's physical proportions: the middle plane of ``z``, the first time.

    Raises
    ------
    TypeError, ValueError
        An impossible size; an image of complex numbers, or with one dimension of space; a tree that is no pyramid.

    Notes
    -----
    The coarse levels of a pyramid that is not stored are computed from its source, which is read as a whole: write a
    large image, and take the thumbnail from :func:`msi_lazy.open_multiscale`.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> image = to_spatial_image(np.full((64, 128), 7, np.uint8), scale={"y": 2, "x": 1})
    >>> picture = to_multiscale(image, [2, 2]).pyramid.thumbnail(max_size=32)
    >>> picture.shape, picture.dtype, picture.max()
    ((32, 32, 3), dtype('uint8'), np.uint8(7))
    """
    longest = parse_integer(max_size, "max_size is a number of pixels,", least=1)
    plan, images = read_plan(tree), level_images(tree)
    frame, display = Frame(plan), read_display_settings(tree, images[0], plan)
    level = plan.levels[frame.choose_level(max(frame.size(plan.levels[0])) / longest)]
    # the level's own size, which may lack a part of a window at the end; and a small image is not enlarged
    pixel = max(max(frame.size(level)) / longest, min(frame.spacing(plan.levels[0])))
    plane = frame.plane(images[level.number], level, display, pixel)
    samples = compute_planes([plane])[0]
    for axis, size, length in zip((1, 2), frame.size(level), plane.lengths, strict=True):
        pixels = min(max(round(size / pixel), 1), longest)
        samples = fit_axis(samples, axis, length, pixels, nearest=display.labels is not None)
    return display.paint(samples, display.measured(samples))
