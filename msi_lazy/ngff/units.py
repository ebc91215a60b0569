"""Units of axes: what users write, and the UDUNITS names that OME-Zarr asks for."""

from __future__ import annotations

__all__ = ["ngff_unit"]

_LENGTHS = (
    "angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch kilometer "
    "megameter meter micrometer mile millimeter nanometer parsec petameter picometer terameter yard "
    "yoctometer yottameter zeptometer zettameter"
)
_TIMES = (
    "attosecond centisecond day decisecond exasecond femtosecond gigasecond hectosecond hour kilosecond "
    "megasecond microsecond millisecond minute nanosecond petasecond picosecond second terasecond "
    "yoctosecond yottasecond zeptosecond zettasecond"
)
_NAMES = frozenset(f"{_LENGTHS} {_TIMES}".split())
_ALIASES = {
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "micron": "micrometer",
    "nm": "nanometer",
    "pm": "picometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "km": "kilometer",
    "å": "angstrom",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "us": "microsecond",
    "µs": "microsecond",
    "μs": "microsecond",
    "ns": "nanosecond",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
}


def ngff_unit(unit: str | None) -> str | None:
    """UDUNITS name of a unit, ``None`` if there is none.

    Raises
    ------
    ValueError
        The unit is not one that OME-Zarr lists, nor a known spelling of one.

    Examples
    --------
    >>> ngff_unit("µm"), ngff_unit("Micrometers"), ngff_unit(""), ngff_unit("s")
    ('micrometer', 'micrometer', None, 'second')
    """
    if not unit:
        return None
    word = unit.strip()
    if word in _ALIASES:
        return _ALIASES[word]
    word = word.lower().replace("metre", "meter")
    for candidate in (word, word.removesuffix("s")):
        name = _ALIASES.get(candidate, candidate)
        if name in _NAMES:
            return name
    raise ValueError(
        f"unit {unit!r} is not one that OME-Zarr lists; use a UDUNITS name such as 'micrometer', 'nanometer', "
        f"'second', or no unit"
    )
