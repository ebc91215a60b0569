"""A contact sheet: every level of a pyramid at its relative size, and the same patch of each enlarged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

__all__ = ["draw_sheet"]

_PATCH_FRACTION = 0.12
_TILE = 300
_MARGIN = 16


def draw_sheet(tree: xr.DataTree, path: Path) -> None:
    """Draw every level of a colour pyramid at its relative size, and the same patch of each enlarged."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = [_picture(tree, name) for name in tree.children]
    width = len(pictures) * (_TILE + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, 2 * (_TILE + 2 * _MARGIN)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for number, picture in enumerate(pictures):
        left, below = _MARGIN + number * (_TILE + _MARGIN), _TILE + 3 * _MARGIN
        height, across = picture.shape[:2]
        small = [max(round(_TILE * n / full), 1) for n, full in zip(picture.shape, pictures[0].shape, strict=True)]
        whole = Image.fromarray(picture).resize((small[1], small[0]), Image.Resampling.BOX)
        sheet.paste(whole, (left, _MARGIN + _TILE - small[0]))
        patch = Image.fromarray(_cut_patch(picture)).resize((_TILE, _TILE), Image.Resampling.NEAREST)
        sheet.paste(patch, (left, below))
        draw.text((left, below - 22), f"scale{number}: {height} x {across}", "black", font)
    sheet.save(path)


def _picture(tree: xr.DataTree, name: str) -> np.ndarray[Any, Any]:
    (image,) = tree.children[name].to_dataset().data_vars.values()
    return np.ascontiguousarray(image.transpose("y", "x", "c").values)


def _cut_patch(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Cut the same part of the image at every level, off centre where a retina has its optic disc."""
    height, width = picture.shape[:2]
    edge = max(round(height * _PATCH_FRACTION), 1)
    top, left = round(height * 0.40), round(width * 0.11)
    return picture[top : top + edge, left : left + edge]
