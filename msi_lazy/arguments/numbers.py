"""Integers and fractions."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

__all__ = ["is_integer", "is_real", "parse_fraction", "parse_integer", "parse_retries"]


def is_integer(value: Any) -> bool:
    """Tell whether ``value`` is an integer of Python or NumPy; ``True`` and 2.0 are not.

    Examples
    --------
    >>> is_integer(2), is_integer(True), is_integer(2.0)
    (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Tell whether ``value`` is a real number of Python or NumPy; ``True`` is not."""
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
    """Convert ``value`` to a Python integer.

    Parameters
    ----------
    value
        Value of the argument.
    argument
        First words of the message, up to its verb, such as ``"seed must be"``.
    kind
        Allowed kind of value, for the message about anything but an integer.
    least, most
        Bounds.
    bounds
        Allowed range, for the message about other integers.  Default ``"at least 1"``, with the value of ``least``.

    Raises
    ------
    TypeError
        Not an integer: ``{argument} {kind}, not ...``.
    ValueError
        Out of bounds: ``{argument} {bounds}, not ...``.

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
    """Check a fraction above 0 and at most 1, which means ``whole``; ``argument`` is its name.

    Raises
    ------
    TypeError, ValueError
        Not a number, or out of range.

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
    """Check the number of retries of a failing task.

    Raises
    ------
    TypeError, ValueError
        Not an integer from 0 on, or retries of a write that is not computed here.

    Examples
    --------
    >>> parse_retries(3, compute=True)
    3
    """
    times = parse_integer(retries, "retries is how often a failing task is tried again,", least=0, bounds="0 or more")
    if times and not compute:
        raise ValueError("with compute=False nothing is tried here: give retries to what computes the Delayed")
    return times
