"""Layers for napari, from a tree; napari is not imported, and no pixel is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msi_lazy.ngff.channel_display import read_display
from msi_lazy.ngff.label_attributes import holds_labels
from msi_lazy.ngff.specifications import ome_block
from msi_lazy.tree.read_plan import level_images, read_plan
from msi_lazy.tree.root_attributes import channel_block

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["napari_layer"]


def napari_layer(tree: xr.DataTree) -> tuple[list[da.Array], dict[str, Any], Literal["image", "labels"]]:
    """Layer data for napari (0.5.5 or later): levels, display settings, and the type of the layer.

    Parameters
    ----------
    tree
        A pyramid, best one from :func:`msi_lazy.open_multiscale`: the levels of one that is not stored are computed
        whenever napari shows them.

    Returns
    -------
    data : list of dask.array.Array
        The levels, finest first, not computed.
    options : dict
        Arguments of ``Viewer.add_image`` or ``Viewer.add_labels``: spacing, position and units as the coordinates have
        them, and a layer for each channel in its ``omero`` colour and window.
    layer_type : str
        ``"labels"`` for a label image, or after a method for labels; else ``"image"``.

    Raises
    ------
    TypeError, ValueError
        Not a pyramid.

    Notes
    -----
    The three values form napari's ``LayerDataTuple``.  In 3D, napari shows only the coarsest level.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> image = to_spatial_image(np.zeros((2, 64, 64), np.uint8), dims=("c", "y", "x"), c_coords=["DAPI", "GFP"])
    >>> data, options, layer_type = napari_layer(to_multiscale(image, [2, 2]))
    >>> layer_type, [level.shape for level in data]
    ('image', [(2, 64, 64), (2, 32, 32), (2, 16, 16)])
    >>> options["name"], options["channel_axis"], options["scale"]
    (['DAPI', 'GFP'], 0, [1.0, 1.0])

    With napari: ``napari.Viewer().add_image(data, **options)``.
    """
    plan = read_plan(tree)
    images = level_images(tree)
    is_labels = holds_labels(ome_block(tree.attrs), plan.dtype, plan.method, plan.channel_count)
    channel = (
        None if is_labels else plan.channel_dim
    )  # labels have no channels: napari takes such an axis like any other
    shown = [number for number in range(len(plan.axes)) if number != channel]
    finest = plan.levels[0]
    options: dict[str, Any] = {
        "multiscale": True,
        "scale": [finest.scale[number] for number in shown],
        "translate": [finest.translation[number] for number in shown],
        "axis_labels": [plan.axes[number].name for number in shown],
        "units": [axis.stored_unit or "pixel" for axis in (plan.axes[number] for number in shown)],
        "name": plan.name,
    }
    if channel is not None:
        options |= {"channel_axis": channel, **_channel_options(tree, images[0], plan)}
    data = [image.chunk().data if image.chunks is None else image.data for image in images]
    return data, options, "labels" if is_labels else "image"


def _channel_options(tree: xr.DataTree, image: xr.DataArray, plan: PyramidPlan) -> dict[str, Any]:
    block = channel_block(tree.attrs, image, plan)
    channels = block["channels"] if block else []
    if len(channels) != plan.channel_count:
        return {}
    display = read_display(channels, plan.dtype)
    options: dict[str, Any] = {
        "name": [one.label for one in display],
        "colormap": [f"#{one.color}" for one in display],
        "visible": [one.visible for one in display],
    }
    # napari takes ranges for all channels or for none, which it measures then; inverted ones it does not know
    if any(one.stated for one in display):
        options["contrast_limits"] = [sorted(one.range) for one in display]
    return options
