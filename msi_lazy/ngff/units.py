"""Units of axes: usual spellings, and the UDUNITS names that OME-Zarr asks for."""

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
_NAMES = {"space": frozenset(_LENGTHS.split()), "time": frozenset(_TIMES.split())}
_ALIASES = {
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "nm": "nanometer",
    "pm": "picometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "km": "kilometer",
    "Å": "angstrom",
    "s": "second",
    "ms": "millisecond",
    "us": "microsecond",
    "µs": "microsecond",
    "μs": "microsecond",
    "ns": "nanosecond",
    "min": "minute",
    "h": "hour",
}
"""Abbreviations, which keep their case."""
_WORDS = {"micron": "micrometer", "sec": "second", "hr": "hour"}
"""Other words, in lower case."""


def ngff_unit(unit: str | None, kind: str | None) -> str | None:
    """UDUNITS name of the unit of a ``space`` or ``time`` axis, ``None`` without a unit.

    Raises
    ------
    ValueError
        The unit is none that OME-Zarr lists for this kind of axis, nor a known spelling of one.

    Examples
    --------
    >>> ngff_unit("µm", "space"), ngff_unit("Micrometers", "space"), ngff_unit("", "space"), ngff_unit("s", "time")
    ('micrometer', 'micrometer', None, 'second')
    """
    if not unit:
        return None
    names = _NAMES.get(str(kind), frozenset())
    exact = unit.strip()
    word = exact.lower().replace("metre", "meter")
    # the case of an abbreviation counts: mm is not Mm
    for candidate in (
        _ALIASES.get(exact),
        word,
        word.removesuffix("s"),
        _WORDS.get(word),
        _WORDS.get(word.removesuffix("s")),
    ):
        if candidate in names:
            return candidate
    example = "'second', 'millisecond'" if kind == "time" else "'micrometer', 'nanometer'"
    raise ValueError(
        f"unit {unit!r} is not one that OME-Zarr lists for a {kind} axis; use a UDUNITS name such as {example}, or none"
    )
