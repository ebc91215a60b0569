"""An update that was interrupted leaves a note, which opening, validating and verifying the image tell of."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.maintain import update as updating
from msi_lazy.storage.place import Place
from msi_lazy.storage.update_notes import UPDATE_NOTES, unfinished_regions
from tests.support.damage import samples, write
from tests.support.failing_writes import FailingStore
from tests.support.killing import contents

REGION = {"y": slice(5, 20), "x": slice(40, 60)}
WORDS = (
    r"levels may disagree with level 0 in \{'y': slice\(5, 20\), 'x': slice\(40, 60\)\}, as an update was interrupted"
)


@pytest.fixture
def image(tmp_path):
    write(tmp_path / "a.zarr")
    zarr.open_array(tmp_path / "a.zarr/scale0/image")[5:20, 40:60] = 9
    return tmp_path / "a.zarr"


class Interrupted(Exception):
    pass


def interrupt(monkeypatch, store, region, after=0, **options):
    """Update until some blocks have been replaced."""
    done = []

    def replace_window(*arguments):
        if len(done) >= after:
            raise Interrupted
        done.append(original(*arguments))
        return done[-1]

    original = updating.replace_window
    monkeypatch.setattr(updating, "replace_window", replace_window)
    with pytest.raises(Interrupted):
        msi.update(store, region, **options)
    monkeypatch.setattr(updating, "replace_window", original)


def noted(store, group=""):
    return unfinished_regions(Place.parse(store, group))


@pytest.mark.parametrize("after", [0, 1])
def test_an_interrupted_update_is_told_of_until_it_has_been_run_again(after, image, monkeypatch):
    interrupt(monkeypatch, image, REGION, after)
    with pytest.warns(UserWarning, match=WORDS):
        msi.open_multiscale(image)
    report = msi.verify(image)
    assert [note[:60] for note in report.notes] == ["its levels may disagree with level 0 in {'y': slice(5, 20), "]
    assert "msi_lazy.update(store, {'y': slice(5, 20), 'x': slice(40, 60)})" in report.notes[0]
    assert "may disagree with level 0" in str(report)
    validated = msi.validate(image)
    assert validated.ok
    assert [finding.rule for finding in validated.warnings] == ["axes-unit", "update-finished"]
    msi.update(image, REGION)
    assert msi.verify(image).notes == ()
    assert [finding.rule for finding in msi.validate(image).findings] == ["axes-unit"]
    msi.open_multiscale(image)
    edited = samples()
    edited[5:20, 40:60] = 9
    write(image.parent / "b.zarr", edited)
    assert contents(image) == contents(image.parent / "b.zarr")


def test_no_note_is_left_of_an_update_that_finished_and_none_stored_before_it_runs(image):
    before = set(contents(image))
    delayed = msi.update(image, REGION, compute=False)
    assert set(contents(image)) == before
    delayed.compute()
    assert set(contents(image)) == before
    delayed.compute()
    assert set(contents(image)) == before


@pytest.mark.parametrize(
    ("region", "left"),
    [
        ({"y": slice(5, 20), "x": slice(40, 61)}, 0),
        ({"x": slice(40, 60)}, 0),
        ({}, 0),
        ({"y": slice(6, 20), "x": slice(40, 60)}, 1),
        ({"y": slice(30, 60)}, 1),
    ],
)
def test_an_update_of_a_region_around_it_clears_a_note_and_no_other(region, left, image, monkeypatch):
    interrupt(monkeypatch, image, REGION)
    msi.update(image, region)
    assert len(noted(image)) == left


def test_two_interrupted_updates_are_both_told_of(image, monkeypatch):
    for region in (REGION, {"y": slice(60, 70), "x": 3}):
        interrupt(monkeypatch, image, region)
    with pytest.warns(UserWarning, match=r"20\), 'x': slice\(40, 60\)\}, \{'y': slice\(60, 70\), 'x': slice\(3, 4\)\}"):
        msi.open_multiscale(image)
    for number in range(20):
        interrupt(monkeypatch, image, {"y": number})
    assert "and 19 more regions" in msi.verify(image).notes[0]
    msi.update(image, {})
    assert noted(image) == []


def test_one_that_runs_keeps_its_note_while_another_begins_and_ends(image, monkeypatch):
    original, seen = updating.replace_window, []

    def replace_window(*arguments):
        monkeypatch.setattr(updating, "replace_window", original)
        msi.update(image, {"y": slice(50, 60)})
        seen.append(noted(image))
        return original(*arguments)

    monkeypatch.setattr(updating, "replace_window", replace_window)
    msi.update(image, REGION)
    assert [[tuple(map(tuple, region)) for region in notes] for notes in seen] == [[((5, 20), (40, 60))]]
    assert noted(image) == []


def test_where_the_note_cannot_be_stored_nothing_else_is():
    store = FailingStore(MemoryStore())
    write(store)
    store.state.update(left=0, set=[])
    with pytest.raises(OSError, match="no space"):
        msi.update(store, REGION)
    assert store.state["set"] == []
    store.state["left"] = 10**9
    msi.update(store, REGION)
    assert store.state["set"][0] == UPDATE_NOTES


def test_a_repair_of_all_levels_clears_the_notes(image, monkeypatch):
    write(image, mode="w")  # of which level 0 is as it was written
    interrupt(monkeypatch, image, REGION)
    assert msi.verify(image, repair=True, sample=0.5).notes
    report = msi.verify(image, repair=True)
    assert report.ok
    assert not report.notes
    assert noted(image) == []


def test_labels_have_their_own(image, monkeypatch):
    labels = msi.to_spatial_image((samples() % 5).astype("u4"))
    msi.write_labels(image, "cells", msi.to_multiscale(labels, [2, 2], method="mode", chunks=16))
    interrupt(monkeypatch, image, REGION, group="labels/cells")
    msi.update(image, REGION)
    with pytest.warns(UserWarning, match=r"msi_lazy\.update\(store, \{.*\}, group='labels/cells'\)"):
        msi.open_multiscale(image, group="labels/cells")
    assert "group='labels/cells'" in msi.verify(image).notes[0]
    found = {finding.rule: finding for finding in msi.validate(image).findings}
    assert found["update-finished"].path == "/labels/cells"
    assert "group='labels/cells'" in found["update-finished"].message
    msi.update(image, REGION, group="labels/cells")
    assert not msi.verify(image).notes


def test_a_new_image_in_its_place_has_no_note(image, monkeypatch):
    interrupt(monkeypatch, image, REGION)
    write(image, mode="w")
    assert not (image / UPDATE_NOTES).exists()
    msi.open_multiscale(image)


ODD = [b"", b"null", b"[]", b"{}", b'{"updates": 5}', b'{"updates": [{"run": 1, "region": []}]}', b"[" * 10**5, b"\xff"]
ODD += [b'{"updates": [{"run": "a", "region": [["\\u001b[31m", 2], [1, 2]]}]}', b" " * 2**21]
ODD += [b'{"updates": [{"run": "a", "region": [[1, 2]]}]}']


@pytest.mark.parametrize("content", ODD, ids=range(len(ODD)))
def test_a_note_that_cannot_be_read_stands_for_the_whole_image(content, image):
    (image / UPDATE_NOTES).write_bytes(content)
    with pytest.warns(UserWarning, match=r"may disagree with level 0 somewhere, .* msi_lazy\.update\(store, \{\}\)"):
        msi.open_multiscale(image)
    msi.update(image, REGION)
    assert len(noted(image)) == 1
    msi.update(image, {})
    assert noted(image) == []


def test_what_is_no_file_is_not_waited_for(image):
    (image / UPDATE_NOTES).mkdir()
    with pytest.warns(UserWarning, match="somewhere"):
        msi.open_multiscale(image)


class Forbidding(FailingStore):
    """A store that lets nobody ask for the note."""

    async def get(self, key, *args, **kwargs):
        if key.endswith(UPDATE_NOTES):
            raise PermissionError("403")
        return await super().get(key, *args, **kwargs)


def test_a_store_that_does_not_tell_opens_without_a_warning():
    store = Forbidding(MemoryStore())
    write(store)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert msi.open_multiscale(store)["scale0"].image.shape == (70, 90)
    assert msi.verify(store).notes == ()


def test_a_killed_update_leaves_its_note(image):
    script = f"""
import os, msi_lazy as msi
from msi_lazy.maintain import update
original = update.replace_window
def replace_window(*arguments):
    original(*arguments)
    os._exit(9)
update.replace_window = replace_window
msi.update({str(image)!r}, {{"y": slice(5, 20), "x": slice(40, 60)}})
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], check=False)
    assert ended.returncode == 9
    assert json.loads((image / UPDATE_NOTES).read_bytes())["updates"][0]["region"] == [[5, 20], [40, 60]]
    shown = CliRunner().invoke(main, ["validate", str(image)])
    assert shown.exit_code == 0
    assert "update-finished" in shown.output
    msi.update(image, REGION)
    assert msi.verify(image).ok
    assert noted(image) == []
