"""Opening TIFF and OME-TIFF lazily, with axes and pixel sizes from the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import tifffile
import zarr

from msi_lazy.image import to_spatial_image
from msi_lazy.ngff.units import ngff_unit

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

__all__ = ["open_tiff"]

_AXES = {"T": "t", "C": "c", "S": "c", "Z": "z", "Y": "y", "X": "x"}


def open_tiff(path: Path, dims: tuple[str, ...] | None = None) -> xr.DataArray:
    """Open the first series of a TIFF, at full resolution, through tifffile's zarr view.

    Raises
    ------
    ValueError
        The file is no TIFF, or an axis has no name here and ``dims`` are not given.
    """
    try:
        series = tifffile.TiffFile(path).series[0]
    except (tifffile.TiffFileError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as TIFF: {error}") from None
    array = zarr.open_array(series.aszarr(level=0), mode="r")
    if dims is None:
        unknown = [letter for letter in series.axes if letter not in _AXES]
        dims = tuple(_AXES.get(letter, letter) for letter in series.axes)
        if unknown or len(set(dims)) < len(dims):
            raise ValueError(f"{path} has the TIFF axes {series.axes!r}; name its dimensions with --dims")
    scale, units, channels = _read_geometry(series.parent)
    name_count = array.shape[dims.index("c")] if "c" in dims else 0
    return to_spatial_image(
        array,
        dims,
        scale={dim: value for dim, value in scale.items() if dim in dims},
        axis_units={dim: value for dim, value in units.items() if dim in dims},
        c_coords=channels if len(channels) == name_count > 0 else None,
    )


def _read_geometry(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """Spacing, units and channel names, from OME-XML or from ImageJ's metadata."""
    if file.ome_metadata:
        return _read_ome(file.ome_metadata)
    if file.imagej_metadata:
        return _read_imagej(file)
    return {}, {}, []


def _read_ome(xml: str) -> tuple[dict[str, float], dict[str, str], list[str]]:
    pixels = ElementTree.fromstring(xml).find(".//{*}Image/{*}Pixels")
    scale, units = {}, {}
    if pixels is None:
        return {}, {}, []
    for dim in "xyz":
        size = pixels.get(f"PhysicalSize{dim.upper()}")
        if size is not None and float(size) > 0:
            scale[dim] = float(size)
            units[dim] = pixels.get(f"PhysicalSize{dim.upper()}Unit", "µm")
    step = pixels.get("TimeIncrement")
    if step is not None and float(step) > 0:
        scale["t"] = float(step)
        units["t"] = pixels.get("TimeIncrementUnit", "s")
    names = [channel.get("Name") or channel.get("ID") or "" for channel in pixels.findall("{*}Channel")]
    return scale, _known_units(units), names


def _read_imagej(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str], list[str]]:
    metadata: dict[str, Any] = file.imagej_metadata or {}
    scale, units = {}, {}
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ")
    for dim, tag in (("x", "XResolution"), ("y", "YResolution")):
        found = file.pages[0].tags.get(tag)
        if found is not None and found.value[0] > 0 and unit:
            scale[dim] = found.value[1] / found.value[0]
            units[dim] = unit
    if float(metadata.get("spacing", 0)) > 0 and unit:
        scale["z"], units["z"] = float(metadata["spacing"]), unit
    if float(metadata.get("finterval", 0)) > 0:
        scale["t"], units["t"] = float(metadata["finterval"]), "second"
    return scale, _known_units(units), [str(label) for label in metadata.get("Labels", [])]


def _known_units(units: dict[str, str]) -> dict[str, str]:
    """Units in OME-Zarr's names; those it does not know (``pixel``) are left out."""
    known = {}
    for dim, unit in units.items():
        try:
            known[dim] = ngff_unit(unit) or ""
        except ValueError:
            continue
    return known
