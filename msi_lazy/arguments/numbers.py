"""Numbers that users give: integers, and fractions."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

__all__ = ["is_integer", "is_real", "parse_fraction", "parse_integer", "parse_retries"]


def is_integer(value: Any) -> bool:
    """Whether ``value`` is an integer, of Python or of NumPy; ``True`` and 2.0 are none.

    Examples
    --------
    >>> is_integer(2), is_integer(True), is_integer(2.0)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Whether ``value`` is a real number, of Python or of NumPy; ``True`` is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def parse_integer(
    value: Any,
    argument: str,
    *,
    kind: str = "an integer",
    least: int | None = None,
    most: int | None = None,
    bounds: str | None = None,
) -> int:
    """Python's integer of ``value``.

    Parameters
    ----------
    value
        What was given.
    argument
        First words of the message, to its verb: what ``value`` was given as, such as ``"seed must be"``.
    kind
        What is allowed, if something else than an integer is given.
    least, most
        Bounds.
    bounds
        What is allowed, if an integer is beyond the bounds.  Default ``"at least 1"``, or whatever ``least`` is.

    Raises
    ------
    TypeError
        No integer: ``{argument} {kind}, not ...``.
    ValueError
        One beyond the bounds: ``{argument} {bounds}, not ...``.

    Examples
    --------
    >>> parse_integer(0, "the factor must be", least=1)
    Traceback (most recent call last):
        ...
    ValueError: the factor must be at least 1, not 0
    """
    if not is_integer(value):
        raise TypeError(f"{argument} {kind}, not {value!r} of type {type(value).__name__}")
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{argument} {f'at least {least}' if bounds is None else bounds}, not {number}")
    return number


def parse_fraction(value: Any, argument: str, whole: str) -> float:
    """Fraction above 0 and at most 1, which is ``whole``, given as ``argument``.

    Raises
    ------
    TypeError, ValueError
        No number, or one that is no such fraction.

    Examples
    --------
    >>> parse_fraction(0.5, "sample", "all blocks")
    0.5
    """
    if not is_real(value):
        raise TypeError(f"{argument} must be a fraction, such as 0.01, not {value!r}")
    if not 0 < value <= 1:
        raise ValueError(f"{argument} must be above 0 and at most 1 ({whole}), not {value}")
    return float(value)


def parse_retries(retries: Any, compute: bool) -> int:
    """How often a failing task is tried again.

    Raises
    ------
    TypeError, ValueError
        No integer from 0 on, or retries of a write that is not computed here.

    Examples
    --------
    >>> parse_retries(3, compute=True)
    3
    """
    times = parse_integer(retries, "retries is how often a failing task is tried again,", least=0, bounds="0 or more")
    if times and not compute:
        raise ValueError("with compute=False nothing is tried here: give retries to what computes the Delayed")
    return times
