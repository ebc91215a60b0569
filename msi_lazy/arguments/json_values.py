"""Values of attributes as JSON can hold them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import isfinite, isnan
from typing import Any
from uuid import UUID

import numpy as np

__all__ = ["Omissions", "to_json"]

_DEEPEST = 64
"""Most levels of nesting; a document that nests deeper cannot be read by some readers."""
_LONGEST = 4096
"""Most bits of an integer, as Python refuses to print longer ones."""
_LEFT_OUT = object()


@dataclass
class Omissions:
    """Names and types of what was left out."""

    found: dict[str, str] = field(default_factory=dict)
    """Type by name, such as ``attrs['affine']['fit']``."""

    def add(self, name: str, value: Any) -> None:
        """Note that ``value`` was left out."""
        kind = type(value)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        self.found.setdefault(name, f"{module}{kind.__qualname__}")


def to_json(attributes: Mapping[Any, Any], name: str, omissions: Omissions) -> dict[str, Any]:
    """Convert attributes to JSON values: the same for any reader, and for any order of a set.

    NumPy's numbers and arrays become numbers and lists, dates and durations ISO strings, enums their value, tuples and
    sets lists, paths and UTF-8 bytes strings, complex numbers pairs.  NaN and infinities, for which JSON has no number,
    become the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as in the metadata of Zarr.

    Parameters
    ----------
    attributes
        The attributes, which are not changed.
    name
        Name for messages, such as ``attrs``.
    omissions
        Gets what can be none of these.  In a list it is ``None``, so that others keep their places.

    Examples
    --------
    >>> lost = Omissions()
    >>> to_json({"gain": np.float32(2), "fit": {"matrix": np.eye(2), "by": object()}}, "attrs", lost)
    {'gain': 2.0, 'fit': {'matrix': [[1.0, 0.0], [0.0, 1.0]]}}
    >>> lost.found
    {"attrs['fit']['by']": 'object'}
    """
    return _mapping(attributes, name, omissions, ())


def _value(value: Any, name: str, omissions: Omissions, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    leaf = str(value) if isinstance(value, str) and not isinstance(value, Enum) else _leaf(value)
    if isinstance(leaf, str) and leaf != leaf.encode(errors="ignore").decode():
        omissions.add(name, value)  # a lone surrogate, which no text encoding has
        return _LEFT_OUT
    if leaf is not _LEFT_OUT:
        return leaf
    if len(above) < _DEEPEST and id(value) not in above:  # else it holds itself
        above = (*above, id(value))
        if isinstance(value, Enum):
            return _value(value.value, name, omissions, above)
        if isinstance(value, np.ndarray):
            value = value.tolist() if value.dtype.kind not in "mM" else list(value) if value.ndim else value[()]
            return _value(value, name, omissions, above)
        if isinstance(value, Mapping):
            return _mapping(value, name, omissions, above)
        if isinstance(value, (Sequence, Set)) and not isinstance(value, (bytes, bytearray, memoryview)):
            return _items(value, name, omissions, above)
    omissions.add(name, value)
    return _LEFT_OUT


def _leaf(value: Any) -> Any:
    """Convert a value that holds no others."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value) if isinstance(value, np.datetime64) else _duration(value)
    if isinstance(value, np.generic):
        plain = value.item()
        return _LEFT_OUT if isinstance(plain, np.generic) else plain if isinstance(plain, (bool, str)) else _leaf(plain)
    if isinstance(value, Enum):
        return _LEFT_OUT
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LONGEST else _LEFT_OUT
    if isinstance(value, (float, Decimal, Fraction)):
        return _number(float(value))
    if isinstance(value, complex):
        return [_number(value.real), _number(value.imag)]
    if isinstance(value, timedelta):
        return _duration(np.timedelta64(value))
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return _LEFT_OUT
    return value if isinstance(value, str) else str(value) if isinstance(value, UUID) else _LEFT_OUT


def _number(value: float) -> float | str:
    return value if isfinite(value) else "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _duration(value: np.timedelta64) -> str:
    if np.isnat(value) or np.datetime_data(value.dtype)[0] in ("Y", "M", "generic"):  # not of one length in seconds
        return str(value)
    seconds = float(value / np.timedelta64(1, "s"))
    return f"{'-' * (seconds < 0)}PT{np.format_float_positional(abs(seconds), trim='-')}S"


def _mapping(value: Mapping[Any, Any], name: str, omissions: Omissions, above: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        inside = f"{name}[{key!r}]"
        word = _key(key)
        if word is None or word in found:
            omissions.add(inside, item if word is not None else key)
            continue
        converted = _value(item, inside, omissions, above)
        if converted is not _LEFT_OUT:
            found[word] = converted
    return found


def _key(key: Any) -> str | None:
    """Convert the key of a mapping; ``None`` for one that is no word, number or date."""
    if isinstance(key, Enum):
        key = key.value
    plain = key if key is None or isinstance(key, (bool, str)) else _leaf(key)
    if plain is _LEFT_OUT or isinstance(plain, list):
        return None
    return str(plain) if isinstance(plain, str) else json.dumps(plain)


def _items(value: Sequence[Any] | Set[Any], name: str, omissions: Omissions, above: tuple[int, ...]) -> list[Any]:
    items = [_value(item, f"{name}[{number}]", omissions, above) for number, item in enumerate(value)]
    items = [None if item is _LEFT_OUT else item for item in items]
    if isinstance(value, Set):  # its order differs from process to process
        items.sort(key=json.dumps)
    return items
