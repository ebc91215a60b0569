"""``Range`` header of HTTP, as integers."""

from __future__ import annotations

import re

__all__ = ["parse_range"]

_SINGLE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first requested byte and the one after the last, of ``size`` bytes; ``None`` for the whole file.

    A header in another form, or with several ranges, requests the whole file, as RFC 9110 (14.2) allows.  The range
    is empty where the file has none of the bytes: HTTP's 416.

    Examples
    --------
    >>> parse_range("bytes=0-3", 10), parse_range("bytes=8-99", 10), parse_range("bytes=4-", 10)
    ((0, 4), (8, 10), (4, 10))
    >>> parse_range("bytes=-3", 10), parse_range("bytes=-99", 10), parse_range("bytes=0-1,4-5", 10)
    ((7, 10), (0, 10), None)
    >>> parse_range("bytes=10-", 10), parse_range("bytes=-0", 10)
    ((10, 10), (10, 10))
    """
    matched = _SINGLE.fullmatch(header.strip()) if header else None
    first, last = matched.groups() if matched else ("", "")
    if not first and not last:
        return None
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None  # an invalid range is ignored
    return start, stop
