"""Ledgers of any content: the image is incomplete in any case, nothing is resumed by them, and mode="w" goes on."""

import json

import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.storage.ledger import LEDGER_ARRAY, LedgerDocument
from msi_lazy.storage.place import Place
from msi_lazy.storage.unfinished import stored_ledger
from tests.support.damage import samples, write

RUN = "0" * 32
SOUND = {
    "state": "storing",
    "run": RUN,
    "nested": ["a/b"],
    "fingerprint": {"shape": [1]},
    "format": LedgerDocument().format,
}
ODD = [None, [], {}, 5, "x", True, [None], {"a": []}, 10**30]
CONTENTS = {
    "empty": b"",
    "binary": b"\0\xff",
    "null": b"null",
    "list": b"[]",
    "number": b"5",
    "deep list": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "half": b'{"zarr_format":3,"node_type":"arr',
    "no shape": b'{"zarr_format":3,"node_type":"array"}',
    "a group": b'{"zarr_format":3,"node_type":"group","attributes":{}}',
}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_ledger_of_any_content_is_one_of_an_incomplete_image(tmp_path, content):
    store = write(tmp_path / "a.zarr")
    ledger = store / LEDGER_ARRAY / "zarr.json"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(CONTENTS[content])
    (store / "zarr.json").unlink()
    assert stored_ledger(Place.parse(store)) == LedgerDocument()
    with pytest.raises(msi.UnfinishedImageError):
        msi.open_multiscale(store)
    tree = msi.to_multiscale(msi.to_spatial_image(samples()), [2, 2], chunks=16)
    with pytest.raises(msi.ResumeError):
        tree.pyramid.to_zarr(store, resume=True)
    tree.pyramid.to_zarr(store, mode="w")
    assert msi.verify(store).ok


@pytest.mark.parametrize("field", SOUND)
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_fields_of_any_type_break_a_ledger_or_are_what_they_must_be(field, value):
    documents = {}
    attributes = {**SOUND, field: value}
    zarr.create_array(MemoryStore(documents), shape=(1,), dtype="u1", attributes=attributes)
    found = LedgerDocument.from_attributes(json.loads(documents["zarr.json"].to_bytes())["attributes"])
    assert found.run in ("", RUN)
    assert found.state in (("", "storing", "clearing") if found.run else ("",))
    assert not found.run or (
        isinstance(found.fingerprint, dict) and all(isinstance(path, str) for path in found.nested)
    )


@pytest.mark.parametrize("path", ["..", "../x", "/etc", "a/../../b", "a//b", "", "a\\..\\b", "a\0b", "a/"])
def test_paths_that_leave_the_image_break_a_ledger(path):
    assert LedgerDocument.from_attributes({**SOUND, "nested": ["a", path]}) == LedgerDocument()
    assert LedgerDocument.from_attributes(SOUND).nested == ("a/b",)
