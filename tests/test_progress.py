"""Progress: what is stored of each level, on threads and clusters, in terminals and notebooks, and nowhere else."""

import io
import re
import subprocess
import sys
import threading
from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.write_graph import LevelArrays
from msi_lazy.run import progress_display as display
from msi_lazy.run import watch
from msi_lazy.run.progress_display import level_progress
from msi_lazy.run.tally import Tally
from msi_lazy.write import projection
from tests.support.counted_image import CountedImage
from tests.support.failing_writes import FailingStore
from tests.support.strategies import pyramids


class Recorder(Progress):
    """In place of a terminal: remembers the rows that it shows."""

    shown = ()

    def __init__(self):
        super().__init__(console=Console(file=io.StringIO()), auto_refresh=False)
        type(self).shown = []

    def record(self):
        known = ("completed", "total", "speed", "finished")
        self.shown.append(
            {
                row.description: SimpleNamespace(**{name: getattr(row, name) for name in known}, fields={**row.fields})
                for row in self.tasks
            }
        )

    def start(self):
        super().start()
        self.record()

    def update(self, *task, **changes):
        super().update(*task, **changes)
        if self.live.is_started:
            self.record()

    def stop(self):
        self.record()
        super().stop()
        self.shown.append("closed")


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(watch, "level_progress", Recorder)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    return Recorder


def make_tree(block_bytes="8 KiB", array=None):
    array = np.arange(96 * 80, dtype="u2").reshape(96, 80) if array is None else array
    return msi.to_multiscale(msi.to_spatial_image(array), [2, 2], chunks=16, block_bytes=block_bytes)


def check_complete(shown, sizes):
    assert shown[-1] == "closed"
    assert {name: row.completed for name, row in shown[-2].items()} == sizes
    assert all(row.completed == row.total and stored_blocks(row) == row.fields["blocks"] for row in shown[-2].values())
    assert all(row.finished for row in shown[-2].values())
    for before, after in pairwise(shown[:-1]):  # nothing is ever taken back
        assert all(before[name].completed <= after[name].completed for name in sizes)


def stored_blocks(row):
    return row.fields["stored"]


SIZES = {"scale0": 15360, "scale1": 3840, "scale2": 960, "all levels": 20160}


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_every_byte_and_block_is_counted(tmp_path, recorder, scheduler):
    with dask.config.set(scheduler=scheduler):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", progress=True)
    check_complete(recorder.shown, SIZES)
    assert recorder.shown[0]["all levels"].completed == 0
    assert recorder.shown[-2]["scale0"].fields["blocks"] > 1


def test_labels_and_added_levels_have_rows_of_their_own(tmp_path, recorder):
    labels = msi.to_multiscale(msi.to_spatial_image(np.ones((96, 80), "u1")), [2, 2], method="mode", chunks=16)
    make_tree().pyramid.to_zarr(tmp_path / "a.zarr", progress=True, labels={"cells": labels})
    of_labels = {"labels/cells/scale0": 7680, "labels/cells/scale1": 1920, "labels/cells/scale2": 480}
    check_complete(recorder.shown, SIZES | of_labels | {"all levels": 20160 + 10080})
    msi.write_labels(tmp_path / "a.zarr", "nuclei", labels, progress=True)
    nuclei = {name.replace("cells", "nuclei"): size for name, size in of_labels.items()}
    check_complete(recorder.shown, nuclei | {"all levels": 10080})
    make_tree().pyramid.to_zarr(tmp_path / "b.zarr")
    msi.add_levels(tmp_path / "b.zarr", [2], progress=True)
    check_complete(recorder.shown, {"scale3": 240, "all levels": 240})


def test_chunks_that_are_spilled_have_a_row_of_their_own(tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(projection, "spill_where_needed", lambda images, *_: [image.spilled() for image in images])
    samples = np.arange(96 * 80, dtype="u2").reshape(96, 80)
    failing, whole = (CountedImage(samples, (3, -1), "yx", fails=fails).image for fails in ([(90, 0)], ()))
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(OSError, match="the reader is gone"):
            msi.to_multiscale(failing, [2, 2], chunks=16).pyramid.to_zarr(tmp_path / "a.zarr", progress=True)
        stopped = recorder.shown[-2]["source"]
        assert 0 < stopped.completed < stopped.total == samples.nbytes
        msi.to_multiscale(whole, [2, 2], chunks=16).pyramid.to_zarr(tmp_path / "a.zarr", progress=True, resume=True)
    first = recorder.shown[0]["source"]
    assert (first.completed, stored_blocks(first), first.fields["blocks"]) == (
        stopped.completed,
        stored_blocks(stopped),
        32,
    )
    check_complete(recorder.shown, {"source": samples.nbytes, **SIZES})


def test_an_edited_tree_is_counted_level_by_level(tmp_path, recorder):
    tree = make_tree().map_over_datasets(lambda level: level + level.max() if level.data_vars else level)
    tree.pyramid.to_zarr(tmp_path / "a.zarr", progress=True)
    check_complete(recorder.shown, SIZES)


def test_a_resumed_write_begins_where_the_other_ended(recorder):
    whole = MemoryStore()
    make_tree().pyramid.to_zarr(whole)
    keys = sum(key.startswith("scale0/image/c/") for key in whole._store_dict)
    store = FailingStore(MemoryStore(), left=keys)
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(OSError, match="no space left"):
            make_tree().pyramid.to_zarr(store, progress=True)
        stopped = recorder.shown[-2]["all levels"]
        assert recorder.shown[-1] == "closed"
        assert 0 < stopped.completed < stopped.total
        store.state["left"] = 10**9
        make_tree().pyramid.to_zarr(store, resume=True, progress=True)
    first = recorder.shown[0]["all levels"]
    assert (first.completed, stored_blocks(first), first.speed) == (stopped.completed, stored_blocks(stopped), None)
    check_complete(recorder.shown, SIZES)


def topics(dask_scheduler):
    """Names of the topics of events that a scheduler keeps."""
    return sorted(dask_scheduler.get_events())


@pytest.mark.parametrize("processes", [True, False])
def test_workers_of_a_cluster_report_to_the_client(tmp_path, recorder, processes):
    zarr.create_array(tmp_path / "source.zarr", shape=(96, 80), chunks=(16, 16), dtype="u2")[:] = 7
    tree = make_tree(array=zarr.open_array(tmp_path / "source.zarr", mode="r"))
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "processes": processes}
    seen = []
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        counted = Tally.add
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tally, "add_all", lambda self: seen.append(self.progress.tasks[-1].completed))
            patch.setattr(Tally, "add", lambda self, number: counted(self, number))
            tree.pyramid.to_zarr(tmp_path / "a.zarr", progress=True)
        assert seen[0] > 0  # events arrived before the end
        kept = dict(client._event_handlers), client.run_on_scheduler(topics)
        for name in "bc":
            tree.pyramid.to_zarr(tmp_path / f"{name}.zarr", progress=True)
        assert (dict(client._event_handlers), client.run_on_scheduler(topics)) == kept  # distributed keeps what it has
        assert not watch._WATCHED
        assert not watch._SUBSCRIBED
    check_complete(recorder.shown, SIZES)


def test_nothing_is_shown_where_nobody_looks(tmp_path, capsys):
    make_tree().pyramid.to_zarr(tmp_path / "a.zarr", progress=True)
    msi.verify(tmp_path / "a.zarr", progress=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def divide(block, divisor):
    return block if divisor else [][0]


def test_nothing_is_left_behind(tmp_path, recorder):
    threads, out = set(threading.enumerate()), sys.stdout
    for fails in (False, True):
        source = da.from_array(np.zeros((96, 80), "u2"), chunks=16).map_blocks(divide, int(not fails), dtype="u2")
        tree = make_tree(array=source)
        if fails:
            with pytest.raises(IndexError):
                tree.pyramid.to_zarr(tmp_path / f"{fails}.zarr", progress=True)
        else:
            tree.pyramid.to_zarr(tmp_path / f"{fails}.zarr", progress=True)
        assert recorder.shown[-1] == "closed"
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.name.startswith("msi_lazy")]
    assert sys.stdout is out


@given(case=pyramids(max_dims=3, max_extent=40), blocks=st.sampled_from([256, 4096]))
def test_the_bytes_of_all_blocks_are_those_of_the_levels(case, blocks):
    shape, factors = case
    tree = msi.to_multiscale(
        msi.to_spatial_image(np.zeros(shape, "u1"), dims="zyx"[-len(shape) :]),
        [dict(zip("zyx"[-len(shape) :], step, strict=True)) for step in factors],
        chunks=4,
        block_bytes=blocks,
    )
    levels = [next(iter(node.data_vars.values())).data for node in tree.children.values()]
    progress = level_progress()
    tally = Tally([LevelArrays(LevelGraph.of(levels), [])], frozenset(), progress)
    tally.add_all()
    tally.add_all()  # twice makes no difference
    assert [row.completed for row in progress.tasks[:-1]] == [level.nbytes for level in levels]
    assert all(stored_blocks(row) == row.fields["blocks"] for row in progress.tasks)


def test_rate_and_time_left_are_those_of_this_run():
    clock = SimpleNamespace(seconds=0)
    progress = level_progress(get_time=lambda: clock.seconds)
    array = da.zeros((16, 4), chunks=(2, 4), dtype="u1")
    tally = Tally([LevelArrays(LevelGraph.of([array]), [])], frozenset({0, 1}), progress)
    (row, _) = progress.tasks
    assert (row.completed, stored_blocks(row), row.speed, row.time_remaining) == (16, 2, None, None)
    for number in (2, 3, 4, 4):
        clock.seconds += 4
        tally.add(number)
    assert (row.completed, stored_blocks(row)) == (40, 5)
    assert (row.speed, row.time_remaining) == (2, 12)
    assert [str(column(row)) for column in progress.columns[2:]] == [
        " 62%", "40/64 bytes", "5/8 blocks", "2 bytes/s", "0:00:12",
    ]  # fmt: skip


def test_rates_of_blocks_that_take_minutes_are_known():
    clock = SimpleNamespace(seconds=0)
    progress = level_progress(get_time=lambda: clock.seconds)
    array = da.zeros((8, 4), chunks=(2, 4), dtype="u1")
    tally = Tally([LevelArrays(LevelGraph.of([array]), [])], frozenset(), progress)
    for number in (0, 1):
        clock.seconds += 240
        tally.add(number)
    assert progress.tasks[-1].time_remaining == 480


def test_a_notebook_gets_a_table_renewed_in_place(tmp_path, monkeypatch):
    tables = []
    handle = SimpleNamespace(update=lambda html: tables.append(html.data))

    def show(html, display_id):
        tables.append(html.data)
        return handle

    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", show)
    make_tree().pyramid.to_zarr(tmp_path / "a.zarr", progress=True)
    rows = ElementTree.fromstring(tables[-1]).findall("tbody/tr")
    assert [row.find("th").text for row in rows] == list(SIZES)
    bars = [row.find("td/progress").attrib for row in rows]
    assert [bar["value"] for bar in bars] == [bar["max"] for bar in bars] == [str(size) for size in SIZES.values()]
    assert [bar["aria-label"] for bar in bars] == list(SIZES)


def test_a_terminal_of_eighty_columns_shows_it_all(tmp_path):
    program = f"""
import numpy as np, msi_lazy as msi
tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((512, 512), "u2")), [2, 2], chunks=64)
tree.pyramid.to_zarr({str(tmp_path / "a.zarr")!r}, progress=True)
"""
    code = (
        "import pty, os, sys; os.environ.update(TERM='xterm', COLUMNS='80');"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, '-c', sys.argv[1]])))"
    )
    ran = subprocess.run([sys.executable, "-c", code, program], capture_output=True, text=True, check=True)
    last = [line for line in ran.stdout.splitlines() if "all levels" in line][-1]
    assert "100%" in last
    assert "688.1/688.1 kB" in last
    assert "4/4 blocks" in last
    assert re.search(r"0:00:\d\d", last)
