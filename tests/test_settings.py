"""Other people's settings, of Python, the environment, zarr, Dask, xarray and NumPy: the same bytes, and no failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

REPOSITORY = Path(__file__).parents[1]
PROGRAM = '''
import hashlib, os, sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
import numpy as np

def program(out):
    """Write, verify, update and read one small image each of several kinds; returns a hash of all files."""
    import msi_lazy as msi
    pixels = np.random.default_rng(1).integers(1, 60000, (8, 32, 32), "u2")

    def tree_of(pixels, method="mean", dims="zyx"):
        return msi.to_multiscale(msi.to_spatial_image(pixels, dims=dims), [2], method, chunks=16, block_bytes=8192)

    labels = tree_of((pixels // 9000 + 1).astype("u4"), "mode")
    tree_of(pixels).pyramid.to_zarr(out / "a.zarr", labels={"cells": labels})
    tree_of(pixels, "gaussian").pyramid.to_zarr(out / "g.zarr", version="0.4")
    image = msi.to_spatial_image(pixels[:3], dims="cyx", c_coords=["r", "g", "b"])
    msi.to_multiscale(image, [2], chunks=16).pyramid.to_zarr(out / "c.zarr", windows="auto")
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    found = hashlib.sha256(b"".join(str(path.relative_to(out)).encode() + path.read_bytes() for path in files))
    msi.update(out / "a.zarr", {"x": slice(3, 9)})
    report = msi.verify(out / "a.zarr", repair=True)
    assert report.ok or sys.exit(str(report))
    if not msi.validate(out / "a.zarr").ok:
        sys.exit(str(msi.validate(out / "a.zarr")))
    opened = msi.open_multiscale(out / "a.zarr")
    if not (opened["scale0"].image.values == pixels).all():
        sys.exit("what is read is not what was written")
    opened.pyramid.thumbnail(max_size=16)
    str(msi.explain(opened)), opened.pyramid.explain(measure=True)
    return found.hexdigest()

if __name__ == "__main__":
    out, before, *settings = sys.argv[1:]
    exec(before)
    for number, setting in enumerate(settings):
        below = Path(out) / str(number)
        below.mkdir()
        with eval(setting):
            print(number, program(below), flush=True)
'''
ZARR = [
    {"async.concurrency": 1},
    {"array.order": "F"},
    {"default_zarr_format": 2},
    {"array.write_empty_chunks": True},
    {"array.read_missing_chunks": False},
    {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"},
    {"codec_pipeline.batch_size": 7},
    {"array.target_shard_size_bytes": 100},
    {"buffer": "zarr.buffer.cpu.Buffer"},
    {"threading.max_workers": 1},
]
DASK = [
    {"array.chunk-size": "1KiB"},
    {"array.slicing.split-large-chunks": True},
    {"optimization.fuse.active": False},
    {"optimization.fuse.active": True},
    {"array.rechunk.method": "p2p"},
    {"array.rechunk.threshold": 1},
    {"scheduler": "synchronous"},
    {"num_workers": 1},
    {"tokenize.ensure-deterministic": True},
    {"array.query-planning": True},
    {"array.backend": "numpy"},
    {"dataframe.query-planning": False},
]
OTHERS = [
    "dask.config.set(pool=ThreadPoolExecutor(1))",
    "xarray.set_options(keep_attrs=False)",
    "xarray.set_options(arithmetic_join='exact', use_flox=False)",
    "xarray.set_options(display_style='text', use_bottleneck=False)",
    "np.errstate(all='raise')",
    "np.printoptions(legacy='1.13', threshold=1)",
]
IN_ONE_PROCESS = {
    "zarr": [f"zarr.config.set({setting})" for setting in ZARR],
    "dask": [f"dask.config.set({setting})" for setting in DASK],
    "others": OTHERS,
}
IMPORTS = "import dask, xarray, zarr; from concurrent.futures import ThreadPoolExecutor"
WITH_ENVIRONMENT = {
    "PYTHONHASHSEED": {"PYTHONHASHSEED": "77"},
    "no home": {"HOME": None},
    "a home that is missing": {"HOME": "/nonexistent"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
    "latin-1": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"},
    "numba and threads": {"NUMBA_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "odd numbers of threads": {"RAYON_NUM_THREADS": "abc", "NUMBA_THREADING_LAYER": "workqueue"},
    "no temporary folder": {"TMPDIR": "/nonexistent"},
    "terminal": {"COLUMNS": "1", "TERM": "dumb", "NO_COLOR": "1", "TZ": "Pacific/Apia", "LC_NUMERIC": "de_DE.UTF-8"},
    "no compiler's cache": {"NUMBA_CACHE_DIR": "/dev/null/x"},
    "no compiler": {"NUMBA_DISABLE_JIT": "1"},
}
WITH_FLAGS = {
    "warnings are errors": ["-W", "error"],
    "development": ["-X", "dev"],
    "isolated": ["-s", "-P"],
    "-O": ["-O"],
    "-OO": ["-OO"],
}
BEFORE = {
    "processes": "import dask; dask.config.set(scheduler='processes', num_workers=2)",
    "locale": "import locale; locale.setlocale(locale.LC_ALL, '')",
    "recursion": "sys.setrecursionlimit(400)",
    "no garbage collection": "import gc; gc.disable()",
    "switches": "sys.setswitchinterval(1e-6)",
    "small stacks": "import threading; threading.stack_size(256 * 1024)",
    "umask 077": "os.umask(0o077)",
    "umask 0": "os.umask(0)",
    "few files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "no input": "os.close(0)",
    "no errors": "os.close(2)",
    "no folder": "os.mkdir(sys.argv[1] + '/gone'); os.chdir(sys.argv[1] + '/gone'); os.rmdir(sys.argv[1] + '/gone')",
    "NumPy raises": "np.seterr(all='raise')",
}
QUICK = {"ASCII", "no home", "warnings are errors", "-OO", "recursion", "few files", "no folder"}
"""Settings that need a process each, and are tried each time."""


def run(folder, settings=("nullcontext()",), before="", flags=(), environment=None):
    """Run the program under each of some settings; returns the hashes, and what is wrong instead of one."""
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    given = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]), **(environment or {})}
    merged = {name: value for name, value in {**os.environ, **given}.items() if value is not None}
    command = [sys.executable, *flags, folder / "program.py", folder, before, *settings]
    ended = subprocess.run(command, env=merged, capture_output=True, text=True, timeout=200, errors="replace")
    lines = [line.split()[1] for line in ended.stdout.splitlines() if line[:1].isdigit()]
    failure = f"exit status {ended.returncode}: {ended.stderr[-3000:]}"
    return [*lines, *[failure] * (len(settings) - len(lines))]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    (expected,) = run(folder / "reference")
    assert len(expected) == 64, expected
    return expected


@pytest.mark.parametrize("library", IN_ONE_PROCESS)
def test_settings_of_libraries_change_no_byte(tmp_path, reference, library):
    settings = IN_ONE_PROCESS[library]
    found = run(tmp_path / "out", settings, IMPORTS)
    assert dict(zip(settings, found, strict=True)) == dict.fromkeys(settings, reference)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*WITH_ENVIRONMENT, *WITH_FLAGS, *BEFORE)
    ],
)
def test_a_process_of_its_own_changes_no_byte(tmp_path, reference, name):
    options = {
        "before": BEFORE.get(name, ""),
        "flags": WITH_FLAGS.get(name, ()),
        "environment": WITH_ENVIRONMENT.get(name),
    }
    (found,) = run(tmp_path / "out", **options)
    if name.startswith("-O") and zarr.__version__ < "3.2":
        assert "RuntimeError: zarr 3.1" in found
        assert "run Python without that, or install a newer zarr" in found
        assert not list((tmp_path / "out/0").iterdir())
    else:
        assert found == reference
