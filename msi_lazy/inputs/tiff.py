"""Lazy TIFF and OME-TIFF, with axes and pixel sizes from the metadata."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize
from xml.etree import ElementTree

import numpy as np
import tifffile

from msi_lazy.axes import axis_kind, axis_meaning
from msi_lazy.compat.tiff_stores import check_segments
from msi_lazy.inputs.spatial_image import to_spatial_image
from msi_lazy.storage.bounded_codecs import bounds_of, check_segment
from msi_lazy.storage.broken_documents import reading
from msi_lazy.storage.place import Place
from msi_lazy.storage.regular_files import check_regular
from msi_lazy.units import ngff_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from msi_lazy.storage.promised_sizes import Bounds

__all__ = ["TiffPixels", "open_tiff"]

_AXES = {"T": "t", "C": "c", "S": "c", "Z": "z", "Y": "y", "X": "x"}


class TiffPixels:
    """Pixels of the first series of a TIFF at full resolution: sliceable, and decoded only when sliced.

    Pickled as its path, because an open file cannot be sent to the workers of a cluster: each opens its own.

    Parameters
    ----------
    path
        Absolute path of the file.

    Raises
    ------
    ValueError
        The file is no TIFF, holds no image, or is compressed with a codec that is not installed.
    OSError
        The file cannot be read, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_regular(path)
        try:
            self.file = tifffile.TiffFile(path)
            finalize(self, self.file.close)
            if self.file.ome_metadata:
                _check_companions(path, self.file.ome_metadata)
            if not self.file.series:
                raise ValueError("it holds no image")
            self.series = self.file.series[0]
            self.series.keyframe.decode(None, 0)  # decodes nothing, but refuses an unknown codec early
        except OSError:
            raise
        except Exception as error:  # whatever tifffile raises for tags, or XML, that contradict themselves
            raise ValueError(f"{path.name} cannot be read as TIFF: {error}") from None
        page = self.series.keyframe
        bounds = bounds_of(tuple(page.chunks), np.dtype(page.dtype), True)
        check_segments(page, partial(_check_segment, bounds))
        store = self.series.aszarr(level=0)
        finalize(self, store.close)
        with reading(f"the first series of {path.name}"):
            self._array = Place.parse(store).open_array()
        self.shape: tuple[int, ...] = self._array.shape
        self.dtype: np.dtype[Any] = self._array.dtype
        self.chunks: tuple[int, ...] = self._array.chunks
        self.ndim = len(self.shape)

    def __getitem__(self, window: Any) -> Any:
        try:
            return self._array[window]
        except Exception as error:  # whatever a decoder raises for damaged bytes
            raise ValueError(f"the pixels of {self.path.name} cannot be decoded: {error}") from error

    def __reduce__(self) -> tuple[Callable[..., TiffPixels], tuple[Path]]:
        return TiffPixels, (self.path,)


def _check_companions(path: Path, xml: str) -> None:
    """Refuse an OME-TIFF of which planes lie in another file that is missing: they would be read as zeros."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return  # tifffile continues without it, too
    pixels = root.find(".//{*}Image/{*}Pixels")
    named = [] if pixels is None else pixels.findall("{*}TiffData/{*}UUID[@FileName]")
    names = {one.get("FileName", ""): one.text for one in named}
    own = {name for name, number in names.items() if number == root.get("UUID")}  # which may have been renamed
    missing = sorted(name for name in set(names) - own if not (path.parent / name).exists())
    if missing and len(names) > 1:
        raise ValueError(f"planes of it are in {len(missing)} more files that are missing, such as {missing[0]!r}")


def _check_segment(bounds: Bounds, kind: str, stored: bytes) -> None:
    check_segment(kind, stored, bounds)


def open_tiff(path: str | Path, dims: tuple[str, ...] | None = None) -> xr.DataArray:
    """Open the first series of a TIFF, at full resolution, through tifffile's zarr view.

    Raises
    ------
    ValueError
        The file is no TIFF, an axis has an unknown name and ``dims`` are not given, or they do not fit.
    """
    pixels = TiffPixels(Path(path).absolute())
    axes = pixels.series.axes
    if dims is None:
        dims = tuple(_AXES.get(letter, letter) for letter in axes)
        if any(letter not in _AXES for letter in axes) or len(set(dims)) < len(dims):
            raise ValueError(f"{path} has the TIFF axes {axes!r}; name its dimensions with --dims")
    scale, units, channels = _read_geometry(pixels.file)
    lengths = [n for dim, n in zip(dims, pixels.shape, strict=False) if axis_kind(dim) == "channel"]
    return to_spatial_image(
        pixels,
        dims,  # those that do not fit are refused here
        scale=_by_name(scale, dims),
        axis_units=_by_name(units, dims),
        c_coords=channels if channels and lengths == [len(channels)] else None,
    )


def _by_name(values: dict[str, Any], dims: tuple[str, ...]) -> dict[str, Any]:
    """Values of t, z, y and x, for the dimensions that mean these."""
    return {dim: values[meaning] for dim in dims if (meaning := axis_meaning(dim)) in values}


def _read_geometry(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str], list[str]]:
    if file.ome_metadata:
        return _read_ome(file.ome_metadata)
    if file.imagej_metadata:
        return _read_imagej(file)
    return {}, {}, []


def _read_ome(xml: str) -> tuple[dict[str, float], dict[str, str], list[str]]:
    try:
        pixels = ElementTree.fromstring(xml).find(".//{*}Image/{*}Pixels")
    except ElementTree.ParseError:
        pixels = None  # tifffile continues without it, too
    if pixels is None:
        return {}, {}, []
    scale, units = {}, {}
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
        found = file.pages.first.tags.get(tag)
        if found is not None and min(found.value) > 0 and unit:
            scale[dim] = found.value[1] / found.value[0]
            units[dim] = unit
    if float(metadata.get("spacing", 0)) > 0 and unit:
        scale["z"], units["z"] = float(metadata["spacing"]), unit
    if float(metadata.get("finterval", 0)) > 0:
        scale["t"], units["t"] = float(metadata["finterval"]), "second"
    return scale, _known_units(units), [str(label) for label in metadata.get("Labels", [])]


def _known_units(units: dict[str, str]) -> dict[str, str]:
    """Convert units to OME-Zarr's names; ``pixel`` is none, and others that are not known are kept as they are."""
    known = {dim: ngff_unit(unit, axis_kind(dim)) or unit for dim, unit in units.items()}
    return {dim: unit for dim, unit in known.items() if unit.lower() not in ("pixel", "pixels")}
