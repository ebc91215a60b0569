"""Gaussian votes: the label with most of the Gaussian's weight around the centre of each window.

Votes are integers, so their sums are exact in any order, a tie is a tie, and counting may stop as soon as nothing can
change.  Taps are counted from the heaviest to the lightest, in rounds; after each of them the labels that could not
win with all the votes still to come are out: of 216 taps, the 8 heaviest hold 64 % of the votes, 32 hold 94 %.

Labels are mostly flat.  The *core* of a window, a box around its centre, holds more than half of all votes: a label
that fills it has won.  Cores are compared row by row, in loops over contiguous memory.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.lanes import decode, describe_keys, encode
from msi_lazy.methods.lending import Lend, as_contiguous, fresh
from msi_lazy.methods.rows import row_layout
from msi_lazy.methods.taps import plan_taps
from msi_lazy.methods.weights import gaussian_radius

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["window_votes"]

Array = np.ndarray[Any, Any]

_FEW = 4
"""New labels that are found and counted one by one in a round; if there are more, all are looked up in a table."""
_SOME = 12
"""Labels that are counted one by one once no other can win."""
_SLAB = 2**14
"""Windows that are settled or listed before the listed ones are voted on."""


def window_votes(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Find the label with the largest Gaussian-weighted vote around each window's centre; of equal votes the smallest.

    A tap's votes are the product of its :func:`~msi_lazy.methods.weights.gaussian_votes` along the divided dimensions.

    Parameters
    ----------
    array : ndarray
        Block to reduce with its halo, bool, integer or float of 32 or 64 bits, native byte order, any number of
        dimensions: ``out_shape * factor + 2 * gaussian_radius(factor)`` samples along each dimension.
    factors : tuple of int
        Window size along each dimension; only the sample itself votes along those of 1.
    out_shape : tuple of int
        Number of windows along each dimension.
    nodata : scalar, optional
        Samples of this value have no vote; where nothing else has one the result is this value.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  NaN has no vote; where nothing else has one the result is NaN, or
        ``nodata`` if there is one.  0.0 and -0.0 are one value, which is written as 0.0.

    Raises
    ------
    ValueError
        The array is not of the shape above, or has too many taps along too many dimensions for 2^62 votes.
    """
    with_halo = tuple(n * f + 2 * gaussian_radius(f) for n, f in zip(out_shape, factors, strict=True))
    if array.shape != with_halo:
        raise ValueError(f"windows {out_shape} of {factors} with their halo are {with_halo} samples, not {array.shape}")
    array = as_contiguous(array, lend)
    flat = array.view(f"i{array.dtype.itemsize}").reshape(-1)
    layout = row_layout(array.shape, out_shape, factors)
    strides, boxes, taps = plan_taps(layout)
    steps = (layout.outer_out, layout.outer_factors * strides, layout.factor, layout.inner)
    poll = _allocate_poll(len(taps.places), flat.dtype)
    keys = describe_keys(array.dtype, flat.dtype, nodata)
    flip = keys.flip  # integers stay as they are until equal votes are compared
    keys = keys._replace(skip=keys.skip ^ flip, missing=keys.skip ^ flip)
    rows = prod(layout.outer_out.tolist())
    out = lend("result", (rows, layout.row_out * layout.inner), flat.dtype)
    step = max(1, _SLAB // out.shape[1])
    settle, vote = cast("Callable[..., int]", _settle_rows), cast("Callable[..., None]", _vote)
    firsts, positions = (np.empty(step * out.shape[1], kind) for kind in (np.uint64, np.int64))
    for row in range(0, len(out), step):
        slab = out[row : row + step]
        held = settle(flat, slab, row, *steps, *boxes, keys, firsts, positions)
        vote(flat, slab.reshape(-1), firsts[:held], positions, *taps, *poll, keys, flip)
        if array.dtype.kind == "f":
            decode(slab.reshape(-1), keys)
    return out.reshape(out_shape).view(array.dtype)


def _allocate_poll(taps: int, key: np.dtype[Any]) -> tuple[Any, ...]:
    """Allocate samples of a round; candidate labels, their votes and slots; the table of slots, and a hash's shift."""
    bits = taps.bit_length() + 1
    candidates = (np.empty(taps, key), np.empty(taps, np.int64), np.empty(taps, np.uint32))
    return np.empty(taps, key), *candidates, np.zeros(2**bits, np.uint32), np.uint64(64 - bits)


@compiled()
def _settle_rows(  # type: ignore[no-untyped-def]
    flat, out, first_row, outer_out, outer_steps, factor, inner, core, rows, length, keys, firsts, positions
):
    """Settle the windows with a core of one label; list the others' first taps and positions; return how many."""
    width = out.shape[1]
    differs = np.empty((width // inner * factor + length) * inner, flat.dtype)
    samples, changed, around = np.empty(width, flat.dtype), np.empty(width, flat.dtype), np.empty(width, flat.dtype)
    held = 0
    for row in range(len(out)):
        start, rest = np.int64(0), first_row + row
        for axis in range(len(outer_out) - 1, -1, -1):
            start += rest % outer_out[axis] * outer_steps[axis]
            rest //= outer_out[axis]
        target = out[row]
        _compare(flat, start, core, factor, factor, inner, differs, target, changed)
        if keys.infinity != 0:
            encode(target, keys)
        if keys.skips:
            missing = False
            for i in range(width):
                missing |= target[i] == keys.skip
            if missing:  # a core without a vote has lost, unless there are no votes around it
                _compare(flat, start, rows, factor, length, inner, differs, samples, around)
                for i in range(width):
                    changed[i] = around[i] if target[i] == keys.skip else changed[i]
        for i in range(width):
            if changed[i] != 0:
                group = i if inner == 1 else i // inner
                firsts[held] = start + group * (factor - 1) * inner + i
                positions[held] = row * width + i
                held += 1
    return held


@compiled()
def _compare(flat, start, rows, factor, length, inner, differs, samples, changed):  # type: ignore[no-untyped-def]
    """Find the first sample of a box around each window, and the bits of others in it that differ."""
    span = ((len(changed) // inner - 1) * factor + length) * inner
    first = flat[start + rows[0] : start + rows[0] + span]
    differs[:span] = 0
    for k in range(1, len(rows)):
        other = flat[start + rows[k] : start + rows[k] + span]
        for i in range(span):
            differs[i] |= first[i] ^ other[i]
    for i in range(len(changed)):
        group = i if inner == 1 else i // inner
        place = np.uint64(group * (factor - 1) * inner + i)
        sample, change = first[place], differs[place]
        for _ in range(1, length):
            place += np.uint64(inner)
            change |= differs[place] | (first[place] ^ sample)
        samples[i], changed[i] = sample, change


@compiled()
def _vote(  # type: ignore[no-untyped-def]
    flat, out, firsts, positions, places, votes, ends, rests, total, near, labels, sums, slots, table, shift, keys, flip
):
    zero, unit = np.uint64(0), np.uint64(1)
    for window in range(len(firsts)):
        first = firsts[window]
        start, held, turn, best, rest = zero, zero, 0, 0, total
        while turn < len(ends) and (held != 1 or rest >= best):
            end = ends[turn]
            for tap in range(start, end):
                near[tap] = flat[first + places[tap]]
            if keys.infinity != 0:
                encode(near[start:end], keys)
            fresh = rest >= best  # labels not seen so far may win
            few = held <= (_FEW if fresh else _SOME)
            missing = rest - rests[turn] if fresh or not few else 0
            if few and keys.skips:
                missing -= _count(near, votes, start, end, keys.skip)
            most = held + np.uint64(_FEW if fresh else 0) if few else zero
            counted, new = zero, start
            while counted < most and (counted < held or missing > 0):
                if counted == held:
                    new = _seek(near, new, labels, held, keys.skip, keys.skips)
                    labels[held], sums[held] = near[new], 0
                    held += unit
                part = _count(near, votes, start, end, labels[counted])
                sums[counted] += part
                missing -= part
                counted += unit
            if missing > 0:
                held = _look_up(
                    near, votes, start, end, labels, sums, held, counted, slots, table, shift, keys.skip, keys.skips
                )
            rest = rests[turn]
            for k in range(held):
                best = max(best, sums[k])
            kept = zero
            for k in range(held):
                labels[kept], sums[kept] = labels[k], sums[k]
                kept += np.uint64(sums[kept] + rest >= best)
            held, start = kept, end
            turn += 1
        winner = labels[0] if held > 0 else keys.skip
        for k in range(unit, held):
            winner = winner if winner ^ flip < labels[k] ^ flip else labels[k]
        out[positions[window]] = winner


@compiled()
def _count(near, votes, start, end, label):  # type: ignore[no-untyped-def]
    part = 0
    for tap in range(start, end):
        part += votes[tap] if near[tap] == label else 0
    return part


@compiled(inline="always")
def _seek(near, tap, labels, held, skip, skips):  # type: ignore[no-untyped-def]
    """Find the first tap from ``tap`` on with a vote for a label that is not held; there must be one."""
    known = True
    while known:
        label = near[tap]
        known = skips and label == skip
        for k in range(held):
            known |= label == labels[k]
        tap += np.uint64(1)
    return tap - np.uint64(1)


@compiled()
def _look_up(  # type: ignore[no-untyped-def]
    near, votes, start, end, labels, sums, held, counted, slots, table, shift, skip, skips
):
    """Count all labels of a round but the first ``counted``, new ones too; return how many are held then.

    The table holds one more than the position of a label, at the label's hash or the first free slot after it.
    """
    unit = np.uint64(1)
    for k in range(held):
        slots[k] = _find_slot(table, labels, labels[k], shift)
        table[slots[k]] = k + unit
    for tap in range(start, end):
        label = near[tap]
        if skips and label == skip:
            continue
        slot = _find_slot(table, labels, label, shift)
        if table[slot] == 0:
            labels[held], sums[held], slots[held] = label, 0, slot
            held += unit
            table[slot] = held
        found = np.uint64(table[slot])
        sums[found - unit] += votes[tap] if found > counted else 0
    for k in range(held):
        table[slots[k]] = 0
    return held


@compiled()
def _find_slot(table, labels, label, shift):  # type: ignore[no-untyped-def]
    """Find the slot of ``label``, or the free one where it belongs (multiplicative hash: Knuth, TAOCP 3, 6.4)."""
    slot = (np.uint64(label) * np.uint64(0x9E3779B97F4A7C15)) >> shift
    while table[slot] != 0 and labels[np.uint64(table[slot]) - np.uint64(1)] != label:
        slot = (slot + np.uint64(1)) & np.uint64(len(table) - 1)
    return slot
