"""A synthetic, structured volume: smooth blobs under shot noise, computed block by block.

Run as ``python -m benchmarks.volume OUT --gib 2``; it writes a zarr array, one chunk row at a time.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import zarr
from zarr.codecs import BloscCodec

CHUNK = 128
CODEC = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")


def sample_block(start: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """One block of the volume, uint16: the same samples whatever the blocks it is asked for in."""
    z, y, x = (np.arange(a, a + n, dtype=np.float32) for a, n in zip(start, shape, strict=True))
    wave = np.sin(z / 17)[:, None, None] * np.sin(y / 23)[:, None] * np.sin(x / 29)
    waves = wave + 0.5 * np.sin(z / 5)[:, None, None] * np.cos(y / 7)[:, None] * np.sin(x / 3)
    bright = np.maximum(waves, 0) * 8000 + 200
    hashed = (  # a hash of the position, in place of a random stream that would depend on the block
        (z.astype(np.uint32) * np.uint32(73856093))[:, None, None]
        ^ (y.astype(np.uint32) * np.uint32(19349663))[:, None]
        ^ (x.astype(np.uint32) * np.uint32(83492791))
    )
    hashed = (hashed ^ (hashed >> np.uint32(13))) * np.uint32(1274126177)
    noise = ((hashed >> np.uint32(16)) % np.uint32(257)).astype(np.float32) - 128
    return (bright + noise).astype(np.uint16)


def volume_shape(gib: float) -> tuple[int, int, int]:
    """Shape of a volume of about ``gib`` GiB of uint16, in whole chunks."""
    edge = max(round((gib * 2**29) ** (1 / 3) / CHUNK), 1) * CHUNK
    depth = max(round(gib * 2**29 / edge**2 / CHUNK), 1) * CHUNK
    return depth, edge, edge


def make_volume(path: Path, gib: float, chunk: int = CHUNK) -> Path:
    """Write the volume as a zarr array, unless it is there already."""
    if (path / "zarr.json").exists():
        return path
    shape = volume_shape(gib)
    array = zarr.create_array(path, shape=shape, chunks=(chunk,) * 3, dtype="uint16", compressors=CODEC)
    for z in range(0, shape[0], CHUNK):
        for y in range(0, shape[1], CHUNK):
            array[z : z + CHUNK, y : y + CHUNK] = sample_block((z, y, 0), (CHUNK, CHUNK, shape[2]))
    return path


def make_plane(path: Path, gib: float, chunk: int = 512) -> Path:
    """Write one plane of the volume, square, of about ``gib`` GiB of uint16."""
    edge = max(int((gib * 2**29) ** 0.5 // chunk), 1) * chunk
    array = zarr.create_array(path, shape=(edge, edge), chunks=(chunk, chunk), dtype="uint16", compressors=CODEC)
    for y in range(0, edge, chunk):
        array[y : y + chunk] = sample_block((64, y, 0), (1, chunk, edge))[0]
    return path


def label_block(start: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """One block of a label volume, uint32: cells of about 24 samples with wavy borders, a third of them background."""
    z, y, x = (np.arange(a, a + n, dtype=np.float32) for a, n in zip(start, shape, strict=True))
    wavy = 3 * np.sin(z / 7)[:, None, None] + 3 * np.sin(y / 9)[:, None]
    cells = (np.floor((axis + wavy) / 24).astype(np.uint32) for axis in (z[:, None, None], y[:, None], x))
    hashed = np.zeros(shape, np.uint32)
    for cell, prime in zip(cells, (73856093, 19349663, 83492791), strict=True):
        hashed ^= (cell + np.uint32(1)) * np.uint32(prime)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * np.uint32(1274126177)
    return np.where(hashed % np.uint32(3) == 0, np.uint32(0), hashed >> np.uint32(8))


def make_labels(path: Path, gib: float, chunk: int = CHUNK) -> Path:
    """Write a cubic label volume of about ``gib`` GiB of uint32."""
    edge = max(round((gib * 2**28) ** (1 / 3) / chunk), 1) * chunk
    array = zarr.create_array(path, shape=(edge,) * 3, chunks=(chunk,) * 3, dtype="uint32", compressors=CODEC)
    for z in range(0, edge, chunk):
        array[z : z + chunk] = label_block((z, 0, 0), (chunk, edge, edge))
    return path


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--gib", default=2.0, show_default=True, help="Uncompressed size in GiB.")
def main(out: Path, gib: float) -> None:
    """Write the volume to OUT."""
    click.echo(f"{make_volume(out, gib)}: {volume_shape(gib)} uint16")


if __name__ == "__main__":
    main()
