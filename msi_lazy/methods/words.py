"""Window means of 64-bit integers: sums as two words, divided word by word.

A sample is ``high * 2^32 + low`` with ``0 <= low < 2^32``.  The words are summed apart, each in 64 bits,
which hold the sums of 2^31 samples; the quotient is exact before it is rounded once.
"""

from __future__ import annotations

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.rounding import rounds_up

__all__ = ["mean_words"]


@compiled()
def mean_words(  # type: ignore[no-untyped-def]
    rows_in, rows_out, rows, found, part, firsts, high, low, counts, skip, skips, rounding
):
    """Compute means of integers of any width, without ``skip`` if ``skips``; ``skip`` where there is nothing else."""
    mask = np.uint64(0xFFFFFFFF)
    for row in range(len(rows_out)):
        high[:] = 0
        low[:] = 0
        counts[:] = found[row] * part.factor
        for i in range(found[row]):
            for step in range(part.factor):
                source = rows_in[rows[row, i], part.start_in + step * part.inner :]
                for j in range(len(high)):
                    value = source[firsts[j]]
                    high[j] += np.int64(value >> 32)
                    low[j] += np.int64(np.uint64(value) & mask)
                if skips:
                    for j in range(len(high)):
                        if source[firsts[j]] == skip:
                            high[j] -= np.int64(skip >> 32)
                            low[j] -= np.int64(np.uint64(skip) & mask)
                            counts[j] -= 1
        out = rows_out[row, part.start_out :]
        for j in range(len(high)):
            if counts[j] == 0:
                out[j] = skip
            else:
                # the remainder of the upper division is below the count, so that it fits next to the lower word
                carried = high[j] + (low[j] >> 32)
                upper = _quotient(carried, counts[j])
                rest = ((carried - upper * counts[j]) << 32) + (low[j] & 0xFFFFFFFF)
                lower = _quotient(rest, counts[j])
                rest -= lower * counts[j]
                out[j] = (upper << 32) + lower + rounds_up(lower, rest, counts[j], carried < 0, rounding)


@compiled(inline="always")
def _quotient(total, count):  # type: ignore[no-untyped-def]
    """Compute the floor of ``total / count``, by a shift for the most frequent counts."""
    if count == 8:
        return total >> 3
    if count == 4:
        return total >> 2
    if count == 2:
        return total >> 1
    return total // count
