"""Errors on the command line: one line, and an exit code."""

from __future__ import annotations

import re
import shlex
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from msi_lazy.cli.terminal import printable
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
def one_line_errors(subject: str = "", *, reads: bool = False) -> Iterator[None]:
    """Turn errors into one line and exit code 1, unless ``--traceback`` was given.

    Those that no one has foreseen, of a library for a broken file say, name the ``subject`` and their kind too.
    Of a command that ``reads`` an image to tell whether it is sound, the exit code is 3 where the store failed.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if _wants_traceback():
            raise
        failed = is_store_error(error)
        known = failed or isinstance(error, _FAULTS) or type(error).__name__ == "KilledWorker"  # of distributed
        line = _one_line(error) if known else _unforeseen(error, subject)
        raise (_Unread if failed and reads else click.ClickException)(line) from error


def _wants_traceback() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("traceback"))


def _unforeseen(error: Exception, subject: str) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    message = _one_line(error)
    line = f"{kind}: {message}" if message != type(error).__name__ else kind
    named = f"{subject}: {line}" if subject and subject not in line else line
    return printable(f"{named}; msi-lazy --traceback ... shows where it arose")


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
    line = line.replace("spill=False", "--no-spill").replace("spill=", "--spill ")
    line = line.replace("delete_labels=True", "--delete-labels").replace("replace='in place'", "--in-place")
    return printable(name_options(line))


def name_options(text: str) -> str:
    """Write the arguments that messages advise, such as ``group='a'``, as options of the command line."""
    text = re.sub(r"""\bgroup=('[^']*'|"[^"]*")""", lambda found: f"--group {shlex.quote(found[1][1:-1])}", text)
    text = re.sub(r"to_multiscale\(\.\.\., ([^()]*)\)", lambda found: found[1].replace("}, ", "} "), text)
    text = re.sub(r"\bchunks=\{([^}]*)\}", lambda found: f"--chunks {re.sub(_PAIR, _equals, found[1])}", text)
    text = re.sub(r"\bblock_bytes='(\d+) (\w+)'", r"--block-bytes \1\2", text)
    text = re.sub(r"dask\.config\.set\([^()]*num_workers=(\d+)\)", r"--threads \1", text)
    text = text.replace("msi_lazy.pack(FOLDER, FILE)", "msi-lazy pack FOLDER FILE")
    return text.replace("memory_limit", "--memory-limit").replace("in_place=True", "--in-place")


def _equals(pair: re.Match[str]) -> str:
    return f"{pair[1]}={pair[2]}{',' if pair[3] else ''}"
