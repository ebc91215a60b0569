"""Plans of images that are not there."""

import numpy as np

from msi_lazy.axes import Axis
from msi_lazy.methods import resolve_method
from msi_lazy.plan.pyramid import plan_pyramid
from msi_lazy.show.explanation import ExplainedPlan


def make_plan(shape, dims="zyx", factors=((2, 2, 2),) * 4, chunks=64, source_chunk=128, block_bytes=64 * 2**20):
    axes = tuple(Axis(dim, "space", n, 0.5, 0.0, "micrometer") for dim, n in zip(dims, shape, strict=True))
    plan = plan_pyramid(
        name="image",
        axes=axes,
        dtype=np.dtype("u2"),
        factors=factors,
        method=resolve_method("mean"),
        chunks=(chunks,) * len(dims),
        boundary="trim",
        block_bytes=block_bytes,
        source_chunks=tuple((source_chunk,) * (n // source_chunk) for n in shape),
        by_window=True,
    )
    return ExplainedPlan.of(plan)
