"""The ledger's document: its format, the version of the fingerprint, and who can resume by it."""

import json
from importlib.metadata import version

import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.storage.ledger import BLOCKS, LEASE, LEDGER, LEDGER_ARRAY, LEDGER_FORMAT, LedgerDocument
from msi_lazy.write.fingerprint import FINGERPRINT_VERSION
from tests.support.failing_writes import PICTURE, failed_write, halved, snapshot


def tree():
    return halved(PICTURE)[0]


def document(store):
    """Attributes of the ledger in a store."""
    return zarr.open_array(store, path=LEDGER_ARRAY, mode="r").attrs.asdict()


def kept(store):
    """The ledger in a store, as stored."""
    return {key: value for key, value in snapshot(store).items() if key.startswith(LEDGER)}


def change_ledger(store, change):
    """Have ``change`` edit the attributes of the ledger."""
    array = zarr.open_array(store, path=LEDGER_ARRAY)
    attributes = array.attrs.asdict()
    change(attributes)
    array.attrs.put(attributes)


def as_of_0_1_0(attributes):
    """The document as release 0.1.0 wrote it: no format, and the package's version for the fingerprint's own."""
    del attributes["format"], attributes["fingerprint"]["fingerprint_version"]
    attributes["fingerprint"] = {"msi_lazy": "0.1.0", **attributes["fingerprint"]}


def test_a_document_is_parsed_as_it_was_written():
    written = LedgerDocument("clearing", "0" * 32, ("labels", "labels/cells"), {"images": {}})
    assert LedgerDocument.from_attributes(json.loads(json.dumps(written.to_attributes()))) == written


def test_a_ledger_has_a_format_and_a_fingerprint_that_no_bug_fix_release_changes():
    stored = document(failed_write(tree(), 250))
    assert stored["format"] == LEDGER_FORMAT
    assert stored["fingerprint"]["fingerprint_version"] == FINGERPRINT_VERSION
    assert version("msi-lazy") not in {str(value) for value in stored["fingerprint"].values()}


def test_a_write_that_release_0_1_0_began_is_resumed():
    store = failed_write(tree(), 250, source_id="same")
    change_ledger(store, as_of_0_1_0)
    marked = {key for key in kept(store) if "/c/" in key}
    store.state["set"].clear()
    resumed, source = halved(PICTURE)
    resumed.pyramid.to_zarr(store, resume=True, source_id="same")
    whole = MemoryStore()
    tree().pyramid.to_zarr(whole, source_id="same")
    assert snapshot(store) == snapshot(whole)
    assert len(marked) > 5
    assert not marked & set(store.state["set"])
    assert len(source.windows) < 25 - 3


def test_what_differs_of_a_write_of_release_0_1_0_is_named():
    store = failed_write(tree(), 250, source_id="same")
    change_ledger(store, as_of_0_1_0)
    with pytest.raises(msi.ResumeError, match=r"layout differs: images\.source\.source_id was") as caught:
        tree().pyramid.to_zarr(store, resume=True, source_id="other")
    assert "msi_lazy was" not in str(caught.value)


@pytest.mark.parametrize("number", [2, 99, "next", None])
def test_a_ledger_of_a_later_format_is_neither_resumed_nor_touched(number):
    store = failed_write(tree(), 250)

    def later(attributes):
        attributes |= {"format": number, "run": {"id": "of another shape"}}

    change_ledger(store, later)
    before = kept(store)
    with pytest.raises(msi.ResumeError, match=rf"has format {number!r}.*knows format {LEDGER_FORMAT};.*mode='w'"):
        tree().pyramid.to_zarr(store, resume=True)
    with pytest.raises(msi.UnfinishedImageError, match="holds an incomplete image"):
        msi.open_multiscale(store)
    with pytest.raises(msi.StoreExistsError, match="holds an incomplete image"):
        tree().pyramid.to_zarr(store)
    assert kept(store) == before
    tree().pyramid.to_zarr(store, mode="w")
    whole = MemoryStore()
    tree().pyramid.to_zarr(whole)
    assert snapshot(store) == snapshot(whole)


def test_a_release_that_stores_other_samples_does_not_resume():
    store = failed_write(tree(), 250)

    def other_release(attributes):
        attributes["fingerprint"]["fingerprint_version"] = FINGERPRINT_VERSION + 1

    change_ledger(store, other_release)
    with pytest.raises(msi.ResumeError, match=r"fingerprint_version was 2 and is 1.*a release of msi_lazy began it"):
        tree().pyramid.to_zarr(store, resume=True)


def test_what_a_kill_left_half_written_goes_when_the_resumed_write_is_whole(tmp_path):
    store = tmp_path / "a.zarr"
    tree().pyramid.to_zarr(store, compute=False)
    partial = store / "scale0/image" / f"c.{'0' * 32}.partial"
    users = store / "scale0/notes.partial"
    for path in (partial, users):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    resumed = tree().pyramid.to_zarr(store, resume=True, compute=False)
    assert partial.exists()  # another process might still be writing it
    resumed.compute()
    assert not partial.exists()
    assert users.exists()


def test_a_write_that_starts_over_keeps_no_marks_of_the_one_before(tmp_path):
    store = tmp_path / "a.zarr"
    for mode in ("w-", "w"):
        tree().pyramid.to_zarr(store, mode=mode, compute=False)
    beside = tmp_path / f".a.zarr{LEDGER}"
    run = zarr.open_array(beside / BLOCKS, mode="r").attrs["run"]
    assert {path.name for path in beside.iterdir()} == {BLOCKS, LEASE, run, f"{run}-image"}
    assert {path.name for path in (store / LEDGER).iterdir()} == {BLOCKS, LEASE}
