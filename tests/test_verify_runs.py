"""Ways to run a verification: on clusters, from zip files, with a bar, from the command line, with bad arguments."""

import shutil
import sys

import dask
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from distributed import Client, LocalCluster
from zarr.storage import MemoryStore, ZipStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.maintain import stored_pyramid
from tests.support.damage import flip, found, samples, write
from tests.support.killing import contents


def test_bad_arguments(tmp_path):
    write(tmp_path / "a.zarr")
    for sample in (0, 1.5, -1, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            msi.verify(tmp_path / "a.zarr", sample=sample)
    for sample in ("all", True, None):
        with pytest.raises(TypeError, match="sample must be a fraction"):
            msi.verify(tmp_path / "a.zarr", sample=sample)
    with pytest.raises(TypeError, match="seed must be an integer"):
        msi.verify(tmp_path / "a.zarr", seed=0.5)
    with pytest.raises(TypeError, match="repair must be True or False, not 'no'"):
        msi.verify(tmp_path / "a.zarr", repair="no")
    with pytest.raises(ValueError, match="computed by 'mean', and not by 'max': leave method= out"):
        msi.verify(tmp_path / "a.zarr", method="max")
    with pytest.raises(FileNotFoundError):
        msi.verify(tmp_path / "none.zarr")
    zarr.create_array(tmp_path / "array.zarr", data=samples())
    with pytest.raises(ValueError, match="not the group of an OME-Zarr image"):
        msi.verify(tmp_path / "array.zarr")


def test_a_zip_file_is_read(tmp_path):
    write(tmp_path / "a.zarr")
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "a.zarr")
    with ZipStore(tmp_path / "a.zip", mode="r") as store:
        assert msi.verify(store).ok


@pytest.mark.parametrize("processes", [True, False])
def test_on_a_cluster(processes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    write(tmp_path / "a.zarr", method="gaussian")
    in_memory = write(MemoryStore())
    sound = contents(tmp_path / "a.zarr")
    flip(tmp_path / "a.zarr/scale1/image/c/0/1")
    (tmp_path / "a.zarr/scale2/image/c/0/1").unlink()
    options = {"n_workers": 2 if processes else 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(processes=processes, **options) as cluster, Client(cluster):
        report = msi.verify(tmp_path / "a.zarr", progress=True)
        assert found(report) == [("scale1/image", (0, 1), "differs")]
        assert msi.verify(tmp_path / "a.zarr", repair=True).ok
        with pytest.raises(ValueError, match="in memory"):
            msi.verify(in_memory)
    assert "100%" in capsys.readouterr().out
    assert contents(tmp_path / "a.zarr") == sound


def test_a_bar_and_any_scheduler(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    write(tmp_path / "a.zarr")
    with dask.config.set(scheduler="synchronous"):
        assert msi.verify(tmp_path / "a.zarr", progress=True).ok
    assert "100%" in capsys.readouterr().out


def test_many_blocks_are_gathered_in_order(counting_store, monkeypatch):
    monkeypatch.setattr(stored_pyramid, "BLOCK_BYTES", 1)
    write(counting_store, samples((160, 160)), factors=[2], chunks=4)
    zarr.open_array(counting_store, path="scale1/image")[:] = 0
    report = msi.verify(counting_store)
    assert [finding.unit for finding in report.findings] == list(np.ndindex(20, 20))
    assert {finding.kind for finding in report.findings} == {"missing"}


def test_on_the_command_line(tmp_path):
    store = str(write(tmp_path / "a.zarr"))

    def run(*options):
        return CliRunner().invoke(main, ["verify", store, *options])

    assert (run().exit_code, run("--sample", "0.1").exit_code) == (0, 0)
    assert f"{store}: no faulty block" in run().stdout
    flip(tmp_path / "a.zarr/scale1/image/c/1/2")
    assert run().exit_code == 1
    assert "scale1/image/c/1/2: differs" in run().stdout
    result = run("--repair")
    assert (result.exit_code, "repaired" in result.stdout) == (0, True)
    assert run().exit_code == 0
    result = run("--sample", "3")
    assert (result.exit_code, "sample must be" in result.stderr) == (1, True)
