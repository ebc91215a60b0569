"""Speed of every method on one block and one core, next to TensorStore, SciPy and ITK; and what a first call costs.

Run as ``python -m benchmarks.kernels`` (extra ``bench``).  Figures are MB of input per second of CPU, medians.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from benchmarks.volume import label_block, sample_block
from msi_lazy.methods import Method, method_names, resolve_method

Array = np.ndarray[Any, Any]
Rival = Callable[[Array, tuple[int, ...]], Any]

TRUNCATED = 48
"""Edge of the block that the slowest rivals are given, SciPy's generic filter above all."""
LABEL_METHODS = ("mode", "nearest", "label_gaussian")


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    method: str
    """Name of the method."""
    dtype: str
    """NumPy's name of the dtype."""
    samples: str
    """``image``, ``labels`` or ``noise``."""
    factors: tuple[int, ...]
    """Factor along each dimension of the block."""


def cases() -> list[Case]:
    """Every method with factors of 2 on its usual dtypes, and some with other factors."""
    found = []
    for name in method_names():
        labels = name in LABEL_METHODS
        kind, dtypes = ("labels", ("u4", "u8")) if labels else ("image", ("u2", "u1", "f4", "f8"))
        found += [Case(name, dtype, kind, (2, 2, 2)) for dtype in dtypes]
        found += [Case(name, dtypes[0], kind, factors) for factors in ((1, 2, 2), (3, 3, 3))]
        if labels:
            found.append(Case(name, "u4", "noise", (2, 2, 2)))
    return found


def make_block(case: Case, edge: int) -> Array:
    """Generate a block of the synthetic volume, its labels, or noise."""
    shape = (edge,) * len(case.factors)
    if case.samples == "noise":
        return np.random.default_rng(0).integers(0, 200, shape).astype(case.dtype)
    made = label_block if case.samples == "labels" else sample_block
    block = made((0, 0, 0), shape)
    return (block >> 5 if case.dtype == "u1" else block).astype(case.dtype)


def prepare(method: Method, block: Array, factors: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """Return the block with the halo that the kernel reads, and the shape of its result."""
    out_shape = tuple(n // f for n, f in zip(block.shape, factors, strict=True))
    block = block[tuple(slice(n * f) for n, f in zip(out_shape, factors, strict=True))]
    radii = [method.radius(factor) if factor > 1 else 0 for factor in factors]
    return np.pad(block, [(radius, radius) for radius in radii], mode="edge"), out_shape


def run_ours(method: Method, block: Array, factors: tuple[int, ...]) -> Callable[[], Any]:
    """Return a call of the kernel; the halo does not count as input."""
    haloed, out_shape = prepare(method, block, factors)
    return partial(method.kernel, haloed, factors, out_shape)


def tensorstore(name: str, block: Array, factors: tuple[int, ...]) -> Any:
    """TensorStore's downsample driver, on one thread."""
    import tensorstore as ts

    context = ts.Context({"data_copy_concurrency": {"limit": 1}})
    return ts.downsample(ts.array(block, context=context), list(factors), name).read().result()


def scipy_filter(name: str, block: Array, factors: tuple[int, ...]) -> Any:
    """Filter the whole block with ``scipy.ndimage``, then take every n-th sample."""
    from scipy import ndimage

    return getattr(ndimage, name)(block, size=factors)[tuple(slice(f // 2, None, f) for f in factors)]


def scipy_mode(block: Array, factors: tuple[int, ...]) -> Any:
    """SciPy's generic filter with a mode in Python."""
    from scipy import ndimage

    def most_frequent(samples: Array) -> Any:
        values, counts = np.unique(samples, return_counts=True)
        return values[counts.argmax()]

    return ndimage.generic_filter(block, most_frequent, size=factors)[tuple(slice(f // 2, None, f) for f in factors)]


def scipy_gaussian(block: Array, factors: tuple[int, ...]) -> Any:
    """SciPy's Gaussian on the whole block, in float64, and then every n-th sample."""
    from scipy import ndimage

    sigmas = [((f**2 - 1) / (8 * log(2))) ** 0.5 for f in factors]
    smooth = ndimage.gaussian_filter(block, sigmas, output=np.float64, mode="nearest")
    return smooth[tuple(slice(f // 2, None, f) for f in factors)]


def numpy_mean(block: Array, factors: tuple[int, ...]) -> Any:
    """NumPy's mean of the reshaped block."""
    counts = [n // f for n, f in zip(block.shape, factors, strict=True)]
    whole = block[tuple(slice(n * f) for n, f in zip(counts, factors, strict=True))]
    pairs = [n for pair in zip(counts, factors, strict=True) for n in pair]
    return whole.reshape(pairs).mean(axis=tuple(range(1, len(pairs), 2)))


def itk_bin_shrink(block: Array, factors: tuple[int, ...]) -> Any:
    """ITK's BinShrinkImageFilter, on one thread."""
    import itk

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    return itk.bin_shrink_image_filter(itk.image_view_from_array(block), shrink_factors=list(factors[::-1]))


def itk_gaussian(block: Array, factors: tuple[int, ...]) -> Any:
    """ITK's DiscreteGaussianImageFilter on the whole block, on one thread."""
    import itk

    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    variance = [(f**2 - 1) / (8 * log(2)) for f in factors[::-1]]
    image = itk.image_view_from_array(block)
    return itk.discrete_gaussian_image_filter(image, variance=variance, maximum_error=0.01)


RIVALS: dict[str, dict[str, Rival]] = {
    "mean": {"TensorStore": partial(tensorstore, "mean"), "NumPy": numpy_mean, "ITK": itk_bin_shrink},
    "bin_shrink": {"ITK": itk_bin_shrink},
    "median": {"TensorStore": partial(tensorstore, "median"), "SciPy": partial(scipy_filter, "median_filter")},
    "min": {"TensorStore": partial(tensorstore, "min"), "SciPy": partial(scipy_filter, "minimum_filter")},
    "max": {"TensorStore": partial(tensorstore, "max"), "SciPy": partial(scipy_filter, "maximum_filter")},
    "mode": {"TensorStore": partial(tensorstore, "mode"), "SciPy": scipy_mode},
    "nearest": {"TensorStore": partial(tensorstore, "stride")},
    "gaussian": {"SciPy": scipy_gaussian},
    "dask_image_gaussian": {"SciPy": scipy_gaussian},
    "itk_gaussian": {"ITK": itk_gaussian},
}
SLOW = {scipy_mode}


def measure(call: Callable[[], Any], megabytes: float, calls: int) -> float:
    """MB per second of CPU time, whatever else the machine does, after a call that compiles or warms up."""
    call()
    seconds = []
    for _ in range(calls):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return megabytes / median(seconds)


def measure_rival(rival: Rival, block: Array, case: Case, calls: int) -> str:
    """MB per second of a peer; a dash where it does not take this dtype or is not installed."""
    if rival in SLOW:
        block, calls = np.ascontiguousarray(block[tuple(slice(TRUNCATED) for _ in block.shape)]), 1
    try:
        return f"{measure(partial(rival, block, case.factors), block.nbytes / 1e6, calls):,.3g}"
    except (ImportError, TypeError, ValueError, KeyError):  # not installed, or not made for the dtype
        return "-"


def first_call(method: str, dtype: str) -> None:
    """Print the milliseconds of the first call in this process."""
    case = Case(method, dtype, "image", (2, 2, 2))
    call = run_ours(resolve_method(method), make_block(case, 16), case.factors)
    start = time.perf_counter()
    call()
    click.echo(f"{(time.perf_counter() - start) * 1000:.0f}")


def measure_first_calls(method: str, dtype: str) -> list[str]:
    """Milliseconds of the first call with an empty cache, and in the next process."""
    with TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "benchmarks.kernels", "--child", method, dtype]
        environment = {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": ":".join(filter(None, sys.path))}
        runs = (subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2))
        return [run.stdout.strip() for run in runs]


def in_lines(heads: list[str], rows: list[list[str]]) -> str:
    """Format a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


@click.command()
@click.option("--method", "methods", multiple=True, help="Only these methods.")
@click.option("--edge", default=128, show_default=True, help="Edge of the block.")
@click.option("--calls", default=15, show_default=True)
@click.option("--first-calls/--no-first-calls", default=True, show_default=True, help="Measure compilation too.")
@click.option("--child", nargs=2, hidden=True)
def main(methods: tuple[str, ...], edge: int, calls: int, first_calls: bool, child: tuple[str, str] | None) -> None:
    """Measure kernels."""
    if child:
        first_call(*child)
        return
    chosen = [case for case in cases() if not methods or case.method in methods]
    peers = ["TensorStore", "SciPy", "ITK", "NumPy"]
    rows = []
    for case in chosen:
        block = make_block(case, edge)
        ours = measure(run_ours(resolve_method(case.method), block, case.factors), block.nbytes / 1e6, calls)
        rivals = RIVALS.get(case.method, {})
        found = [
            measure_rival(rivals[peer], block, case, max(calls // 5, 1)) if peer in rivals else "" for peer in peers
        ]
        factors = "x".join(map(str, case.factors))
        rows.append([case.method, case.dtype, case.samples, factors, f"{ours:,.0f}", *found])
    click.echo(f"MB of input per second of CPU time, {edge}³ samples, medians of {calls} calls\n")
    click.echo(in_lines(["method", "dtype", "samples", "factors", "msi_lazy", *peers], rows))
    if first_calls:
        pairs = sorted({(case.method, case.dtype) for case in chosen})
        rows = [[*pair, *measure_first_calls(*pair)] for pair in pairs]
        click.echo("\nThe first call, in ms: with an empty cache on disk, and in the next process\n")
        click.echo(in_lines(["method", "dtype", "compiled", "from the cache"], rows))


if __name__ == "__main__":
    main()
