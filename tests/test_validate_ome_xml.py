"""validate: OME-XML of a collection, parsed without expanding anything, and compared with the images."""

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, StorePath

import msi_lazy as msi
from msi_lazy.validation import validate
from tests.support.stored_images import broken

UNITS = {"y": "micrometer", "x": "micrometer"}
PIXELS = '<Image ID="Image:{n}"><Pixels ID="p" DimensionOrder="XYZCT" Type="{dtype}" {sizes}/></Image>'
SIZES = 'SizeX="8" SizeY="6" SizeZ="1" SizeC="2" SizeT="1"'


def document(*images, head=""):
    described = "".join(PIXELS.format(n=n, dtype=dtype, sizes=sizes) for n, (dtype, sizes) in enumerate(images))
    return f'{head}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{described}</OME>'


@pytest.fixture
def collection(tmp_path):
    root = zarr.create_group(LocalStore(tmp_path), attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for name, dtype in (("0", "u2"), ("1", "f4")):
        image = msi.to_spatial_image(np.ones((2, 6, 8), dtype), "cyx", axis_units=UNITS)
        msi.to_multiscale(image, []).pyramid.to_zarr(StorePath(root.store, name))
    (tmp_path / "OME").mkdir()
    return root


def written(root, text):
    path = root.store.root / "OME/METADATA.ome.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


BOMB = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{10 * f"&{before};"}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES = '<!DOCTYPE OME [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
SOUND = (("uint16", SIZES), ("float", SIZES))
FAULTS = [
    (document(*SOUND), ""),
    (document(("uint8", SIZES), SOUND[1]), "ome-xml-sizes"),
    (document(("uint16", SIZES.replace("8", "9")), SOUND[1]), "ome-xml-sizes"),
    (document(("uint16", SIZES.replace('SizeC="2"', "")), SOUND[1]), "ome-xml-sizes"),
    (document(*reversed(SOUND)), "ome-xml-sizes"),
    (document(SOUND[0]), "ome-xml-images"),
    (document(*SOUND, head=f"{BOMB}]>"), "ome-xml"),
    (document(*SOUND, head=FILES), "ome-xml"),
    (document(*SOUND)[:-3], "ome-xml"),
    ("<html/>", "ome-xml"),
    ("", "ome-xml"),
    (b"\xff\x00\x12", "ome-xml"),
    ("<OME>" * 10_000, "ome-xml"),
]


@pytest.mark.parametrize(("text", "rule"), FAULTS)
def test_each_fault_is_found_and_nothing_else(collection, text, rule):
    assert broken(collection) == []
    written(collection, text)
    assert broken(collection) == [rule] * bool(rule)


def test_the_images_are_those_that_the_series_lists_in_its_order(collection):
    written(collection, document(*reversed(SOUND)))
    collection.require_group("OME").attrs.put({"ome": {"version": "0.5", "series": ["1", "0"]}})
    assert broken(collection) == []


def test_a_finding_names_the_image_and_what_differs(collection):
    written(collection, document(SOUND[0], ("float", SIZES.replace("8", "9"))))
    (finding,) = validate(collection).findings
    assert finding.path.startswith("/1/")
    assert "image 1 otherwise than it is stored (x: 9, and 8)" in finding.message
