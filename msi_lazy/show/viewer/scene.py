"""Initial state of Neuroglancer, as a plain dict, from the metadata of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.units import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from msi_lazy.ngff.channel_display import ChannelDisplay
    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["MOST_LAYERS", "LabelLayer", "Scene", "check_showable", "client_unit"]

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32")
"""Dtypes that Neuroglancer's Zarr reader takes."""
MOST_LAYERS = 16
"""Most channels that get a layer: the page is full then."""
_SCREEN = 800
"""Pixels that the longer side of the image takes at first."""
_SHADER = """#uicontrol invlerp normalized(range=[{start}, {end}], window=[{low}, {high}])
#uicontrol vec3 color color(default="#{color}")
void main() {{
  emitRGB(color * normalized());
}}
"""
"""Linear from black at the range's start to the full colour at its end."""


def client_unit(unit: str | None, axis: str) -> tuple[float, str]:
    """Factor and unit of Neuroglancer's, metres or seconds, for an OME-Zarr unit.

    Raises
    ------
    ValueError
        Neuroglancer does not know the unit, and would refuse the image.

    Examples
    --------
    >>> client_unit("micrometer", "x"), client_unit("hour", "t"), client_unit(None, "c")
    ((1e-06, 'm'), (3600.0, 's'), (1.0, ''))
    """
    if unit is None:
        return 1.0, ""
    known = UNITS.get(unit)
    if known is not None and known.base in ("m", "s"):
        return float(known.size), known.base
    raise ValueError(
        f"axis {axis!r} has the unit {unit!r}, which Neuroglancer does not know; repair the image's attributes: "
        f"'micrometer', say"
    )


def check_showable(dtype: np.dtype[Any]) -> None:
    """Refuse an image that Neuroglancer cannot show.

    Raises
    ------
    ValueError
        It does not know the dtype.
    """
    if dtype.name not in _DTYPES:
        raise ValueError(
            f"Neuroglancer shows samples of {', '.join(_DTYPES)}, not {dtype}; write the image in one of these"
        )


@dataclass(frozen=True)
class LabelLayer:
    """A label image below the image."""

    name: str
    """Name of the layer."""
    source: str
    """Neuroglancer's URL of it."""
    colors: Mapping[int, str]
    """Colour of each label that has one, as ``#rrggbb``."""

    def state(self) -> dict[str, Any]:
        """Return the layer as Neuroglancer has it."""
        colors = {str(label): color for label, color in self.colors.items()}
        return {"type": "segmentation", "name": self.name, "source": self.source, "segmentColors": colors}


@dataclass(frozen=True)
class Scene:
    """An image, and its initial display."""

    image: StoredImage
    """Attributes of the image."""
    shape: tuple[int, ...]
    """Samples of level 0."""
    source: str
    """Neuroglancer's URL of it: ``http://.../|zarr3:``."""
    channels: Mapping[int, ChannelDisplay]
    """Display settings of the channels that get a layer, by number; of one for an image without channels, of none for a
    label image."""
    labels: Sequence[LabelLayer]
    """Label images to show over it."""

    def state(self) -> dict[str, Any]:
        """Return the state of Neuroglancer, which its page loads as JSON.

        Positions are in samples of level 0: sample ``i`` covers from ``i + origin - 0.5`` to ``i + origin + 0.5``,
        where ``origin`` is the centre of the first sample, in samples.  Dimensions go from x to t.
        """
        dims = [dim for dim in reversed(self.image.dims) if not self._is_channel(dim)]
        shown = [dim for dim in dims if self._kind(dim) == "space"][:3] or dims[:3]
        wide = shown[:2]
        units = {dim: self._unit(dim) for dim in dims}
        smallest = min(units[dim][0] for dim in shown)
        extent = max(self._length(dim) * units[dim][0] / smallest for dim in wide)
        volume = len(shown) == 3 and self._length(shown[2]) > 1
        return {
            "dimensions": {dim: list(unit) for dim, unit in units.items()},
            "displayDimensions": shown,
            "position": [self._centre(dim, between=dim in wide) for dim in dims],
            "crossSectionScale": max(extent / (_SCREEN / 2 if volume else _SCREEN), 1e-3),
            "projectionScale": extent * 1.5,
            "crossSectionBackgroundColor": "#000000",
            "layers": [*self._image_layers(), *(layer.state() for layer in self.labels)],
            "selectedLayer": {"visible": False},
            "layout": "4panel" if volume else "xy",
        }

    def _kind(self, dim: str) -> str | None:
        return self.image.kinds[self.image.dims.index(dim)]

    def _is_channel(self, dim: str) -> bool:
        return self._kind(dim) == "channel"  # to Neuroglancer a layer's own dimension, called c'

    def _length(self, dim: str) -> int:
        return self.shape[self.image.dims.index(dim)]

    def _unit(self, dim: str) -> tuple[float, str]:
        """Spacing of level 0, in metres or seconds."""
        number = self.image.dims.index(dim)
        factor, unit = client_unit(self.image.units[number], dim)
        return self.image.levels[0].scale[number] * factor, unit

    def _centre(self, dim: str, between: bool) -> float:
        """Middle of the image; where one sample is shown at a time, the middle of that sample."""
        n = self._length(dim)
        return self._origin(dim) + ((n - 1) / 2 if between else n // 2)

    def _origin(self, dim: str) -> float:
        """Centre of the first sample, in samples."""
        number, finest = self.image.dims.index(dim), self.image.levels[0]
        return finest.translation[number] / finest.scale[number]

    def _image_layers(self) -> list[dict[str, Any]]:
        channel = next((dim for dim in self.image.dims if self._is_channel(dim)), None)
        layers = []
        for number, display in self.channels.items():
            (start, end), (low, high) = display.range, display.limits
            numbers = {"start": start, "end": end, "low": low, "high": max(high, end)}
            layer = {
                "type": "image",
                "name": display.label,
                "source": self.source,
                "shader": _SHADER.format(color=display.color, **{key: _plain(value) for key, value in numbers.items()}),
                "opacity": 1,
                "blend": "additive",
                "visible": display.visible,
            }
            if channel is not None:
                layer |= {
                    "localDimensions": {f"{channel}'": [1, ""]},
                    "localPosition": [self._origin(channel) + number],
                }
            layers.append(layer)
        return layers


def _plain(value: float) -> str:
    """Format a number as Neuroglancer's shaders need it: an integer has no point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
