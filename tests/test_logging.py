"""The log of a write: how it begins and ends, and what was decided; silent unless asked for."""

import logging
import re
import subprocess
import sys

import dask
import numpy as np
import pytest
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.failing_writes import FailingStore


def make_tree(**options):
    return msi.to_multiscale(msi.to_spatial_image(np.ones((96, 80), "u2")), [2, 2], chunks=16, **options)


def messages(caplog, level=logging.INFO):
    """What the package has logged at ``level``."""
    found = [record for record in caplog.records if record.name.split(".")[0] == "msi_lazy"]
    return [record.getMessage() for record in found if record.levelno == level]


@pytest.fixture(autouse=True)
def everything(caplog):
    caplog.set_level(logging.DEBUG, "msi_lazy")


def test_a_write_says_where_it_begins_and_how_it_ends(tmp_path, caplog):
    make_tree(block_bytes="8 KiB").pyramid.to_zarr(tmp_path / "a.zarr", group="plate/1")
    begun, ended = messages(caplog)
    what = f"3 levels (19.69 kiB in 4 blocks) of file://{tmp_path}/a.zarr/plate/1"
    assert begun == f"writing {what}"
    assert re.fullmatch(r"wrote in \d+\.\d s " + re.escape(what), ended)


def test_labels_and_added_levels_are_logged(tmp_path, caplog):
    labels = msi.to_multiscale(msi.to_spatial_image(np.ones((96, 80), "u1")), [2, 2], method="mode", chunks=16)
    make_tree().pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": labels})
    msi.write_labels(tmp_path / "a.zarr", "nuclei", labels)
    make_tree().pyramid.to_zarr(tmp_path / "b.zarr")
    msi.add_levels(tmp_path / "b.zarr", [2])
    begun = [message for message in messages(caplog) if message.startswith("writing")]
    assert [message.partition(" (")[0] for message in begun] == [
        "writing 6 levels", "writing 3 levels", "writing 3 levels", "writing 1 levels",
    ]  # fmt: skip
    places = [message.rpartition(" of ")[2] for message in begun]
    assert [place.removeprefix(f"file://{tmp_path}/") for place in places] == [
        "a.zarr", "a.zarr/labels/nuclei", "b.zarr", "b.zarr/scale3/image",
    ]  # fmt: skip


def test_a_resumed_write_says_what_was_stored_before(caplog):
    store = FailingStore(MemoryStore(), left=30)
    tree = make_tree(block_bytes="2 KiB")
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(OSError, match="no space left"):
            tree.pyramid.to_zarr(store)
        assert re.match(r"stopped after \d+\.\d s writing 3 levels .*: OSError\(", messages(caplog)[1])
        store.state["left"] = 10**9
        tree.pyramid.to_zarr(store, resume=True)
    (again,) = [message for message in messages(caplog) if "stored before" in message and message.startswith("writing")]
    assert int(re.search(r"in \d+ blocks, (\d+) of them stored before", again)[1]) > 0


def test_decisions_are_logged_for_those_who_look_closely(tmp_path, caplog):
    tree = make_tree(block_bytes="2 KiB")
    tree.pyramid.to_zarr(tmp_path / "a.zarr", shards=48)
    tree.pyramid.to_zarr(MemoryStore())
    tree.map_over_datasets(lambda level: level + 1 if level.data_vars else level).pyramid.to_zarr(MemoryStore())
    found = messages(caplog, logging.DEBUG)
    for decision in (
        "levels are rechunked to the chunks or shards that store them",
        "tasks that store the image come from the plan",
        "tasks that store the image come from Dask's graph of the levels",
        "the image: ",
        " stages read back what was stored",
        "has its codecs run by zarrs",
        "has its codecs run by zarr-python",
    ):
        assert any(decision in message for message in found), decision


def test_the_log_grows_with_no_block(caplog):
    lengths = []
    for block_bytes in ("8 KiB", "1 KiB"):
        caplog.clear()
        make_tree(block_bytes=block_bytes).pyramid.to_zarr(MemoryStore())
        lengths.append(len(messages(caplog)))
    assert lengths[0] == lengths[1] == 2
    assert not messages(caplog, logging.WARNING)


def test_nothing_is_printed_unless_asked_for(tmp_path):
    program = f"""
import logging, sys
import numpy as np, msi_lazy as msi
handlers = logging.getLogger("msi_lazy").handlers
assert [type(handler) for handler in handlers] == [logging.NullHandler], handlers
tree = msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8), "u1")), [2])
tree.pyramid.to_zarr({str(tmp_path / "a.zarr")!r})
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
tree.pyramid.to_zarr({str(tmp_path / "b.zarr")!r})
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert [line.partition(" ")[0] for line in ran.stdout.splitlines() if "msi_lazy" in line] == [
        "INFO:msi_lazy.run.write_log:writing",
        "INFO:msi_lazy.run.write_log:wrote",
    ]
