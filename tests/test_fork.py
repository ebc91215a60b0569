"""Forked processes: what they write, read, verify and update, after Rust's pool of threads has run in their parent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, os, sys, warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import dask, dask.array as da, numpy as np, zarr
import msi_lazy as msi

warnings.filterwarnings("ignore", "This process|.*fork", DeprecationWarning)
FOLDER = Path(sys.argv[1])
PIXELS = np.random.default_rng(1).integers(1, 60000, (32, 64), "u2")
PARENT = os.getpid()
CONTEXT = multiprocessing.get_context("fork")

def tree_of(source=PIXELS):
    return msi.to_multiscale(msi.to_spatial_image(source, dims="yx"), [2], chunks=16, block_bytes=4096)

def level(tree, number):
    # threads that Dask itself keeps do not survive a fork, and its next computation on them never ends
    scheduler = "synchronous" if os.getpid() == PARENT else "threads"
    return tree[f"scale{number}"].image.data.compute(scheduler=scheduler)

def check(store):
    coarse = PIXELS.reshape(16, 2, 32, 2).mean((1, 3)).round()
    tree = msi.open_multiscale(store)
    assert (level(tree, 0) == PIXELS).all() and (abs(level(tree, 1) - coarse) <= 1).all()

def write(name):
    tree_of().pyramid.to_zarr(FOLDER / name, shards="auto" if "s" in name else None)
    check(FOLDER / name)

def verify_and_update(_):
    found = msi.verify(FOLDER / "parent.zarr", repair=True)
    assert found.ok, found
    msi.update(FOLDER / "parent.zarr", {"x": slice(0, 5)})
    assert msi.validate(FOLDER / "parent.zarr").ok

def use_what_was_opened_before(_):
    assert (level(TREE, 0) == PIXELS).all()
    SOURCE.pyramid.to_zarr(FOLDER / "child.zarr")
    check(FOLDER / "child.zarr")
    DELAYED.compute(scheduler="synchronous")
    check(FOLDER / "delayed.zarr")

def fork(work, *names):
    children = [CONTEXT.Process(target=work, args=(name,)) for name in names]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode

def os_fork(_):
    child = os.fork()
    if not child:
        write("child.zarr")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def grandchild(_):
    fork(write, "grandchild.zarr")

CASES = {
    "processes": lambda: fork(write, "a.zarr", "s.zarr"),
    "os.fork": lambda: os_fork(None),
    "grandchild": lambda: fork(grandchild, ""),
    "maintain": lambda: fork(verify_and_update, ""),
    "opened before": lambda: fork(use_what_was_opened_before, ""),
    "pool": lambda: CONTEXT.Pool(2).map(write, ["a.zarr", "s.zarr"]),
    "futures": lambda: list(ProcessPoolExecutor(2, mp_context=CONTEXT).map(write, ["a.zarr", "s.zarr"])),
    "dask": lambda: dask.config.set(
        scheduler="processes", num_workers=2, **{"multiprocessing.context": "fork"}
    ) and write("a.zarr"),
}

write("parent.zarr")
TREE = msi.open_multiscale(FOLDER / "parent.zarr")
stored = zarr.create_array(FOLDER / "source.zarr", data=PIXELS, chunks=(16, 16))
SOURCE = tree_of(zarr.open_array(FOLDER / "source.zarr", mode="r"))
DELAYED = SOURCE.pyramid.to_zarr(FOLDER / "delayed.zarr", compute=False)
level(TREE, 1)
CASES[sys.argv[2]]()
write("again.zarr")
print("done", flush=True)
os._exit(0)  # pools are not closed
"""
CASES = ["processes", "os.fork", "grandchild", "maintain", "opened before", "pool", "futures", "dask"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("case", CASES)
def test_a_forked_child_finishes_and_stores_the_same_samples(tmp_path, case):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, program, tmp_path, case]
    child = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=-1, stderr=-2, text=True, start_new_session=True
    )
    try:
        output, _ = child.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        output = "hangs: " + child.communicate()[0]
    assert output.rstrip().endswith("done"), output
