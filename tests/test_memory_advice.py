"""Advice where memory does not suffice: settings that were tried, and with which the write fits."""

import re
import warnings
from multiprocessing.pool import ThreadPool
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from dask.utils import format_bytes, parse_bytes
from distributed import Client
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.cli import main
from tests.support.wide_method import WIDE

MIB = 2**20
ADVICE = re.compile(r"((?:to_multiscale|dask\.config\.set|workers of).*?) \((\d[\d.]* \w+)\)(?:, or with |$| takes)")


def computed(shape, chunks, dims=("z", "y", "x")):
    """An image of computed chunks, which must not be computed."""

    def refuse():
        raise AssertionError("a chunk is computed")

    chunks = da.core.normalize_chunks(chunks, shape)
    array = da.map_blocks(refuse, chunks=chunks, dtype="u2", meta=np.empty((0,) * len(shape), "u2"), name="image")
    return xr.DataArray(array, dims=dims)


def virtual(shape, dims=("z", "y", "x")):
    return xr.DataArray(np.broadcast_to(np.zeros((), "u2"), shape), dims=dims)


IMAGES = {
    "planes": computed((256, 1024, 1024), (1, -1, -1)),
    "slabs": computed((256, 1024, 1024), (16, -1, -1)),
    "rows": computed((32768, 32768), (64, -1), ("y", "x")),
    "bricks": computed((384, 384, 384), (100, 100, 100)),
    "transposed": computed((1024, 1024, 256), (-1, -1, 1), ("x", "y", "z")),
    "channels": computed((3, 64, 1024, 1024), (1, 1, -1, -1), ("c", "z", "y", "x")),
    "windows": virtual((512, 512, 512)),
}


def excess(tree, limit, **options):
    with pytest.raises(msi.MemoryLimitError) as caught:
        tree.pyramid.to_zarr(MemoryStore(), memory_limit=limit, compute=False, **options)
    return str(caught.value)


def least(tree, threads):
    """Memory that a write needs, its source spilled where that helps."""
    return min(tree.pyramid.explain().memory(threads, spills=spills).total for spills in (False, True))


def parts_of(message):
    """The calls, each as its arguments, and the size, of each advice in a message."""
    for words, size in ADVICE.findall(message.partition("; ")[2]):
        calls = re.findall(r"(to_multiscale|dask\.config\.set)\((?:\.\.\., )?((?:[^()])*)\)", words)
        yield {name: eval(f"dict({arguments})") for name, arguments in calls}, size


@pytest.mark.parametrize("factors", ["auto", [2, 2]])
@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
@pytest.mark.parametrize("kind", IMAGES)
def test_each_advice_is_one_that_fits(kind, method, factors):
    """At limits from nearly enough on down, until nothing fits any more."""
    tree = msi.to_multiscale(IMAGES[kind], factors, method=method)
    with dask.config.set(scheduler="threads", num_workers=4):
        limit, advised = least(tree, threads=4) * 3 // 4, 0
        while limit > 80 * MIB:
            message = excess(tree, limit)
            if " takes least: raise memory_limit" in message:
                break
            for changes, size in parts_of(message):
                advised += 1
                with dask.config.set(changes.get("dask.config.set", {})):
                    other = tree
                    if "to_multiscale" in changes:
                        settings = changes["to_multiscale"]
                        other = msi.to_multiscale(IMAGES[kind], factors, method=method, **settings)
                    other.pyramid.to_zarr(MemoryStore(), memory_limit=limit, compute=False)
                assert parse_bytes(size) <= limit * 1.01  # the size is rounded
            limit //= 3
        assert advised


def test_what_takes_least_is_named_where_nothing_fits():
    tree = msi.to_multiscale(IMAGES["planes"], [2, 2])
    with dask.config.set(scheduler="threads", num_workers=2):
        message = excess(tree, "65 MiB")
        assert message.endswith("takes least: raise memory_limit")
        ((changes, size),) = parts_of(message)
        other = msi.to_multiscale(IMAGES["planes"], [2, 2], **changes["to_multiscale"])
        with dask.config.set(changes["dask.config.set"]):
            assert format_bytes(other.pyramid.explain().memory(1).total) == size


def test_a_tree_that_was_not_planned_here_is_advised_of_threads(tmp_path):
    msi.to_multiscale(virtual((96, 96, 96)), [2], chunks=96).pyramid.to_zarr(tmp_path / "one.zarr")
    back = msi.open_multiscale(tmp_path / "one.zarr")
    with dask.config.set(scheduler="threads", num_workers=8):
        message = excess(back, "70 MiB")
        assert [changes for changes, _ in parts_of(message)] == [{"dask.config.set": {"num_workers": 1}}]


def test_threads_of_a_pool_are_replaced(tmp_path):
    tree = msi.to_multiscale(virtual((512, 512, 512)), [2])
    with ThreadPool(8) as pool, dask.config.set(pool=pool):
        limit = tree.pyramid.explain().memory(8).total - 1
        (changes,) = [one for one, _ in parts_of(excess(tree, limit)) if "dask.config.set" in one]
        with dask.config.set(changes["dask.config.set"]):
            tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, compute=False)


def test_labels_along_count_and_are_planned_anew_too():
    image = IMAGES["planes"]
    trees = [msi.to_multiscale(image, [2, 2], method=method, chunks=128) for method in ("mean", "mode")]
    limit = least(trees[0], threads=2)
    with dask.config.set(scheduler="threads", num_workers=2):
        advice = list(parts_of(excess(trees[0], limit, labels={"cells": trees[1]})))
        for changes, _ in advice:
            settings = {"chunks": 128, **changes["to_multiscale"]}
            one, other = (msi.to_multiscale(image, [2, 2], method=method, **settings) for method in ("mean", "mode"))
            options = {"labels": {"cells": other}, "memory_limit": limit, "compute": False}
            one.pyramid.to_zarr(MemoryStore(), **options)
    assert advice


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 200 * MIB)  # the least of cgroup, machine and user
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def test_a_write_that_exceeds_the_machine_is_warned_of_once(small_machine, tmp_path):
    tree = msi.to_multiscale(IMAGES["planes"], [2, 2], chunks=128)
    with pytest.warns(UserWarning, match=r"up to .* of memory .*a process may use 200.00 MiB; it fits") as caught:
        tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    *_, note = tree.pyramid.explain().notes
    assert note == str(caught[0].message)
    assert note in str(tree.pyramid.explain())


def test_what_is_advised_is_warned_of_no_more(small_machine, tmp_path):
    (changes, _), *_ = parts_of(msi.explain(msi.to_multiscale(IMAGES["planes"], [2, 2], chunks=128)).notes[-1])
    tree = msi.to_multiscale(IMAGES["planes"], [2, 2], **{"chunks": 128, **changes["to_multiscale"]})
    tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    assert not any("it fits with" in note for note in tree.pyramid.explain().notes)


def test_a_limit_that_is_given_is_the_one_that_counts(small_machine, tmp_path):
    tree = msi.to_multiscale(IMAGES["planes"], [2, 2], chunks=128)
    tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="64 GiB", compute=False)


def test_small_images_are_not_warned_of(monkeypatch, tmp_path):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 256 * MIB)
    with dask.config.set(scheduler="threads", num_workers=2):
        tree = msi.to_multiscale(virtual((64, 256, 256)), [2, 2])
        tree.pyramid.to_zarr(tmp_path / "out.zarr")
        assert not tree.pyramid.explain().notes


def test_workers_are_held_against_what_they_have(tmp_path):
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    tree = msi.to_multiscale(virtual((512, 512, 512)), [2])
    needed = tree.pyramid.explain().memory(2).total
    with (
        Client(memory_limit=needed - 1, **options),
        pytest.warns(UserWarning, match=r"a process may use [\d.]* MiB; .*workers of 1 thread each \("),
    ):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    with Client(memory_limit=2 * needed, **options), warnings.catch_warnings():
        warnings.simplefilter("error")
        tree.pyramid.to_zarr(tmp_path / "other.zarr", compute=False)


def test_the_command_line_advises_its_own_options(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((128, 256, 256), "u2"))
    command = ["convert", str(tmp_path / "a.npy"), str(tmp_path / "out.zarr"), "--dims", "zyx", "--threads", "4"]
    command += ["--memory-limit", "110MiB"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1
    assert "--memory-limit is 110.00 MiB" in refused.output
    assert not re.search("block_bytes|memory_limit|to_multiscale|dask", refused.output)
    advice = re.findall(r"with (--.*?) \(", refused.output)
    assert advice
    for number, words in enumerate(advice):
        command[2] = str(tmp_path / f"{number}.zarr")
        done = CliRunner().invoke(main, [*command, *words.split()])
        assert done.exit_code == 0, done.output


def test_threads_are_those_of_workers_or_ours():
    refused = CliRunner().invoke(main, ["convert", "a.npy", "b.zarr", "--threads", "2", "--scheduler", "tcp://a:1"])
    assert "give --threads or --scheduler, not both" in refused.output
