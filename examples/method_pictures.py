"""The README's pictures of the methods: one patch of a retina photograph, and bands of its brightness as labels.

Writes ``examples/methods/<method>.png`` and ``<method>-labels.png``.  Needs the extra ``demo``.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
from skimage import data

import msi_lazy as msi

FOLDER = Path(__file__).parent / "methods"
ROWS, COLUMNS = slice(580, 708), slice(140, 268)
"""Where vessels leave the optic disc."""
FACTOR = 8
SIDE = 128
"""Pixels of a picture's side."""
PALETTE = np.array(
    [[0, 0, 0], [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0]], np.uint8
)
METHODS = ["mean", "bin_shrink", "gaussian", "xarray_coarsen", "dask_image_gaussian", "itk_gaussian"]
LABEL_METHODS = ["median", "min", "max", "mode", "nearest", "label_gaussian"]


def reduce(image: np.ndarray, method: str) -> np.ndarray:
    """Level 1 of ``image``, (y, x) or (y, x, RGB), under ``method``."""
    dims = ("y", "x", "c")[: image.ndim]
    return msi.to_multiscale(msi.to_spatial_image(image, dims=dims), [FACTOR], method=method)["scale1"].image.to_numpy()


def enlarge(image: np.ndarray) -> np.ndarray:
    """Each sample as a square, so that the picture has ``SIDE`` pixels."""
    times = SIDE // len(image)
    return image.repeat(times, axis=0).repeat(times, axis=1)


def draw_pictures() -> dict[str, np.ndarray]:
    """Pictures by name, (y, x, RGB) as uint8."""
    patch = data.retina()[ROWS, COLUMNS]
    labels = (patch[..., 1] // 32 % len(PALETTE)).astype(np.uint32)
    pictures = {"source": patch, "source-labels": PALETTE[labels]}
    for name in METHODS + LABEL_METHODS:
        pictures[name] = enlarge(reduce(patch, name))
    for name in LABEL_METHODS:
        pictures[f"{name}-labels"] = enlarge(PALETTE[reduce(labels, name)])
    return pictures


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, picture in draw_pictures().items():
        iio.imwrite(FOLDER / f"{name}.png", picture)
