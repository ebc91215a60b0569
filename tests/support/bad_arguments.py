"""Every argument of every public function, given what it cannot be: a value, the error, and what its message says."""

import itertools
import traceback
from pathlib import Path

import numpy as np
import xarray as xr

import msi_lazy as msi


def is_ours(error):
    """Whether the package itself raised ``error``, and no library that it uses."""
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(msi.__file__).parent in Path(innermost).parents


def make_image(dtype="u1", dims="cyx", **options):
    return msi.to_spatial_image(np.zeros((2, 8, 8)[-len(dims) :], dtype), dims=dims, **options)


def with_coordinate(values):
    return xr.DataArray(np.zeros((4, 4)), dims=("y", "x"), coords={"x": values})


def without_end():
    while True:
        yield 2


def of_dtype(dtype):
    return xr.DataArray(np.zeros((4, 4), dtype), dims=("y", "x"))


IMAGE = make_image(c_coords=["a", "b"])
TREE = msi.to_multiscale(IMAGE, [2])
LABELS = msi.to_multiscale(make_image(dims="yx"), [2], method="mode")
FLOATS = msi.to_multiscale(make_image("f4", "yx"), [2])

NO_TREE = [
    (odd, TypeError, rf"xarray.DataTree.* not {type(odd).__name__}") for odd in (None, 5, "q", IMAGE, xr.Dataset())
]
NO_TREE += [(xr.DataTree(), ValueError, "no node 'scale0'")]
NO_SWITCH = [(odd, TypeError, "must be True or False, not") for odd in (None, 0, "no", [])]
NO_STORE = [(odd, TypeError, "a path, a URL or a zarr store, not") for odd in (None, 5, True, b"x", [], object(), TREE)]
NO_STORE += [
    ("nonsense://a", ValueError, "'nonsense://a' is a URL of an unknown protocol, 'nonsense'"),
    ("/tmp/\0", ValueError, "null character"),
]
NO_IMAGE = [*NO_STORE, ("/nowhere/a.zarr", FileNotFoundError, "no Zarr group at /nowhere/a.zarr; give the path")]
NO_OPTIONS = [(odd, TypeError, "storage_options must be a dict by name") for odd in (5, "q", [1], {1: 2}, True)]
NO_OPTIONS += [({"anon": True}, TypeError, "storage_options are for the file system behind a URL")]
NO_GROUP = [(odd, TypeError, f"must be the path of a group .* not {odd!r}") for odd in (None, 5, b"x")]
NO_GROUP += [(odd, ValueError, "cannot be a path in a store") for odd in ("..", "a/../b", ".", "a\0")]
ABSENT = [("nowhere", FileNotFoundError, "no Zarr group at 'nowhere' in")]
NO_BYTES = [
    (odd, ValueError, f"must be a number of bytes .* not {odd!r}") for odd in (0, -1, "many", "", "-1", "2 parrots")
]
NO_BYTES += [(odd, TypeError, "must be a number of bytes") for odd in (2.5, True, [], np.inf)]
NO_LIMIT = [
    *NO_BYTES,
    (1, msi.MemoryLimitError, "would hold up to .* memory_limit is 1 B; of all settings tried, .* takes least"),
]
NO_MODE = [(odd, ValueError, r"mode must be 'w-' .* or 'w' .* not") for odd in ("r", "a", None, 5, [])]
NO_SHARDS = [(odd, TypeError, "shards must be positive integers, not") for odd in (0, -1, 1.5, True, object())]
NO_SHARDS += [
    ("q", ValueError, "shards must be None, 'auto', an integer, a tuple or a dict, not 'q'"),
    ((1,), ValueError, "1 entries, but the image has"),
    ({"q": 8}, ValueError, "name the dimension 'q'"),
    (itertools.repeat(8), TypeError, "shards must be positive integers"),
]
NO_CODECS = [(odd, ValueError, "cannot be stored") for odd in ("q", 5, object(), {}, [5])]
NO_PORT = [(odd, TypeError, "port must be an integer from 0") for odd in (None, "80", 80.5, True, [])]
NO_PORT += [(odd, ValueError, "port must be from 0, which takes a free one, to 65535") for odd in (-1, 65536)]
NO_FACTORS = [
    (odd, TypeError, "scale_factors must be 'auto' or a sequence such as")
    for odd in (
        None,
        5,
        "q",
        b"\2",
        {2},
        {"y": 2},
        itertools.repeat(2),
        itertools.count(),
        without_end(),
        np.array([2]),
    )
]
NO_FACTORS += [
    ([2.0], TypeError, "dimension 'y' at level 1 must be an integer .* not 2.0 of type float"),
    ([2, True], TypeError, "at level 2 .* not True"),
    ([itertools.repeat(2)], TypeError, "at level 1 must be an integer"),
    ([0], ValueError, "at least 1, not 0"),
    ([2, 8], ValueError, "the factor 8 .* which has the samples {'y': (4|2), 'x': (4|2)}; use"),
    ([{"q": 2}], ValueError, r"name the dimension 'q', but the image has \('c', 'y', 'x'\)"),
    (range(10**12), ValueError, "at least 1, not 0"),
]
NO_CHUNKS = [
    (odd, TypeError, "chunks are given as an integer, a tuple or a dict") for odd in (2.5, True, "q", object())
]
NO_CHUNKS += [(b"abc", TypeError, "chunks are given"), (itertools.repeat(2), TypeError, "chunks are given")]
NO_CHUNKS += [
    (0, ValueError, "dimension 'y' must be at least 1"),
    ((1,), ValueError, "1 entries"),
    ({"q": 1}, ValueError, "name the dimension 'q'"),
    ({"y": "a"}, TypeError, "dimension 'y' has 'a'"),
]
NO_BOUNDARY = [(odd, ValueError, "boundary must be 'trim', 'pad' or 'exact', not") for odd in (None, 5, "wrap", [])]
NO_NODATA = [
    (odd, ValueError, "is not a value of the image's dtype uint8")
    for odd in ("q", object(), [1], 300, -1, 1.5, np.nan, True, np.datetime64("2026-01-01"))
]
NO_METHOD = [(odd, TypeError, "method must be a name, a member of Methods") for odd in (5, 0, True, [], object())]
NO_METHOD += [("meen", ValueError, "did you mean 'mean'"), (lambda array: array, TypeError, r"as f\(array, factors\)")]
NO_LABELS = [(odd, TypeError, "must be a pyramid, as to_multiscale builds it") for odd in (None, 5, "q", IMAGE)]
NO_LABELS += [(FLOATS, TypeError, "have dtype float32; OME-Zarr allows integers only"), NO_TREE[-1]]
NO_NAME = [
    (odd, ValueError, "the name of a label image") for odd in (None, 5, "", "a/b", "..", "__a", "zarr.json", "\0")
]
BY_DIMENSION = [
    (5, TypeError, "must be a dict by dimension, such as .*, not 5"),
    (["x"], TypeError, "must be a dict by dimension"),
    ({"q": 1}, ValueError, "names the dimension 'q', but the image has"),
]
TEXTS = [*BY_DIMENSION, ({"x": 5}, TypeError, "must be strings; dimension 'x' has 5")]
NO_NUMBERS = [*BY_DIMENSION]
NO_NUMBERS += [({"x": odd}, TypeError, "of dimension 'x' must be a number, not") for odd in ("1", None, True, 1j)]
NO_NUMBERS += [({"x": odd}, ValueError, "of dimension 'x' must be finite") for odd in (np.nan, np.inf, 10**400)]
NO_COORDINATES = [(odd, TypeError, "must be a sequence of") for odd in (5, "ab", {1, 2}, itertools.repeat(2))]
NO_COORDINATES += [
    ([1, 2, 3], ValueError, "3 entries for 2 samples"),
    ([[1], [2]], ValueError, "must be a flat sequence"),
]
BY_NAME = [(odd, TypeError, f"must be a dict by name, .* not {odd!r}") for odd in (5, "q", 1.5)]
NO_DTYPE = [
    (odd, TypeError, "has dtype .*, and the samples of an image are numbers; convert")
    for odd in (np.array([["a"]]), np.array([[object()]]), np.zeros((2, 2), "M8[s]"), np.zeros((2, 2), "m8[s]"))
]

STORING = {
    "shards": NO_SHARDS,
    "compressors": NO_CODECS,
    "compute": NO_SWITCH,
    "progress": NO_SWITCH,
    "storage_options": NO_OPTIONS,
    "memory_limit": NO_LIMIT,
    "mode": NO_MODE,
    "durable": NO_SWITCH,
}
RESUMING = {
    "spill": [
        *((odd, TypeError, "spill must be a directory, False or None, not") for odd in (5, True, b"/tmp", [])),
        *(
            (odd, ValueError, "no directory of this machine; give")
            for odd in ("", "/nowhere/q", "s3://a", "/tmp\0", __file__)
        ),
    ],
    "resume": NO_SWITCH,
    "source_id": [(odd, TypeError, f"a string that names the source, not {odd!r}") for odd in (5, b"x", True)],
    "replace": [(odd, ValueError, "replace must be 'beside' .* or 'in place'") for odd in ("q", None, True, [])],
}
BUILDING = {
    "scale_factors": NO_FACTORS,
    "chunks": NO_CHUNKS,
    "boundary": NO_BOUNDARY,
    "nodata": NO_NODATA,
    "block_bytes": [*NO_BYTES, (None, TypeError, "block_bytes must be a number of bytes")],
}
TO_ZARR = {
    **STORING,
    **RESUMING,
    "store": [*NO_STORE, ("memory://a.zip", ValueError, "cannot be written: a zip file is packed beside")],
    "version": [(odd, ValueError, "version must be one of '0.4', '0.5', '0.6', not") for odd in ("0.7", 0.5, None, [])],
    "group": [*NO_GROUP, *((odd, ValueError, "choose another name") for odd in ("__a", "zarr.json", "a/.zattrs"))],
    "coordinate_system": [
        (3, TypeError, "coordinate_system must be a name, not 3"),
        ("", ValueError, "coordinate_system must be a name that is not empty"),
        ("world", ValueError, "with version='0.6'"),
    ],
    "paths": [
        (odd, ValueError, "paths must be 'scale0' .*, '0' .* or 's0' .*, not") for odd in (None, 0, "1", "scale", [])
    ],
    "encoding": [
        *((odd, TypeError, "encoding has the form") for odd in (5, "q", [], {"/scale0": 5}, {"/scale0": {"image": 5}})),
        ({"/scale9": {}}, ValueError, "names the node '/scale9'; the scales are '/scale0' to '/scale1'"),
        ({"/scale0": {"q": {}}}, ValueError, "names the variable 'q'; the image is called 'image'"),
        ({"/scale0": {"image": {"q": 1}}}, ValueError, "has the setting 'q'; only those that"),
    ],
    "colors": [
        *((odd, TypeError, "colors are a sequence, one for each channel, or a dict") for odd in (5, "FF0000", True)),
        (["FF0000"], ValueError, "colors has 1 entries, and the image 2 channels"),
        ({"q": "FF0000"}, ValueError, "name the channel 'q'; the image has 'a', 'b'"),
        (["FF0000", "red"], ValueError, "channel 'b' needs six hex digits such as '00FF00', not 'red'"),
    ],
    "windows": [
        *((odd, TypeError, "windows are a sequence, one for each channel") for odd in (5, True, object())),
        ("q", ValueError, "windows must be 'auto', a sequence of pairs or a dict, not 'q'"),
        ({"q": (0, 1)}, ValueError, "name the channel 'q'"),
        *(({"a": odd}, ValueError, "'a' needs two numbers") for odd in ((1, 0), (0, np.nan), 5, itertools.repeat(2))),
    ],
    "delete_labels": NO_SWITCH,
    "retries": [
        *((odd, TypeError, "tried again, an integer, not") for odd in (None, 1.5, "q", True)),
        (-1, ValueError, "tried again, 0 or more, not -1"),
    ],
    "labels": [
        *((odd, TypeError, "labels are a dict of pyramids by name") for odd in (5, "q", [LABELS])),
        *(({"cells": odd}, error, words) for odd, error, words in NO_LABELS),
        *(({odd: LABELS}, error, words) for odd, error, words in NO_NAME),
    ],
}
TABLE = {
    "to_spatial_image": {
        "array": [
            *NO_DTYPE,
            *((odd, TypeError, "has dtype object") for odd in (None, object(), {}, {1})),
            ("a.tif", TypeError, r"was given 'a.tif': it names a file: open that first, e.g. "),
            (Path("a.tif"), TypeError, r"was given PosixPath\('a.tif'\): it names a file"),
            (TREE, TypeError, r"it is a pyramid already; its finest level is tree\['scale0'\]"),
            (np.array(3), ValueError, "the array has no dimensions"),
            (np.ma.masked_less(np.arange(4).reshape(2, 2), 2), ValueError, "samples are masked.*fill them"),
            (IMAGE, TypeError, "was given a DataArray: pass it to to_multiscale"),
            ([[1], [2, 3]], ValueError, "the given list cannot be converted to an array"),
            (np.zeros((2, 0)), ValueError, r"the array of shape \(2, 0\) is empty"),
        ],
        "dims": [
            *((odd, TypeError, "dims must be a sequence of names") for odd in (5, set("tcyx"), itertools.repeat("x"))),
            *((("t", "c", "y", odd), ValueError, "dims must be names") for odd in (5, None, "", "a/b", ["x"])),
            *((odd, ValueError, "dims must be 4 different names") for odd in ("tcyy", ("y", "x"))),
        ],
        "scale": [*NO_NUMBERS, *(({"x": odd}, ValueError, f"positive, not {odd}") for odd in (0, -1, 0.0))],
        "translation": NO_NUMBERS,
        "name": [
            *((odd, TypeError, "name must be a string, not") for odd in (5, b"x", ["a"])),
            *((odd, ValueError, "name must be one that no dimension has") for odd in ("", "a/b", "x", "\0")),
        ],
        "axis_names": TEXTS,
        "axis_units": TEXTS,
        "t_coords": [*NO_COORDINATES, (["a", "b"], TypeError, "t_coords must be numbers or dates, not")],
        "c_coords": [*NO_COORDINATES, ([None, "a"], TypeError, "c_coords must be names or numbers, not")],
    },
    "to_multiscale": {
        **BUILDING,
        "image": [
            *((odd, TypeError, "must be an xarray.DataArray, not .*; wrap") for odd in (None, 5, np.zeros(3))),
            (TREE, TypeError, "not DataTree; it is a pyramid already"),
            ("a.tif", TypeError, "not str; it names a file: open that first"),
            (xr.Dataset({"a": IMAGE}), TypeError, r"not Dataset; take one of its variables: dataset\['a'\]"),
            (xr.DataArray(np.zeros((4, 4)), dims=(0, "x")), TypeError, r"image.rename\(\{0: 'y'\}\)"),
            *(
                (of_dtype(odd), TypeError, "not defined for images of dtype .*; convert")
                for odd in ("S1", "U1", "O", "M8[s]", "m8[s]", "D", "g", "i4,f4")
            ),
            (with_coordinate([0, 1, 5, 6]), ValueError, "'x' is not evenly spaced.*resample the image, or drop"),
            (with_coordinate([3, 2, 1, 0]), ValueError, "'x' descends from 3 to 0; reverse the image"),
            (with_coordinate([2, 2, 2, 2]), ValueError, "'x' is not evenly spaced"),
            (with_coordinate([0, 1, np.nan, 3]), ValueError, "'x' holds NaN or infinity"),
            (with_coordinate([-1.7e308, 0, 1, 1.7e308]), ValueError, "'x' is not evenly spaced"),
            *(
                (with_coordinate(np.arange(4).astype(odd)), ValueError, "must be numeric")
                for odd in ("U1", "O", "M8[s]", "m8[s]", "D")
            ),
            (xr.DataArray(np.zeros((0, 4)), dims=("y", "x")), ValueError, "dimension 'y' of the image has length 0"),
            (xr.DataArray(3), ValueError, "has no dimensions"),
            (xr.DataArray(np.zeros((4, 4)), dims=("y", "x"), name="a\0"), ValueError, "null character"),
        ],
        "method": [*NO_METHOD, (None, TypeError, "method must be a name")],
    },
    "to_zarr": {**TO_ZARR, "tree": NO_TREE},
    "pyramid.to_zarr": TO_ZARR,
    "write_labels": {
        **STORING,
        **RESUMING,
        "store": NO_IMAGE,
        "group": [*NO_GROUP, *ABSENT],
        "name": NO_NAME,
        "labels": NO_LABELS,
        "colors": [
            *((odd, TypeError, "colors of labels are a dict such as") for odd in (5, "q", ["FF0000"])),
            ({"a": "FF0000"}, TypeError, "by label, an integer, not 'a'"),
            *(({1: odd}, ValueError, "label 1 needs three or four integers") for odd in ("red", 5, (0, 0, 256), None)),
        ],
        "properties": [
            *((odd, TypeError, "properties of labels are a dict") for odd in (5, "q", [5], [{}], {1: 5})),
            ({"a": {}}, TypeError, "by label, an integer, not 'a'"),
            ([{"label-value": 1}] * 2, ValueError, "name the label 1 twice"),
            ({1: {"a": object()}}, ValueError, r"properties\[1\]\['a'\] is of type object, which JSON cannot hold"),
        ],
    },
    "add_levels": {
        **BUILDING,
        **STORING,
        "store": NO_IMAGE,
        "group": [*NO_GROUP, *ABSENT],
        "method": [*NO_METHOD, ("max", ValueError, "were computed by 'mean', and not by 'max'")],
    },
    "pack": {
        "store": NO_IMAGE,
        "archive": [
            *NO_STORE,
            *((odd, ValueError, "path of a .ozx or .zip file") for odd in ("a", {}, "memory://a.zip")),
        ],
        "mode": NO_MODE,
    },
    "open_multiscale": {
        "store": [*NO_IMAGE, ({}, FileNotFoundError, "no Zarr group at {}")],
        "storage_options": NO_OPTIONS,
        "group": [*NO_GROUP, *ABSENT, ("scale0/image", ValueError, "is a Zarr array, not the group .*; wrap it")],
    },
    "write_plate": {
        **{
            name: rows
            for name, rows in TO_ZARR.items()
            if name not in ("tree", "labels", "encoding", "coordinate_system")
        },
        "fields": [
            *((odd, TypeError, "fields are a dict of pyramids") for odd in (None, 5, "q", [TREE])),
            *(({odd: TREE}, TypeError, "the key of a field is its row") for odd in (5, "A", ("A", 1), ("A", 1, 0.5))),
            ({}, ValueError, "fields has no fields"),
            ({("A", 1, 0): 5}, TypeError, r"the field \('A', 1, 0\) must be a pyramid"),
            ({("A", 1, 0): TREE, "A/1/0": TREE}, ValueError, "two fields are called A/1/0"),
            *(({odd: TREE}, ValueError, "letters .* and digits only") for odd in (("A-", 1, 0), ("A", "", 0))),
            ({("A", 1, "a b"): TREE}, ValueError, "'a b' does not"),
        ],
        "name": [(odd, TypeError, "name must be the name of the plate") for odd in (5, ["a"])],
        **{
            name: [
                *((odd, TypeError, f"{name} must be a sequence of names") for odd in ("AB", 0.5, {})),
                *((odd, ValueError, f"{name} must be at least 1") for odd in (0, -3)),
                ([0.5], TypeError, f"{name} must be names"),
                (["A", "A"], ValueError, f"{name} names 'A' twice"),
                (["A!"], ValueError, f"names of {name} have letters"),
                (["B"], ValueError, f"{name} lacks"),
            ]
            for name in ("rows", "columns")
        },
        "acquisitions": [
            *((odd, TypeError, "acquisitions are names by id") for odd in (5, "q", ["a"])),
            *(({odd: "a"}, ValueError, "the id of an acquisition is") for odd in (-1, "a", True)),
            ({0: 5}, TypeError, r"acquisitions\[0\] must be a name or a dict"),
            ({0: "a", 1: "b"}, ValueError, "which of them took A/1/0 is not known"),
        ],
        "acquisition_of": [
            *((odd, TypeError, "acquisition_of is a dict") for odd in (5, "q", [0])),
            ({7: 0}, ValueError, "has 7, and there is no such field"),
            ({0: -1}, ValueError, "the id of an acquisition is"),
        ],
    },
    "open_plate": {
        "store": [*NO_IMAGE, ({}, FileNotFoundError, "no Zarr group at {}")],
        "storage_options": NO_OPTIONS,
        "group": [*NO_GROUP, *ABSENT, ("A/1", ValueError, "is no plate; it is a well")],
    },
    "validate": {
        "store": NO_IMAGE,
        "storage_options": NO_OPTIONS,
        "decode": [(odd, ValueError, "one of 'sample', 'all', 'none', not") for odd in (None, 5, "q", [], True)],
        "group": [
            *NO_GROUP,
            *ABSENT,
            ("scale0/image", ValueError, "is a Zarr array, not the group .*; give the group"),
        ],
    },
    "upgrade": {
        "store": NO_IMAGE,
        "target": [*NO_STORE[1:], (None, ValueError, "give a target for the copy, or in_place=True")],
        "to": [(odd, ValueError, "to must be one of '0.5', '0.6', not") for odd in ("0.4", "0.7", 0.5, None, [])],
        "in_place": [*NO_SWITCH, (True, ValueError, "changes the store itself, and takes no target")],
        "group": [*NO_GROUP, *ABSENT, ("scale0/image", ValueError, "is a Zarr array, not the group .*; give")],
        "storage_options": NO_OPTIONS,
        "durable": NO_SWITCH,
    },
    "view": {
        "store": NO_IMAGE,
        "storage_options": NO_OPTIONS,
        "group": [*NO_GROUP, *ABSENT],
        "port": NO_PORT,
        "open_browser": NO_SWITCH,
    },
    "napari_layer": {"tree": NO_TREE},
    "pyramid.view": {"port": NO_PORT, "open_browser": NO_SWITCH},
    "explain": {"tree": NO_TREE, "measure": NO_SWITCH},
    "pyramid.explain": {"measure": NO_SWITCH},
    "from_pyimagej": {
        "image": [
            *((odd, TypeError, "must be an xarray.DataArray, as ij.py.from_java returns") for odd in (None, 5, TREE)),
            (xr.DataArray(np.zeros((2, 2)), dims=("row", "y")), ValueError, "both 'row' and 'y'; rename or drop"),
        ]
    },
    "itk_image_to_multiscale": {"anatomical_axes": NO_SWITCH},
    "skip_non_dimension_nodes": {
        "function": [(odd, TypeError, f"decorates a function .* was given {odd!r}") for odd in (None, 5, "q")]
    },
}
TABLE["pyramid.write_labels"] = TABLE["write_labels"]
