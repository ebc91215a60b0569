"""Fingerprints of methods by their code: a write is resumed only with the same method."""

from __future__ import annotations

import pickle
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from msi_lazy.methods.table import is_of_library

if TYPE_CHECKING:
    from msi_lazy.methods.row import Method

__all__ = ["identify_method"]

_DEEPEST = 20
"""Depth to which functions in functions are searched."""


def identify_method(method: Method) -> dict[str, str]:
    """Identify a method by its fields, functions by their code; one of the library by its name.

    Examples
    --------
    >>> from msi_lazy.methods import resolve_method
    >>> identify_method(resolve_method("max"))
    {'name': 'max'}
    """
    if is_of_library(method):
        return {"name": method.name}
    return {field.name: _describe(getattr(method, field.name)) for field in fields(method)}


def _describe(value: Any) -> str:
    """Convert a plain value to a string, and a function to the hash of its code."""
    if value is None or isinstance(value, (str, int, float)):
        return str(value)
    return sha256(repr(_code(value, 0)).encode()).hexdigest()[:16]


def _code(value: Any, depth: int) -> Any:
    """Reduce a callable, and all that it uses, to code and data in plain values, the same in every process."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, CodeType):
        constants = [_code(constant, depth + 1) for constant in value.co_consts]
        return (value.co_code, constants, value.co_names, value.co_varnames)
    if isinstance(value, FunctionType):
        cells = [_code(cell.cell_contents, depth + 1) for cell in value.__closure__ or ()]
        given = (value.__defaults__, value.__kwdefaults__)
        used = [name for name in value.__code__.co_names if isinstance(value.__globals__.get(name), FunctionType)]
        called = [_code(value.__globals__[name], depth + 1) for name in used if value.__globals__[name] is not value]
        return (_code(value.__code__, depth + 1), cells, _code(given, depth + 1), called)
    if isinstance(value, MethodType):
        return (_code(value.__func__, depth + 1), _code(value.__self__, depth + 1))
    if isinstance(value, partial):
        return ("partial", *(_code(part, depth + 1) for part in (value.func, value.args, value.keywords)))
    if isinstance(value, (tuple, list, set, frozenset)):
        parts = [_code(part, depth + 1) for part in value]
        return sorted(parts, key=repr) if isinstance(value, (set, frozenset)) else parts
    if isinstance(value, dict):
        return [(_code(key, depth + 1), _code(part, depth + 1)) for key, part in value.items()]
    if hasattr(value, "py_func"):  # compiled by numba
        return ("compiled", _code(value.py_func, depth + 1))
    if is_dataclass(value) and not isinstance(value, type):
        parts = [_code(getattr(value, field.name), depth + 1) for field in fields(value)]
        return (type(value).__qualname__, _code(vars(type(value)).get("__call__"), depth + 1), parts)
    call = next((vars(kind)["__call__"] for kind in type(value).__mro__ if "__call__" in vars(kind)), None)
    if isinstance(call, FunctionType) and not isinstance(value, type):
        return (type(value).__qualname__, _code(call, depth + 1), _code(vars(value), depth + 1))
    return _data(value)


def _data(value: Any) -> Any:
    """Return a plain value as it is, any other pickled."""
    if value is None or isinstance(value, (str, bytes, int, float, complex)):
        return value
    try:
        return pickle.dumps(value, protocol=4)
    except Exception:  # whatever a class may raise
        return f"{type(value).__module__}.{type(value).__qualname__}"
