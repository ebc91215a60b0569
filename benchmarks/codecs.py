"""What ``"auto"`` and ``"fast"`` rest on: speed and size of codecs on chunks of real and synthetic images and labels.

Run as ``python -m benchmarks.codecs`` (extra ``bench``).  Each codec encodes and decodes chunks of 64³ or 256² samples,
through the pipeline that writes them; figures are MB of samples per CPU second, medians of several rounds.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks.volume import label_block, sample_block
from msi_lazy.storage.arrays import reopen_array

if TYPE_CHECKING:
    from collections.abc import Callable

CODECS: dict[str, Any] = {
    "Blosc zstd-3, bit shuffle": BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
    "Blosc zstd-1, bit shuffle": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
    "Blosc zstd-3, byte shuffle": BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
    "Blosc lz4-5, bit shuffle": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
    "Blosc lz4-5, byte shuffle": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
    "Blosc lz4-5, no shuffle": BloscCodec(cname="lz4", clevel=5, shuffle="noshuffle"),
    "zstd-3": ZstdCodec(level=3),
    "zstd-1": ZstdCodec(level=1),
}


def camera(edge: int = 128) -> np.ndarray:
    """Photons counted by a camera: blobs in shot noise, and noise of reading, with an offset, uint16."""
    random = np.random.default_rng(0)
    photons = random.poisson(sample_block((0, 0, 0), (edge,) * 3) / 20)
    return np.clip(100 + 2 * photons + random.normal(0, 3, photons.shape), 0, None).astype("uint16")


def retina() -> np.ndarray:
    """Green channel of a fundus photograph, from scikit-image."""
    from skimage.data import retina as load

    return np.ascontiguousarray(load()[..., 1])


def tissue() -> np.ndarray:
    """Blue channel of a stained section, from scikit-image."""
    from skimage.data import immunohistochemistry as load

    return np.ascontiguousarray(load()[..., 2])


def cells_of_tissue(dtype: str) -> np.ndarray:
    """Labels of the section: its dark regions, numbered."""
    from scipy.ndimage import gaussian_filter, label

    smooth = gaussian_filter(tissue().astype(float), 2)
    return label(smooth < smooth.mean())[0].astype(dtype)


IMAGES: dict[str, Callable[[], np.ndarray]] = {
    "camera, uint16": camera,
    "volume, uint16": lambda: sample_block((0, 0, 0), (128, 128, 128)),
    "retina, uint8": retina,
    "tissue, uint8": tissue,
    "cells of the tissue, uint16": partial(cells_of_tissue, "uint16"),
    "cells of the tissue, uint32": partial(cells_of_tissue, "uint32"),
    "labels, uint32": lambda: label_block((0, 0, 0), (128, 128, 128)),
    "labels, uint64": lambda: label_block((0, 0, 0), (128, 128, 128)).astype("uint64"),
}


def measure(image: np.ndarray, codec: Any, rounds: int) -> tuple[float, float, float]:
    """MB per CPU second encoded and decoded, and uncompressed bytes per byte stored."""
    edge = 64 if image.ndim == 3 else 256
    writes, reads = [], []
    with TemporaryDirectory(dir="/dev/shm") as directory:
        chunks = tuple(min(edge, n) for n in image.shape)
        made = zarr.create_array(directory, shape=image.shape, dtype=image.dtype, chunks=chunks, compressors=codec)
        stored = reopen_array(made)
        for _ in range(rounds):
            start = time.process_time()
            stored[:] = image
            middle = time.process_time()
            stored[:]
            writes.append(middle - start)
            reads.append(time.process_time() - middle)
        size = made.nbytes_stored()
    megabytes = image.nbytes / 1e6
    return megabytes / median(writes), megabytes / median(reads), image.nbytes / size


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--image", "names", multiple=True, help="Only these images.")
def main(rounds: int, names: tuple[str, ...]) -> None:
    """Measure codecs."""
    click.echo("| image | codec | encode MB/s | decode MB/s | ratio |\n|---|---|---|---|---|")
    for name, load in IMAGES.items():
        if names and name not in names:
            continue
        image = load()
        for codec, made in CODECS.items():
            encode, decode, ratio = measure(image, made, rounds)
            click.echo(f"| {name} | {codec} | {encode:,.0f} | {decode:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
