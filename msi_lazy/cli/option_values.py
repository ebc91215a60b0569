"""Values of options, as written on a command line."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FactorsCommand",
    "parse_dims",
    "parse_factors",
    "parse_lengths",
    "parse_nodata",
    "parse_numbers",
    "parse_units",
]

_FACTOR = re.compile(r"\d+|\w+=\d+(,\w+=\d+)*")
_FACTOR_LIKE = re.compile(r"-?\d[\d.]*|\w+=-?[\d.]*(,\w+=-?[\d.]*)*")
"""A word that can only be meant as a factor, right or wrong."""


class FactorsCommand(click.Command):
    """A command whose ``--factors`` takes several values, as in ``--factors 2 2 4``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args`` once the values of ``--factors`` are joined to one word."""
        joined: list[str] = []
        for word in args:
            before = joined[-1] if joined else ""
            if word == "--factors":
                joined.append("--factors=")
            elif before == "--factors=" and not word.startswith("--"):
                joined[-1] += word  # parsed later, where a wrong one is refused by name
            elif before.startswith("--factors=") and _FACTOR_LIKE.fullmatch(word):
                joined[-1] += f" {word}"
            else:
                joined.append(word)
        try:
            return super().parse_args(ctx, joined)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            hint = "; a glob of planes is given in quotes: 'planes/*.tif'"  # the shell expanded it
            raise click.UsageError(error.message + hint, ctx) from None


def parse_dims(text: str | None) -> tuple[str, ...] | None:
    """Parse ``zyx``, or ``t,c,y,x``."""
    if text is None:
        return None
    return tuple(part.strip() for part in (text.split(",") if "," in text else text))


def parse_numbers(option: str, text: str | None, kind: Any) -> dict[str, Any]:
    """Parse ``z=2,y=.5`` into a dict."""
    numbers = {}
    for part in (text or "").split(",") if text else ():
        dim, equals, value = part.partition("=")
        try:
            numbers[dim.strip()] = kind(value)
        except ValueError:
            equals = ""
        if not equals:
            example = "z=um,y=nm,x=nm" if kind is str else "z=2,y=1,x=1"
            raise ValueError(f"{option} is written like {example}, not {text!r}")
    return numbers


def parse_units(text: str | None) -> str | dict[str, str] | None:
    """Parse one unit, or ``y=nm,x=none``."""
    return parse_numbers("--units", text, str) if text and "=" in text else text


def parse_factors(factors: str | None, levels: str | None) -> Any:
    """Scale factors from ``--factors`` or ``--levels``."""
    if factors is not None and levels is not None:
        raise ValueError("give --factors or --levels, not both")
    if factors is None:
        if levels is None or levels == "auto":
            return "auto"
        if not levels.isdigit():
            raise ValueError(f"--levels is 'auto' or a number of halvings, not {levels!r}")
        return [2] * int(levels)
    words = factors.split()
    if not words or not all(map(_FACTOR.fullmatch, words)):
        raise ValueError(f"--factors is written like 2 2 4, or z=1,y=2,x=2 z=2,y=2,x=2, not {factors!r}")
    return [int(word) if word.isdigit() else parse_numbers("--factors", word, int) for word in words]


def parse_lengths(option: str, text: str | None) -> int | Mapping[str, int] | None:
    """Parse ``64``, or ``z=32,y=64,x=64``."""
    if text is None:
        return None
    return int(text) if text.isdigit() else parse_numbers(option, text, int)


def parse_nodata(text: str) -> Any:
    """Parse ``0``, ``-1.5``, ``nan``, ``none`` or ``auto``."""
    if text.lower() in ("auto", "none"):
        return "auto" if text.lower() == "auto" else None
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    raise ValueError(f"--nodata is a number, none, or auto (what the input states), not {text!r}")
