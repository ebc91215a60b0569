"""Printing what stores and files say: nothing of it may steer the terminal."""

from __future__ import annotations

import unicodedata
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["echo", "printable", "printable_warnings"]

_DIRECTIONS = {*"\u061c\u200e\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
"""Characters that reorder those around them."""


def printable(text: str) -> str:
    r"""Escape what would steer a terminal: control characters, but for line breaks and tabs, and writing directions.

    Examples
    --------
    >>> printable("cells\x1b[31m\u202egnp")
    'cells\\x1b[31m\\u202egnp'
    """
    return "".join(_escaped(character) if _steers(character) else character for character in text)


def echo(text: str, *, err: bool = False) -> None:
    """Print a text."""
    click.echo(printable(text), err=err)


@contextmanager
def printable_warnings() -> Iterator[None]:
    """Print warnings as :func:`printable` text, in one line each, within the context."""
    before = warnings.formatwarning
    warnings.formatwarning = _format_warning
    try:
        yield
    finally:
        warnings.formatwarning = before


def _format_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> str:
    return f"Warning: {printable(' '.join(str(message).split()))}\n"


def _steers(character: str) -> bool:
    kind = unicodedata.category(character)
    return (kind in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t") or character in _DIRECTIONS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
