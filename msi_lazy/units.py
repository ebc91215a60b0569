"""Units of axes: usual spellings, the UDUNITS names that OME-Zarr asks for, and their sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from unicodedata import normalize

__all__ = ["UNITS", "Unit", "find_unit", "ngff_unit", "same_unit"]


@dataclass(frozen=True)
class Unit:
    """One unit of length, time or angle."""

    name: str
    """UDUNITS name."""
    kind: str
    """Type of the axes that have it: ``space`` or ``time``."""
    base: str
    """Unit that ``size`` is given in: ``m``, ``s``, or ``deg``."""
    size: Fraction
    """Size, exact so that a ratio of two is."""
    listed: bool = True
    """Whether the specification lists it."""


_PREFIXES = {
    "yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2, "deca": 1,
    "": 0, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15, "atto": -18,
    "zepto": -21, "yocto": -24,
}  # fmt: skip
"""Powers of ten."""
_PREFIX_SYMBOLS = {
    "kilo": "k", "": "", "deci": "d", "centi": "c", "milli": "m", "micro": "u", "nano": "n", "pico": "p", "femto": "f",
}  # fmt: skip
"""Symbols of prefixes that are in use for images: Mm is a slip for mm more often than a megameter."""
_OTHERS = {
    "angstrom": ("1e-10", "m", "Å"), "foot": ("0.3048", "m", "ft"), "inch": ("0.0254", "m", "in"),
    "mile": ("1609.34", "m", "mi"), "parsec": ("3.0856775814913673e16", "m", "pc"), "yard": ("0.9144", "m", "yd"),
    "minute": ("60", "s", "min"), "hour": ("3600", "s", "h"), "day": ("86400", "s", "d"), "degree": ("1", "deg", "°"),
}  # fmt: skip
"""Size, base and symbol of units without prefix, in Neuroglancer's numbers (datasource/zarr/ome.ts)."""
_KINDS = {"m": "space", "s": "time", "deg": "space"}
_WORDS = {"micron": "micrometer", "sec": "second", "hr": "hour", "feet": "foot", "inches": "inch"}
"""Other words, in lower case."""
_DEGREES = re.compile("deg(ree)?s?(_?(north|south|east|west|[nsew]))?")
"""Degrees, also in the CF conventions' spellings for latitudes and longitudes."""


def _build_units() -> tuple[dict[str, Unit], dict[str, str]]:
    """Units by name, and their names by symbol."""
    units, symbols = {}, {}
    for prefix, power in _PREFIXES.items():
        for word, base in (("meter", "m"), ("second", "s")):
            name = prefix + word
            units[name] = Unit(name, _KINDS[base], base, Fraction(f"1e{power}"), listed=prefix != "deca")
            if prefix in _PREFIX_SYMBOLS:
                symbols[_PREFIX_SYMBOLS[prefix] + base] = name
    for name, (size, base, symbol) in _OTHERS.items():
        units[name] = Unit(name, _KINDS[base], base, Fraction(size), listed=base != "deg")
        symbols[symbol] = name
    return units, symbols


UNITS, _SYMBOLS = _build_units()


def find_unit(unit: str | None, kind: str | None) -> Unit | None:
    """Find the unit that a spelling means along an axis of type ``kind``; ``None`` if it is not known there.

    Along an axis without a type, any unit is.  A date after ``since``, as in the CF conventions, is left out.
    """
    exact = normalize("NFKC", unit or "").strip().partition(" since ")[0]
    word = exact.lower().replace("metre", "meter")
    symbol = exact.replace("μ", "u")
    for name in (
        _SYMBOLS.get(symbol),  # the case of a symbol counts: mm is not Mm
        word,
        word.removesuffix("s"),
        _WORDS.get(word),
        _WORDS.get(word.removesuffix("s")),
        "degree" if _DEGREES.fullmatch(word) else None,
    ):
        found = UNITS.get(name or "")
        if found is not None and kind in (found.kind, None):
            return found
    return None


def ngff_unit(unit: str | None, kind: str | None) -> str | None:
    """UDUNITS name of the unit of an axis of type ``kind``; ``None`` without a unit, or with one that is not known.

    Examples
    --------
    >>> ngff_unit("µm", "space"), ngff_unit("Micrometers", "space"), ngff_unit("s", "time"), ngff_unit("pixel", "space")
    ('micrometer', 'micrometer', 'second', None)
    >>> ngff_unit("degrees_north", "space")  # not listed by OME-Zarr, which only says that units should be
    'degree'
    """
    found = find_unit(unit, kind)
    return None if found is None else found.name


def same_unit(stated: str | None, own: str | None, kind: str | None) -> bool:
    """Tell whether the unit that OME-Zarr states is what it would state of another one, which it may not know.

    Examples
    --------
    >>> same_unit("micrometer", "um", "space"), same_unit(None, "pixel", "space"), same_unit(None, "um", "space")
    (True, True, False)
    """
    return (ngff_unit(stated, kind) or stated) == (ngff_unit(own, kind) or (own if stated else None))
