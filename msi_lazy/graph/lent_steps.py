"""Steps of a fused task that compute and store in arrays lent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.graph.block_tasks import gather_block, merge_block, pick_level, read_block
from msi_lazy.graph.marks import store_marked
from msi_lazy.graph.stored_blocks import read_back_block, read_spilled
from msi_lazy.methods.kernel import LibraryKernel

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["may_lend", "takes_lent"]

_COMPUTING = (read_block, merge_block, gather_block, read_back_block, read_spilled)

Call = tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]


def takes_lent(function: Any) -> bool:
    """Tell whether a step takes ``lend``."""
    return function in _COMPUTING or function is store_marked


def may_lend(calls: Sequence[Call], outputs: Sequence[int]) -> bool:
    """Tell whether steps may compute in lent arrays: all are the library's, and only a carry is returned, a copy.

    A function of the user's, as of an edited tree, may keep what it is given, or return a view of it.
    """
    found = [dict(kwargs)["recipe"] for function, _, kwargs in calls if function in _COMPUTING]
    if len(found) != 1 or not isinstance(found[0].method.kernel, LibraryKernel):
        return False
    stage = found[0].stage
    carry = None if stage.carry is None else len(stage.written)
    return all(map(_is_ours, calls)) and all(
        calls[number][0] is pick_level and dict(calls[number][2])["position"] == carry for number in outputs
    )


def _is_ours(call: Call) -> bool:
    function, _, kwargs = call
    if function is store_marked:
        return bool(dict(kwargs)["lends"])
    return function in _COMPUTING or function is pick_level
