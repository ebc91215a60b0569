"""Errors on the command line: one line, and an exit code."""

from __future__ import annotations

import re
import shlex
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["name_options", "one_line_errors", "report_interrupts"]

_FAULTS = (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError, zlib.error)
"""Errors of wrong arguments, file systems, missing packages, small machines and damaged chunks."""


class _Interrupted(click.ClickException):
    """A Ctrl-C, with its usual exit code."""

    exit_code = 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors about an input, an option or a store into one line and exit code 1."""
    try:
        yield
    except _FAULTS as error:
        raise click.ClickException(_one_line(error)) from error
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # of distributed, which need not be imported
            raise
        raise click.ClickException(_one_line(error)) from error


@contextmanager
def report_interrupts() -> Iterator[None]:
    """Report the state of the interrupted write after a Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise _Interrupted(_one_line(error, "interrupted")) from error


def _one_line(error: BaseException, text: str = "") -> str:
    """Message and notes of an error, with the options of the command line in place of arguments."""
    message = " ".join((text or str(error)).split()) or type(error).__name__
    notes = [note.replace("to_zarr(..., resume=True)", "--resume") for note in getattr(error, "__notes__", ())]
    line = "; ".join([message, *notes]).replace("resume=True", "--resume").replace("mode='w'", "--overwrite")
    line = line.replace("delete_labels=True", "--delete-labels")
    return name_options(line)


def name_options(text: str) -> str:
    """Write ``group='a'``, as messages advise it, as the option of the command line."""
    return re.sub(r"""\bgroup=('[^']*'|"[^"]*")""", lambda found: f"--group {shlex.quote(found[1][1:-1])}", text)
