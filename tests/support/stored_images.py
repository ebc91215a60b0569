"""Stored images that have everything the validation knows of, to be spoilt."""

from contextlib import contextmanager
from copy import deepcopy
from functools import cache

import numpy as np
import zarr
from zarr.storage import MemoryStore, StorePath

import msi_lazy as msi
from msi_lazy.validation import validate

VERSIONS = ("0.5", "0.4")
"""Versions whose images have the same members; those of 0.6 have coordinate systems."""
SYSTEM_RULES = {
    *("systems-listed", "systems-unique", "systems-connected", "system-known", "transformation-ends"),
    *("transformation-kind", "transformation-parameters", "transformation-array", "transformations-listed"),
}
"""Rules of coordinate systems, which 0.6 alone has."""
PLATE_RULES = {
    *("plate-lists", "plate-names", "plate-acquisitions", "plate-described", "plate-field-count", "well-path"),
    *("well-indices", "well-place", "well-unique", "well-field-path", "well-acquisition"),
}
UNITS = {"z": "micrometer", "y": "micrometer", "x": "micrometer"}
LABEL, LEVEL = "labels/cells", "scale1/image"


def pyramid(shape, dims, method):
    pixels = np.random.default_rng(0).integers(1, 200, shape).astype("u2")
    image = msi.to_spatial_image(
        pixels, dims=dims, scale={"z": 2, "y": 0.65, "x": 0.65}, translation={"x": 1e4}, axis_units=UNITS
    )
    return msi.to_multiscale(image, [{"y": 2, "x": 2}, 3], method=method, chunks=8)


def levels_of(store):
    """Samples of each level of a stored image."""
    group = zarr.open_group(store, mode="r")
    return [group[f"{name}/image"][:] for name in sorted(group.group_keys())]


def block(store, path=""):
    """OME-Zarr metadata of a group."""
    attributes = zarr.open_group(store, path=path or None, mode="r").attrs.asdict()
    return attributes.get("ome", attributes)


@contextmanager
def edited(root, path=""):
    """The OME-Zarr metadata of a node, to be changed."""
    attributes = root[path].attrs if path else root.attrs
    contents = deepcopy(attributes.asdict())
    yield contents.get("ome", contents)
    attributes.put(contents)


@cache
def sound_contents(version):
    """Contents of a store with an image that has everything: channels, their rendering, labels."""
    contents = {}
    store = MemoryStore(contents)
    pyramid((2, 5, 33, 24), "czyx", "mean").pyramid.to_zarr(store, version=version)
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    with edited(root) as ome:
        window = {"min": 0, "start": 10, "end": 900, "max": 65535}
        ome["omero"] = {"channels": [{"color": color, "window": window} for color in ("00FF00", "ff00ff")]}
    nested = {"labels": ["cells"]}
    root.create_group("labels").attrs.put(nested if version == "0.4" else {"ome": {"version": version, **nested}})
    labels = pyramid((5, 33, 24), "zyx", "mode")
    labels.pyramid.to_zarr(StorePath(store, LABEL), version=version)
    with edited(root, LABEL) as ome:
        ome["image-label"] = {
            **({} if version == "0.6" else {"version": version}),
            "colors": [{"label-value": 1, "rgba": [255, 0, 0, 128]}, {"label-value": 2}],
            "properties": [{"label-value": 1, "class": "nucleus"}],
            "source": {"image": "../../"},
        }
    return contents


def sound_image(version):
    """A copy of that image."""
    return zarr.open_group(MemoryStore(dict(sound_contents(version))), mode="r+", use_consolidated=False)


def small_image(zarr_format=3, nested=True, version="0.5", **axes_and_more):
    """A group with an image of one level, in any version and form."""
    root = zarr.create_group(MemoryStore(), zarr_format=zarr_format)
    root.create_array("0", shape=(4, 4), dtype="u1")
    scale = [{"type": "scale", "scale": [1, 1]}]
    axes = [{"name": name, "type": "space", "unit": "meter"} for name in "yx"]
    image = {"name": "a", "type": "mean", "metadata": {}, "axes": axes}
    image |= {"datasets": [{"path": "0", "coordinateTransformations": scale}], **axes_and_more}
    stated = {} if version is None else {"version": version}
    root.attrs.put({"ome": {**stated, "multiscales": [image]}} if nested else {"multiscales": [image | stated]})
    return root


def broken(group, decode="none"):
    """Names of the rules that are broken."""
    return sorted({finding.rule for finding in validate(group, decode=decode).findings})


def multiscale(ome):
    return ome["multiscales"][0]


def transformations(ome, level=1):
    return multiscale(ome)["datasets"][level]["coordinateTransformations"]
