"""Errors on the command line: one line, and an exit code."""

from __future__ import annotations

import re
import shlex
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from msi_lazy.storage.store_errors import is_store_error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UNREAD_EXIT_CODE", "name_options", "one_line_errors", "report_interrupts"]

_FAULTS = (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError, zlib.error)
"""Errors of wrong arguments, file systems, missing packages, small machines and damaged chunks."""
UNREAD_EXIT_CODE = 3
"""Exit code where the store failed, so that it is not known whether an image is sound."""
_PAIR = r"'(\w+)': (\d+)(, )?"
"""Dimension and length, as a dict is printed."""


class _Unread(click.ClickException):
    """A store that failed, so that it is not known whether an image is sound."""

    exit_code = UNREAD_EXIT_CODE


class _Interrupted(click.ClickException):
    """A Ctrl-C, with its usual exit code."""

    exit_code = 130


@contextmanager
def one_line_errors(*, reads: bool = False) -> Iterator[None]:
    """Turn errors about an input, an option or a store into one line and exit code 1.

    Of a command that ``reads`` an image to tell whether it is sound, the exit code is 3 where the store failed.
    """
    try:
        yield
    except Exception as error:
        failed = is_store_error(error)
        # KilledWorker is one of distributed, which need not be imported
        if not failed and not isinstance(error, _FAULTS) and type(error).__name__ != "KilledWorker":
            raise
        raise (_Unread if failed and reads else click.ClickException)(_one_line(error)) from error


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
    """Write the arguments that messages advise, such as ``group='a'``, as options of the command line."""
    text = re.sub(r"""\bgroup=('[^']*'|"[^"]*")""", lambda found: f"--group {shlex.quote(found[1][1:-1])}", text)
    text = re.sub(r"to_multiscale\(\.\.\., ([^()]*)\)", lambda found: found[1].replace("}, ", "} "), text)
    text = re.sub(r"\bchunks=\{([^}]*)\}", lambda found: f"--chunks {re.sub(_PAIR, _equals, found[1])}", text)
    text = re.sub(r"\bblock_bytes='(\d+) (\w+)'", r"--block-bytes \1\2", text)
    text = re.sub(r"dask\.config\.set\([^()]*num_workers=(\d+)\)", r"--threads \1", text)
    return text.replace("memory_limit", "--memory-limit")


def _equals(pair: re.Match[str]) -> str:
    return f"{pair[1]}={pair[2]}{',' if pair[3] else ''}"
