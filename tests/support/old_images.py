"""Stored images in the forms of OME-Zarr 0.1, 0.2 and 0.3, as bioformats2raw and others wrote them."""

import numpy as np
import zarr
from zarr.storage import MemoryStore

OLD_VERSIONS = ("0.1", "0.2", "0.3")
SHAPE = (2, 3, 5, 24, 20)
COLORS = ("FF0000", "00FF00", "0000FF")


def samples(ndim=5, dtype="u2"):
    return np.random.default_rng(0).integers(1, 200, SHAPE).astype(dtype)[(0,) * (5 - ndim)]


def write_old_levels(group, version, data, stated=True, separator=None, **members):
    """Write an image of two levels, the second by the method ``nearest``, and its attributes."""
    separator = separator or ("." if version == "0.1" else "/")
    settings = {"chunk_key_encoding": {"name": "v2", "separator": separator}}
    for number, level in enumerate((data, data[..., ::2, ::2])):
        group.create_array(str(number), data=level, chunks=tuple(min(n, 8) for n in level.shape), **settings)
    image = {"name": "img", "datasets": [{"path": "0"}, {"path": "1"}], "type": "nearest", "metadata": {"by": "hand"}}
    image |= {"version": version} if stated else {}
    image |= {"axes": list("tczyx"[-data.ndim :])} if version == "0.3" else {}
    group.attrs.put({"multiscales": [image], **members})


def old_image(version, ndim=5, store=None, **options):
    """A group with an image, its channels if it has some, labels, and an attribute of the user's."""
    root = zarr.create_group(MemoryStore() if store is None else store, zarr_format=2)
    window = {"min": 0, "max": 65535, "start": 0, "end": 900}
    channels = [{"label": f"c{n}", "color": color, "window": window, "active": True} for n, color in enumerate(COLORS)]
    omero = {"omero": {"channels": channels, "rdefs": {"model": "color"}}} if ndim > 3 else {}
    write_old_levels(root, version, samples(ndim), by="me", **omero, **options)
    labels = root.create_group("labels", attributes={"labels": ["cells"]})
    about = {
        "version": version,
        "colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}],
        "source": {"image": "../../"},
    }
    ours = {"image-label": about, **options}
    write_old_levels(labels.create_group("cells"), version, samples(ndim, "u4") % 7, **ours)
    return root
