"""Text and HTML of a plan: a table for terminals; a picture and a table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from dask.utils import format_bytes, format_time

from msi_lazy.plan.memory import PROCESS_RESERVE
from msi_lazy.show.plan_drawing import draw_levels, stage_of

if TYPE_CHECKING:
    from msi_lazy.axes import Axis
    from msi_lazy.plan.measured import MeasuredBlock
    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan

__all__ = ["levels_text", "plan_html", "plan_text"]

_HEADINGS = ("level", "shape", "chunks", "blocks", "stage", "spacing", "size")
_LEGEND = "Levels to one scale. Thick lines: blocks; thin lines: chunks; grids too fine to draw are thinned out."
_SHADED = " Shaded: the part of each level that one block of its stage computes."


def plan_text(plan: PyramidPlan) -> str:
    """Return the plan as plain text, one line per level and one per fact."""
    table = _table([_HEADINGS, *(_level_cells(plan, level) for level in plan.levels)])
    facts = [f"{label + ':':<18}{value}" for label, value in _facts(plan)]
    return "\n".join([_title(plan), "", *table, "", *facts])


def levels_text(plan: PyramidPlan) -> str:
    """Return the axes, and one line per level, without the cost of a write."""
    axes = [f"{axis.name} ({', '.join(filter(None, _axis_words(axis)))})" for axis in plan.axes]
    method = f", method {plan.method}" if plan.method else ""
    method += f", nodata {plan.nodata}" if plan.nodata is not None else ""
    chosen = [i for i, heading in enumerate(_HEADINGS) if heading not in ("blocks", "stage")]
    rows = [_HEADINGS, *(_level_cells(plan, level) for level in plan.levels)]
    table = _table([tuple(row[i] for i in chosen) for row in rows])
    return "\n".join([f"{plan.name!r}, {plan.dtype}, axes {', '.join(axes)}{method}", "", *table])


def _axis_words(axis: Axis) -> tuple[str | None, ...]:
    """Return what there is to say of an axis."""
    return axis.kind, axis.unit, axis.orientation, axis.long_name


def plan_html(plan: PyramidPlan) -> str:
    """Return the plan as HTML: a picture of its levels, and a table with a caption, readable without styles."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in _HEADINGS)
    rows = [[escape(cell) for cell in _level_cells(plan, level)] for level in plan.levels]
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, *cells in rows
    )
    facts = "".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in _facts(plan))
    return (
        f"<figure>{draw_levels(plan)}<figcaption>{_LEGEND}{_SHADED if plan.stages else ''}</figcaption></figure>"
        f"<table><caption>{escape(_title(plan))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><dl>{facts}</dl>"
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Align the columns of a table whose first row is its heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    table.insert(1, "  ".join("-" * width for width in widths))
    return table


def _title(plan: PyramidPlan) -> str:
    dims = ", ".join(plan.dims)
    return f"Pyramid of {plan.name!r} ({dims}), {plan.dtype}, method {plan.method}, boundary {plan.boundary}"


def _level_cells(plan: PyramidPlan, level: LevelPlan) -> tuple[str, ...]:
    stage = stage_of(plan, level)
    return (
        level.name,
        _times(level.shape),
        _times(level.chunks),
        _times(level.blocks),
        "-" if stage is None else str(stage),
        _spacing(plan, level),
        format_bytes(level.nbytes),
    )


def _times(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))


def _spacing(plan: PyramidPlan, level: LevelPlan) -> str:
    parts = []
    for axis, spacing in zip(plan.axes, level.scale, strict=True):
        if axis.regular and axis.kind != "channel":
            parts.append(f"{axis.name} {spacing:g}" + (f" {axis.unit}" if axis.unit else ""))
    return ", ".join(parts)


def _memory(plan: PyramidPlan) -> str:
    """Describe the memory of a process: per thread, for itself, and between stages."""
    memory = plan.memory()
    text = (
        f"{format_bytes(memory.per_thread)} per worker thread, {format_bytes(PROCESS_RESERVE + memory.graph)} besides"
    )
    if memory.rechunking:
        text += f", {format_bytes(memory.rechunking)} of the source's chunks, until their blocks are complete"
    if memory.carries:
        text += f", {format_bytes(memory.carries)} between stages"
    return text


def _facts(plan: PyramidPlan) -> list[tuple[str, str]]:
    reading = plan.reading
    how = "each block reads its own window" if reading.by_window else "the source is computed chunk by chunk, each once"
    if reading.run > 1:
        how = f"runs of {reading.run} blocks read their windows one after another"
    read = f"{format_bytes(plan.bytes_read)} ({plan.read_amplification:.3g} x the image), {how}"
    if not reading.is_known:
        read = f"{format_bytes(plan.bytes_read)} asked for, {how}; the source's chunks are unknown: it may decode more"
    if reading.chunks is not None and reading.source_chunks:
        read += f"; {reading.chunks:,} chunks decoded of {reading.source_chunks:,}"
    tasks = f"{plan.tasks:,} for {plan.blocks:,} block{'s' * (plan.blocks > 1)} of level 0"
    if plan.slabs > 1:
        tasks += f", computed in {plan.slabs} slabs, one after another, so that a scheduler can take them"
    facts = [
        ("tasks", tasks),
        ("read", read),
        (
            "written",
            f"{format_bytes(plan.bytes_written)} in {sum(v.chunk_count for v in plan.levels):,} chunks",
        ),
        ("memory", _memory(plan)),
    ]
    if plan.nodata is not None:
        facts.append(("nodata", f"{plan.nodata} marks samples without data, which reductions leave out"))
    if plan.measured is not None:
        facts.extend(_measured(plan.measured))
    facts.extend(("note", note) for note in plan.notes)
    return facts


def _measured(block: MeasuredBlock) -> list[tuple[str, str]]:
    threads = f"{block.threads} thread{'s' * (block.threads > 1)}"
    steps = {"read": block.read_seconds, "reduce": block.reduce_seconds, "encode": block.encode_seconds}
    took = ", ".join(f"{step} {format_time(seconds)}" for step, seconds in steps.items())
    return [
        (
            "projected",
            f"{format_time(block.seconds)} with {threads}: {took} per block of {format_bytes(block.block_bytes)}",
        ),
        ("stored", f"{format_bytes(block.projected_bytes)} at ratio {block.ratio:.3g} (measured on one block)"),
    ]
