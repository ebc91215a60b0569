"""Switches, and words to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from msi_lazy.plan.windows import Boundary

__all__ = ["check_source_id", "check_switches", "parse_boundary"]


def check_source_id(source_id: Any) -> None:
    """Refuse a name of a source that is no string; ``None`` stands for none."""
    if not isinstance(source_id, (str, type(None))):
        raise TypeError(f"source_id is a string that names the source, not {source_id!r}")


def check_switches(**switches: Any) -> None:
    """Refuse arguments, given by name, that are neither ``True`` nor ``False``.

    Raises
    ------
    TypeError
        Names the argument: ``"no"`` would count as true.
    """
    for argument, value in switches.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{argument} must be True or False, not {value!r}")


def parse_boundary(boundary: Any) -> Boundary:
    """Check ``boundary``."""
    if boundary in ("trim", "pad", "exact"):
        checked: Boundary = boundary
        return checked
    raise ValueError(f"boundary must be 'trim', 'pad' or 'exact', not {boundary!r}")
