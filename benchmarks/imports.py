"""What a user waits for first: the import, and a first pyramid of a small image.

Run as ``python -m benchmarks.imports``; each measurement is a process of its own, alternated with the import of the
libraries that every user of Dask, xarray and Zarr waits for anyway.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

import click

ANYWAY = "import xarray, dask.array, zarr"
OURS = "import msi_lazy"
FIRST = """
import time
import numpy as np
import msi_lazy as msi
image = np.zeros((512, 512), "u2")
start = time.perf_counter()
tree = msi.to_multiscale(msi.to_spatial_image(image), [2, 2])
built = time.perf_counter()
tree.load()
print(built - start, time.perf_counter() - start)
"""


def seconds(code: str) -> float:
    """Time that ``code`` takes in a new process, without the start of Python."""
    timed = f"import time\nstart = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    return float(_output(timed).split()[-1])


def _output(code: str) -> str:
    # as a user has it, whose Python keeps what it compiled
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@click.command()
@click.option("--rounds", default=9, show_default=True, help="Processes of each kind.")
def main(rounds: int) -> None:
    """Print both import times, their ratio, and the time of a first pyramid whose kernel is compiled already."""
    _output(FIRST)  # compiles, and fills the caches
    pairs = [(seconds(ANYWAY), seconds(OURS)) for _ in range(rounds)]
    anyway, ours = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(our / other for other, our in pairs)
    first = [map(float, _output(FIRST).split()) for _ in range(rounds)]
    built, computed = (median(times) for times in zip(*first, strict=True))
    click.echo(f"{ANYWAY}: {anyway:.2f} s")
    click.echo(f"{OURS}: {ours:.2f} s, {ratio:.2f} times as long (median of {rounds} rounds)")
    click.echo(f"first pyramid of 512 x 512 samples: {built:.2f} s, {computed:.2f} s with its samples")


if __name__ == "__main__":
    main()
