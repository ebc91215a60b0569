"""Views with a step of array-likes: what lies between the samples that are wanted is neither read nor held."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.source.stored_chunks import WholeChunks
from msi_lazy.source.tensors import TensorReader
from tests.support.counting import CountingArray
from tests.support.optional import require

ARRAY = np.arange(40 * 30, dtype="u2").reshape(40, 30)
CHUNKS = ((7,) * 5 + (5,), (11, 19))


@st.composite
def keys(draw, shape=ARRAY.shape):
    ends = [st.none() | st.integers(-n, n) for n in shape]
    steps = st.sampled_from([1, 2, 3, 8, 17, -1, -2, -8, -17])
    return tuple(slice(draw(end), draw(end), draw(steps)) for end in ends)


@given(keys())
def test_any_slices_of_whole_chunks(key):
    np.testing.assert_array_equal(WholeChunks(ARRAY, CHUNKS)[key], ARRAY[key])


@given(keys((37, 28)))
def test_any_slices_of_tensors(key):
    tensor = require("tensorstore").array(ARRAY)[3:, 2:]  # which keeps its positions
    np.testing.assert_array_equal(TensorReader(tensor)[key], ARRAY[3:, 2:][key])


@pytest.mark.parametrize("step", [50, -50])
def test_chunks_between_are_not_read(step):
    counting = CountingArray(np.random.default_rng(0).integers(0, 255, (400, 1, 32, 32), "u1"))
    image = da.from_array(counting, (1, 1, 32, 32), meta=np.empty((0,) * 4, "u1"))[::step]
    tree = msi.to_multiscale(msi.to_spatial_image(image, "tcyx"), [2], chunks=(8, 1, 32, 32))
    tree.pyramid.to_zarr(target := MemoryStore())
    assert counting.samples == image.size
    np.testing.assert_array_equal(msi.open_multiscale(target)["scale0/image"], counting.array[::step])


def test_samples_between_are_not_held():
    found = TensorReader(require("tensorstore").array(ARRAY))[::10, ::-9]
    assert found.base is None or found.base.nbytes <= found.nbytes


@pytest.mark.parametrize(
    ("stated", "understood"),
    [
        (np.array([16, 16]), (16, 16)),
        (((16, 48), (64,)), (48, 64)),
        ([16, 64], (16, 64)),
        *(
            (unusable, None)
            for unusable in ("auto", (0, 16), (None, 16), (-1, 16), (16,), 5, ((), (64,)), (16.0, 16.0))
        ),
    ],
)
def test_chunks_that_an_array_like_states_count_if_they_are_chunks(stated, understood):
    class Stating:
        shape, dtype, ndim, chunks = (64, 64), np.dtype("u2"), 2, stated

        def __getitem__(self, key):
            return np.zeros([side.stop - side.start for side in key], "u2")

    tree = msi.to_multiscale(msi.to_spatial_image(Stating(), dims="yx"), [2])
    reading = msi.explain(tree).reading
    assert (reading.chunk_shape, reading.is_known) == (understood, understood is not None)
    assert not tree["scale1"].image.values.any()
