"""As :mod:`tests.support.bad_arguments`: methods of a user's own, edits of a tree, and the upkeep of what is stored."""

import numpy as np

import msi_lazy as msi
from tests.support.bad_arguments import ABSENT, BY_NAME, NO_GROUP, NO_IMAGE, NO_METHOD, NO_OPTIONS, NO_SWITCH, TREE


def row(name):
    return msi.Method(name, np.copy)


NO_TEXT = [(odd, TypeError, "must be a string, not") for odd in (5, b"x", ("a",))]
NO_BOOL = [(odd, TypeError, f"must be True or False, not {odd!r}") for odd in (None, 5, "no")]
NO_FUNCTION = [(odd, TypeError, "must be a function, not") for odd in (None, 5, "q")]
POSITIONS = [(odd, ValueError, "position .* must be one of 'centre', 'corner', not") for odd in (None, 5, "q", [])]
EDGES = [(odd, ValueError, "edge .* must be one of 'replicate', 'reflect', not") for odd in (None, 5, "wrap", [])]
EMPTY = [("", ValueError, "name must not be empty")]
UPKEEP = {
    "store": NO_IMAGE,
    "method": NO_METHOD,
    "progress": NO_SWITCH,
    "storage_options": NO_OPTIONS,
    "group": [*NO_GROUP, *ABSENT],
}

NO_SPACING = [(odd, TypeError, "spacing must be a number, or a dict") for odd in (None, "q", True, [1], {"x": "q"})]
NO_SPACING += [
    (odd, ValueError, "spacing must be positive and finite") for odd in (0, -1.0, float("nan"), float("inf"))
]
NO_SPACING += [({"c": 1}, ValueError, r"'c', which is no spatial dimension"), ({}, ValueError, "names no dimension")]
TABLE = {
    "verify": {
        **UPKEEP,
        "sample": [
            *((odd, TypeError, "sample") for odd in (None, "q", True, [])),
            *((odd, ValueError, "sample") for odd in (0, -1, 1.5, np.nan, np.inf)),
        ],
        "repair": NO_SWITCH,
        "labels": NO_SWITCH,
        "seed": [(odd, TypeError, "seed") for odd in (None, 1.5, "q", True)],
    },
    "update": {
        **UPKEEP,
        "compute": NO_SWITCH,
        "region": [
            *((odd, TypeError, "region is a dict {dim: slice or integer}, or one") for odd in (None, 5, "q", {1})),
            *(({"x": odd}, TypeError, "per dimension; dimension 'x' has") for odd in ("q", 1.5, None, [1])),
            ({"q": 1}, ValueError, r"names the dimension 'q', but the image has \('c', 'y', 'x'\)"),
            ((1,), ValueError, "1 entries, but the image has the dimensions"),
            ({"x": slice(0, 4, 2)}, ValueError, "step"),
            ({"x": slice(4, 4)}, ValueError, "is empty"),
            ({"x": 99}, IndexError, "99"),
        ],
    },
    "register_method": {
        "method": [
            *((odd, TypeError, "takes a Method, for example of") for odd in (None, 5, "mean", np.copy)),
            (row("Upper"), ValueError, "must be in lower case and not one of msi's, not 'Upper'"),
            (row("mean"), ValueError, "another method called 'mean'; give yours a name of its own"),
            (row("itk_bin_shrink"), ValueError, "not one of msi's, not 'itk_bin_shrink'"),
        ],
        "replace": NO_SWITCH,
    },
    "Method.from_function": {
        "function": [
            *((odd, TypeError, "must be a function .* not") for odd in (None, 5, "q", object())),
            *((odd, TypeError, r"cannot be called as f\(array, factors\)") for odd in (lambda array: array, len)),
        ],
        "name": [*NO_TEXT, *EMPTY],
        "radius": [(odd, TypeError, "radius must be a function of the factor, such as") for odd in (None, 5, "q")],
        "keeps_values": NO_BOOL,
        "position": POSITIONS,
        "edge": EDGES,
    },
    "Method": {
        "name": [*NO_TEXT, *EMPTY],
        "kernel": NO_FUNCTION,
        "radius": NO_FUNCTION,
        "description": NO_TEXT,
        "kinds": NO_TEXT,
        "keeps_values": NO_BOOL,
        "chains": NO_BOOL,
        "labels": NO_BOOL,
        "takes_nodata": NO_BOOL,
        "position": POSITIONS,
        "edge": EDGES,
        "float16_through": [
            (odd, ValueError, "must be one of 'float16', 'float32', 'float64'") for odd in (None, "u1")
        ],
    },
    "pyramid.level_for": {"spacing": NO_SPACING},
    "pyramid.sel": {
        "spacing": [one for one in NO_SPACING if one[0] is not None],
        "indexers": [
            *((odd, TypeError, "indexers must be a dict by dimension") for odd in (5, "x", [1])),
            ({"q": 1}, ValueError, r"no dimension 'q'; it has \('c', 'y', 'x'\)"),
            ({"x": 1e9}, ValueError, "is outside of the image: the image reaches from -0.5 to .* along 'x' on scale0"),
            ({"x": slice(3, 2)}, ValueError, "ends before it begins"),
            ({"x": slice(0, 2, 2)}, ValueError, "has a step"),
            *(({"x": odd}, TypeError, "x is space: give a position or a slice") for odd in ("q", None, [1], True)),
            ({"x": slice(float("inf"), None)}, ValueError, "x must be finite"),
        ],
        "indexers_by_name": [({"q": 1}, ValueError, "no dimension 'q'"), ({"c": "q"}, KeyError, "no 'q' along 'c'")],
    },
    "pyramid.thumbnail": {
        "max_size": [
            *(
                (odd, TypeError, "max_size is a number of pixels, an integer, not")
                for odd in (None, 2.5, "q", True, [])
            ),
            *((odd, ValueError, "max_size is a number of pixels, at least 1, not") for odd in (0, -1)),
        ]
    },
    "pyramid.plot": {
        "axes": [
            *((odd, TypeError, "axes are matplotlib's Axes, .* one for each level, not") for odd in (5, "q", {}, [5])),
            ([], ValueError, "2 levels are drawn, each in Axes of its own, and 0 are given; give 2, or choose with"),
        ],
        "levels": [
            *(
                (odd, TypeError, "levels is a sequence of names or numbers")
                for odd in (5, "scale0", {0}, [None], [True])
            ),
            *(([odd], ValueError, f"'scale0' to 'scale1'; there is no level {odd!r}") for odd in ("q", 2, -1)),
            ([], ValueError, "none is given: leave it out for all of them"),
        ],
    },
    "pyramid.transpose": {
        "dims": [
            (("q", "y", "x"), ValueError, r"no dimension 'q'; it has \('c', 'y', 'x'\)"),
            ((5,), ValueError, "no dimension 5"),
            ((["y", "x"],), TypeError, "one by one, as in"),
            (("c", "c", "y", "x"), ValueError, "names a dimension twice"),
            (("y", "x"), ValueError, r"leaves out \['c'\]; name every dimension, or put"),
        ]
    },
    "pyramid.reindex_data_arrays": {
        "indexers": [
            *BY_NAME,
            ({"q": [1]}, ValueError, "no dimension 'q'"),
            *(({"c": odd}, ValueError, "the labels along 'c' must be a sequence") for odd in (5, "a", None)),
            ({"c": [["a"]]}, ValueError, "cannot be the coordinate 'c'"),
            ({"x": [0.0]}, ValueError, "different coordinates along 'x'"),
        ],
        "indexers_kwargs": [({"q": [1]}, ValueError, "no dimension 'q'")],
        "method": [
            *((odd, ValueError, "method must be None or one of 'nearest', 'pad'") for odd in (5, "q", [])),
            ("nearest", ValueError, "'c' cannot be found with method='nearest', tolerance=None"),
        ],
        "tolerance": [(odd, ValueError, "needs a method, such as 'nearest'") for odd in (5, "q", [1])],
        "copy": NO_SWITCH,
        "fill_value": [
            *((odd, TypeError, "fill_value must be a number, or a dict") for odd in ("q", [1], {"image": "q"})),
            ({"q": 1}, ValueError, r"names the variable 'q'; the pyramid has \['image'\]"),
        ],
    },
    "pyramid.assign_coords": {
        "coords": [
            *BY_NAME,
            *(({odd: ("c", [1, 2])}, ValueError, f"a name that is a string.* not {odd!r}") for odd in (5, "", "a/b")),
            *(
                ({"c": odd}, ValueError, "'c' must be a sequence along it")
                for odd in (5, None, object(), ("x", [1, 2]))
            ),
            ({"c": ["a"]}, ValueError, "'c' with sizes {'c': 1} fits no level; the levels have"),
            ({"c": (1, 2, 3, 4, 5, 6)}, ValueError, "cannot be the coordinate 'c'"),
            ({"image": 5}, ValueError, "'image' is a variable of the pyramid; give the coordinate another name"),
            ({"x": lambda level: -level.x}, ValueError, "'x' descends"),
        ],
        "coords_kwargs": [({"q": [1, 2, 3]}, ValueError, "'q' with sizes {'q': 3} fits no level")],
    },
}
SOUND = {
    "Method": {"name": "peak", "kernel": np.copy},
    "Method.from_function": {"function": lambda array, factors: array},
    "pyramid.reindex_data_arrays": {"indexers": {"c": ["b"]}},
    "register_method": {"method": row("own")},
    "pyramid.level_for": {"spacing": 1},
}
PYRAMID = TREE.pyramid
