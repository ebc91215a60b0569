"""The codec's floor: decoding a source's chunks and encoding every chunk of its pyramid, nothing else, on all cores.

Run as ``python -m benchmarks.floor --gib 0.5`` (extra ``bench``).  Each round has our pyramid, the floor of that very
pyramid, by numcodecs from memory to memory, and TensorStore's copy of level 0, each in a process of its own.  Prints
medians of CPU and wall time, and of the floor's share of the CPU time of each: work per core that is the codec's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import zarr
from numcodecs import Blosc, Zstd, blosc

from benchmarks.compare import SIZES, make_source
from benchmarks.contenders import CONTENDERS, THREADS, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OURS, SHARDED, COPY = "msi_lazy", "msi_lazy, sharded", "TensorStore, only copying scale 0"
FLOOR = "floor: the codec alone"


def numcodec(array: zarr.Array) -> Any:
    """Codec of numcodecs of an array of Zarr v3 with one compressor."""
    (settings,) = (codec.to_dict() for codec in array.compressors)
    options = {name: getattr(value, "value", value) for name, value in settings["configuration"].items()}
    if settings["name"] == "zstd":
        return Zstd(**options)
    shuffle = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
    return Blosc(options["cname"], options["clevel"], shuffle[options["shuffle"]])


def chunks_of(array: zarr.Array) -> Iterable[np.ndarray]:
    """Chunks of an array, whole, as they are encoded: those that its end cuts are filled up."""
    samples = array[:]
    for start in product(*(range(0, n, c) for n, c in zip(array.shape, array.chunks, strict=True))):
        part = samples[tuple(slice(s, s + c) for s, c in zip(start, array.chunks, strict=True))]
        missing = [(0, c - n) for n, c in zip(part.shape, array.chunks, strict=True)]
        yield np.ascontiguousarray(np.pad(part, missing))


def codec_jobs(source: Path, target: Path) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """List the calls that decode each chunk of the source, and encode each chunk of the pyramid."""
    opened = zarr.open_array(source, mode="r")
    decode = numcodec(opened).decode
    stored = [path.read_bytes() for path in sorted((source / "c").rglob("*")) if path.is_file()]
    jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [(decode, (content,)) for content in stored]
    for path in sorted(target.glob("scale*/image")):
        level = zarr.open_array(path, mode="r")
        jobs += [(numcodec(level).encode, (chunk,)) for chunk in chunks_of(level)]
    return jobs


def run_floor(source: Path, target: Path, _work: Work) -> tuple[float, float]:
    """Seconds and CPU seconds of the codec alone, for what was written at ``target``."""
    blosc.use_threads = False  # one thread a chunk
    jobs = codec_jobs(source, target)
    with ThreadPoolExecutor(THREADS) as pool:
        return timed(lambda: [None for _ in pool.map(lambda job: job[0](*job[1]) and None, jobs)])


def run_contender(name: str, source: Path, target: Path, work: Work) -> tuple[float, float]:
    """Seconds and CPU seconds of a contender, once it has run on something tiny: imports and compilation are done."""
    import dask

    opened = zarr.open_array(source, mode="r")
    with TemporaryDirectory() as directory, dask.config.set(scheduler="threads", num_workers=THREADS):
        tiny = Path(directory, "tiny.zarr")
        ones = np.ones((64,) * opened.ndim, opened.dtype)
        zarr.create_array(tiny, data=ones, chunks=(32,) * opened.ndim, compressors=opened.compressors)
        CONTENDERS[name][0](tiny, Path(directory, "target"), Work(1, 16, work.method, work.codec))
        return timed(lambda: CONTENDERS[name][0](source, target, work))


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds and CPU seconds of a call."""
    start, before = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - before


def measure(name: str, source: Path, target: Path, work: Work) -> tuple[float, float]:
    """Seconds and CPU seconds of one run, in a process of its own."""
    job = [name, str(source), str(target), str(work.levels), str(work.chunk), work.method, work.codec]
    done = subprocess.run([sys.executable, "-m", "benchmarks.floor", "--child", *job], capture_output=True, text=True)
    result = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not result:
        raise click.ClickException(f"{name}: {done.stderr.strip()[-300:]}")
    _, seconds, cpu = result[-1].split()
    return float(seconds), float(cpu)


def table(rounds: list[dict[str, tuple[float, float]]]) -> str:
    """Medians of each, and of the shares of the rounds."""
    lines = ["| | CPU s | wall s | floor / CPU |", "|---|---|---|---|"]
    for name in rounds[0]:
        seconds, cpu = (median(found[name][i] for found in rounds) for i in range(2))
        share = median(found[FLOOR][1] / found[name][1] for found in rounds)
        lines.append(f"| {name} | {cpu:.2f} | {seconds:.2f} | {share:.2f} |")
    return "\n".join(lines)


@click.command()
@click.option("--work", "kind", type=click.Choice(list(SIZES)), default="volume", show_default=True)
@click.option("--method", type=click.Choice(["mean", "mode", "gaussian"]), default="mean", show_default=True)
@click.option("--codec", type=click.Choice(["zstd", "lz4"]), default="zstd", show_default=True)
@click.option("--gib", default=0.5, show_default=True, help="Uncompressed size of the image in GiB.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--where", type=click.Path(path_type=Path), help="Directory to work in, such as /dev/shm.")
@click.option("--child", nargs=7, hidden=True)
def main(
    kind: str, method: str, codec: str, gib: float, rounds: int, where: Path | None, child: tuple[str, ...] | None
) -> None:
    """Compare with the codec's floor."""
    if child:
        name, source_name, target_name, levels, chunk, *rest = child
        paths, work = (Path(source_name), Path(target_name)), Work(int(levels), int(chunk), *rest)
        seconds, cpu = run_floor(*paths, work) if name == FLOOR else run_contender(name, *paths, work)
        click.echo(f"RESULT {seconds} {cpu}")
        return
    work = Work(*SIZES[kind], method, codec)
    found: list[dict[str, tuple[float, float]]] = []
    with TemporaryDirectory(dir=where) as directory:
        source = make_source(kind, Path(directory), gib)
        for number in range(rounds):
            targets = {name: Path(directory, f"{number}-{at}") for at, name in enumerate((OURS, SHARDED, COPY))}
            runs = {name: measure(name, source, target, work) for name, target in targets.items()}
            found.append({FLOOR: measure(FLOOR, source, targets[OURS], work), **runs})
        shape = zarr.open_array(source, mode="r").shape
    click.echo(f"{kind} of {shape}, {method}, codec {codec}, {THREADS} threads, {rounds} rounds\n\n{table(found)}")


if __name__ == "__main__":
    main()
