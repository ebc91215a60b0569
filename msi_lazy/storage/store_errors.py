"""Errors of stores, as of a disk or a network, apart from those of what is stored: such a read is tried again.

A chunk that could not be read may be sound.
"""

from __future__ import annotations

import errno
import re
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_store_error", "retried_read"]

_PAUSES = (0.1, 0.3, 0.9)
"""Seconds before each new try."""
_LIBRARIES = {"aiohttp", "azure", "botocore", "google", "obstore", "requests", "ssl", "urllib3"}
"""Packages that reach stores, whose errors are those of stores."""
_FORM = {errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
"""Numbers of errors that tell of something else in the place of a file, or of none."""
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_ASKED_WRONGLY = {"NoCredentialsError", "ParamValidationError", "PartialCredentialsError", "ProfileNotFound"}
"""Errors of botocore that come before a store is asked."""
_OF_RUST = re.compile(r"\(os error (\d+)\)")
"""End of the message of an error of files, as the Rust codecs raise it, in a ``RuntimeError``."""

T = TypeVar("T")


def is_store_error(error: BaseException | None) -> bool:
    """Tell whether the store failed, and not what is stored in it; causes of an error count.

    Examples
    --------
    >>> is_store_error(OSError(5, "Input/output error")), is_store_error(TimeoutError()), is_store_error(ValueError())
    (True, True, False)
    """
    while error is not None:
        if _is_failure(error):
            return True
        error = error.__cause__
    return False


def _is_failure(error: BaseException) -> bool:
    number = _number(error)
    if isinstance(error, FileNotFoundError) or number in _FORM:
        return False
    if any(base.__module__.partition(".")[0] in _LIBRARIES for base in type(error).__mro__):
        return True
    # an OSError without a number may be a codec's, as of gzip
    return number is not None or isinstance(error, (ConnectionError, PermissionError, TimeoutError))


def _is_refusal(error: Exception) -> bool:
    """Tell whether a store has answered, and will answer so again: that something is forbidden, say."""
    status = getattr(error, "status", None)  # of aiohttp
    refused = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
    if refused or type(error).__name__ in _ASKED_WRONGLY:
        return True
    # a ValueError of such a library is of a URL, or of a certificate
    return isinstance(error, (PermissionError, ValueError)) or _number(error) in _FORBIDDEN


def _number(error: BaseException) -> int | None:
    """Find the number of an error of files, if it is one."""
    if isinstance(error, RuntimeError):
        found = _OF_RUST.search(str(error))
        return None if found is None else int(found[1])
    return error.errno if isinstance(error, OSError) else None


def retried_read(read: Callable[[], T], *, again: bool = True) -> T:
    """Read something, and if ``again``, a few times more after pauses, where the store fails."""
    for pause in _PAUSES if again else ():
        try:
            return read()
        except Exception as error:
            if _is_refusal(error) or not is_store_error(error):
                raise
        time.sleep(pause)
    return read()
