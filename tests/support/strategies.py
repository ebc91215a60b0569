"""Hypothesis strategies: arrays, factors that fit them, chunks and block sizes; and JSON that is spoilt."""

from __future__ import annotations

import itertools
from copy import deepcopy
from math import prod

import numpy as np
from hypothesis import strategies as st

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
FLOATS = ("f2", "f4", "f8")


def draw_array(draw, dtype, shape):
    """Samples over the whole range of ``dtype``; floats with some NaN and infinities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        array = (rng.standard_normal(shape) * 100).astype(dtype)
        odd = rng.random(shape)
        array[odd < 0.1] = np.nan
        array[odd > 0.97] = np.inf
        return array
    info = np.iinfo(dtype)
    narrow = draw(st.booleans())
    low, high = (0, 3) if narrow else (int(info.min), int(info.max))
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)


@st.composite
def windows(draw, dtypes):
    """An array, the factors of a step, and how many windows there are along each axis."""
    dtype = draw(st.sampled_from(dtypes))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(draw(st.integers(1, 4))))
    factors = tuple(draw(st.integers(1, min(4, n))) for n in shape)
    pad = draw(st.booleans())
    out_shape = tuple(-(-n // f) if pad else n // f for n, f in zip(shape, factors, strict=True))
    return draw_array(draw, dtype, shape), factors, out_shape


@st.composite
def pyramids(draw, max_dims=3, max_levels=3, max_extent=40):
    """Shape, and factors of each level that fit it (trim)."""
    ndim = draw(st.integers(1, max_dims))
    shape = tuple(draw(st.integers(1, max_extent)) for _ in range(ndim))
    factors, extents = [], list(shape)
    for _ in range(draw(st.integers(0, max_levels))):
        step = tuple(draw(st.integers(1, min(5, extent))) for extent in extents)
        extents = [extent // factor for extent, factor in zip(extents, step, strict=True)]
        factors.append(step)
    return shape, tuple(factors)


@st.composite
def chunkings(draw, shape):
    """Any split of a shape into chunks."""
    chunks = []
    for n in shape:
        borders = draw(st.sets(st.integers(1, n - 1), max_size=4)) if n > 1 else set()
        cuts = [0, *sorted(borders), n]
        chunks.append(tuple(b - a for a, b in itertools.pairwise(cuts)))
    return tuple(chunks)


def block_sizes(shape, itemsize):
    """Limits from a few samples to the whole image."""
    return st.integers(1, prod(shape) * itemsize + 1)


ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "..",
    "\ud800\0",
    "a" * 300,
    [],
    [[]],
    [1],
    {},
]


def spots(tree):
    """Every place in a JSON value, as the container and the key in it."""
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from spots(value)


def mutate(draw, tree, odd=ODD):
    """Replace by something ``odd``, remove or repeat something, somewhere."""
    if not tree:
        return
    container, key = draw(st.sampled_from(list(spots(tree))))
    action = draw(st.sampled_from(["replace", "remove", "move"]))
    if action == "replace":
        container[key] = deepcopy(draw(st.sampled_from(odd)))
    elif action == "remove":
        del container[key]
    else:
        other, name = draw(st.sampled_from(list(spots(tree))))
        container[key] = deepcopy(other[name])
