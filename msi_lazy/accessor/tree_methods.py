"""Functions of a tree as methods of its accessor."""

from __future__ import annotations

import re
from functools import update_wrapper
from inspect import Parameter, getdoc, signature
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

__all__ = ["tree_method"]

P = ParamSpec("P")
Result = TypeVar("Result")

_TREE_ENTRY = re.compile(r"^tree\n(?: +.*\n)+", re.MULTILINE)
"""Entry of the tree among the parameters of a docstring."""


def tree_method(
    function: Callable[Concatenate[xr.DataTree, P], Result], name: str
) -> Callable[Concatenate[Any, P], Result]:
    """Turn a function of a tree into a method, with its parameters and documentation, less the tree.

    Parameters
    ----------
    function
        Takes the tree first.
    name
        Name of the method.

    Returns
    -------
    callable
        Function for the body of a class whose instances hold their tree as ``_tree``.
    """

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        return function(self._tree, *args, **kwargs)

    update_wrapper(method, function)
    method.__name__ = method.__qualname__ = name  # a bound method is pickled by its name
    method.__doc__ = _TREE_ENTRY.sub("", getdoc(function) or "", count=1)
    taken = signature(function)
    parameters = list(taken.parameters.values())[1:]
    vars(method)["__signature__"] = taken.replace(
        parameters=[Parameter("self", Parameter.POSITIONAL_ONLY), *parameters]
    )
    return method
