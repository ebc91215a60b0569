"""Picture of the levels of a plan: boxes to one scale, cut into blocks and chunks, as inline SVG.

Up to three dimensions are drawn, the spatial ones where there are any.  Depth goes to the upper right, so that the
front, the upper and the right face of a box are seen::

        .-------.
       /   /   /|      a border along x runs over the front and the upper face,
      .---.---. |      one along y over the front and the right one,
      |   |   |/|      one along z over the upper and the right one
      .---.---. |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import uuid4

from msi_lazy.plan.runs import run_stage
from msi_lazy.plan.windows import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.plan.windows import Window

__all__ = ["draw_levels", "stage_of", "stage_tasks"]

Point = tuple[float, float]
_LONGEST = 240.0
"""Pixels of the longest side of level 0."""
_SHORTEST = 3.0
"""Pixels of a side that would be shorter to scale."""
_SLANT = (0.42, -0.32)
"""Offset of a sample further back, in samples to the right and down."""
_FINEST = {"chunk": 4.0, "block": 5.0}
"""Least pixels between two borders: finer grids are thinned out."""
_COLUMN = 46.0
"""Least width of a level in pixels: room for its name."""
_GAP = 14.0
_MARGIN = 30.0
"""Pixels around level 0's box, for the lengths of its sides, and around each stage, for its name."""
_FONT = 'font-family="sans-serif" font-size="11" fill="currentColor"'


@dataclass(frozen=True)
class _Box:
    """A level in the picture: its drawn dimensions, as (depth, height, width)."""

    level: LevelPlan
    dims: tuple[int | None, int | None, int | None]
    """Dimensions of the image along depth, height and width; ``None`` for one that the image lacks."""
    scale: float
    """Pixels of a sample."""

    @cached_property
    def sides(self) -> tuple[float, float, float]:
        """Depth, height and width in pixels, before the slant."""
        lone = (0.0, 12.0, _SHORTEST)  # of a missing dimension: no depth, and the height of a bar
        depth, height, width = (
            none if dim is None else max(self.level.shape[dim] * self.scale, _SHORTEST)
            for dim, none in zip(self.dims, lone, strict=True)
        )
        return depth, height, width

    @property
    def width(self) -> float:
        """Pixels from left to right, depth and all."""
        return self.sides[2] + self.sides[0] * _SLANT[0]

    @property
    def height(self) -> float:
        """Pixels from top to bottom, depth and all."""
        return self.sides[1] - self.sides[0] * _SLANT[1]

    def at(self, depth: float, height: float, width: float) -> Point:
        """Return the position of a point, given in fractions of the sides, from the box's upper left."""
        z, y, x = (fraction * side for fraction, side in zip((depth, height, width), self.sides, strict=True))
        return x + z * _SLANT[0], y + (z - self.sides[0]) * _SLANT[1]

    def border(self, side: int, at: float) -> Sequence[Point]:
        """Return the line of a border across ``side``, at a fraction of it, over its two visible faces."""
        line = {
            0: ((at, 0, 0), (at, 0, 1), (at, 1, 1)),
            1: ((0, at, 0), (0, at, 1), (1, at, 1)),
            2: ((0, 1, at), (0, 0, at), (1, 0, at)),
        }[side]
        seen = line if self.sides[0] else [point for point in line if not point[0]]
        return [self.at(*point) for point in seen]

    def faces(self, window: Sequence[tuple[float, float]]) -> list[Sequence[Point]]:
        """Return the visible faces of a part of the box, which touches its front, top and right."""
        (front, back), (top, bottom), (left, right) = window
        faces = [((front, top, left), (front, top, right), (front, bottom, right), (front, bottom, left))]
        if self.sides[0]:
            faces.append(((front, top, left), (back, top, left), (back, top, right), (front, top, right)))
            faces.append(((front, top, right), (back, top, right), (back, bottom, right), (front, bottom, right)))
        return [[self.at(*corner) for corner in face] for face in faces]


def stage_of(plan: PyramidPlan, level: LevelPlan) -> int | None:
    """Return the number of the stage that writes a level, if it is known."""
    return next((i for i, stage in enumerate(plan.stages) if level.number in stage.written), None)


def stage_tasks(plan: PyramidPlan, number: int) -> int:
    """Count the tasks of a stage: one for each of its blocks, or for each run of them."""
    return run_stage(plan.stages[number], plan.reading.run if number == 0 else 1).blocks


def draw_levels(plan: PyramidPlan) -> str:
    """Draw the levels of ``plan`` as one SVG element, with a title and a description in words.

    Thick lines are the borders of blocks, thin ones those of chunks.  The part of each level that one block of its
    stage computes is shaded.
    """
    boxes = _boxes(plan)
    tallest = max(box.height for box in boxes)
    left, pieces = _GAP, []
    for number, group in groupby(boxes, key=lambda box: stage_of(plan, box.level)):
        start = left
        left += _GAP
        for box in group:
            is_first = box.level.number == 0
            left += _MARGIN if is_first else 0
            column = max(box.width, _COLUMN)
            pieces.append(_draw_level(plan, box, number, left, tallest, column))
            left += column + _GAP + (_MARGIN if is_first and box.sides[0] else 0)
        if number is not None:
            pieces.append(_draw_stage(plan, number, start, left, tallest))
        left += _GAP
    width, height = left, tallest + 2 * _MARGIN + 30
    name = f"msi-lazy-{uuid4().hex}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width:100%;height:auto" fill="none" stroke="none">'
        f'<title id="{name}-title">{escape(_title(plan))}</title>'
        f'<desc id="{name}-desc">{escape(_description(plan))}</desc>{"".join(pieces)}</svg>'
    )


def _boxes(plan: PyramidPlan) -> list[_Box]:
    spatial = [dim for dim, axis in enumerate(plan.axes) if axis.is_spatial]
    chosen = (spatial or list(range(len(plan.axes))))[-3:]
    drawn: list[int | None] = [*[None] * (3 - len(chosen)), *chosen]
    scale = _LONGEST / max(plan.levels[0].shape[dim] for dim in chosen)
    return [_Box(level, (drawn[0], drawn[1], drawn[2]), scale) for level in plan.levels]


def _draw_level(plan: PyramidPlan, box: _Box, stage: int | None, left: float, tallest: float, column: float) -> str:
    """Draw one level, on the same base line as the others, with its name below."""
    level, top = box.level, _MARGIN + tallest - box.height
    shift = (column - box.width) / 2
    parts = []
    if stage is not None:
        outline = "".join(map(_closed, box.faces(_one_block(plan, box, stage))))
        parts.append(f'<path class="shaded" d="{outline}" fill="currentColor" fill-opacity="0.22"/>')
    for kind, width, opacity in (("chunk", 0.4, 0.5), ("block", _block_width(box), 0.8)):
        lines = "".join(_line(box.border(side, part)) for side, part in _borders(plan, box, kind, stage))
        if lines:
            parts.append(
                f'<path class="{kind}s" d="{lines}" stroke="currentColor" stroke-width="{width}" '
                f'stroke-opacity="{opacity}"/>'
            )
    outline = "".join(map(_closed, box.faces(((0, 1), (0, 1), (0, 1)))))
    parts.append(f'<path d="{outline}" stroke="currentColor" stroke-width="1.3" stroke-linejoin="round"/>')
    if level.number == 0:
        parts.append(_side_names(plan, box))
    middle = column / 2
    name = f'<text x="{left + middle:.1f}" y="{_MARGIN + tallest + 34:.1f}" text-anchor="middle" {_FONT}>'
    return f'<g transform="translate({left + shift:.1f} {top:.1f})">{"".join(parts)}</g>{name}{level.name}</text>'


def _one_block(plan: PyramidPlan, box: _Box, number: int) -> list[tuple[float, float]]:
    """Fractions of the box's sides that the block of a stage in front, on top and to the right computes."""
    stage = plan.stages[number]
    index = tuple(count - 1 if dim == box.dims[2] else 0 for dim, count in enumerate(stage.counts))
    owned: Window = stage.owned(box.level.number, index)
    whole = Interval(0, 1)
    intervals = [(whole, 1) if dim is None else (owned[dim], box.level.shape[dim]) for dim in box.dims]
    return [(interval.start / n, interval.stop / n) for interval, n in intervals]


def _borders(plan: PyramidPlan, box: _Box, kind: str, stage: int | None) -> list[tuple[int, float]]:
    """Borders of blocks or chunks along each side of a box, in fractions of it; thinned out where too dense."""
    found: list[tuple[int, float]] = []
    for side, dim in enumerate(box.dims):
        if dim is None:
            continue
        n = box.level.shape[dim]
        length = box.level.chunks[dim] if kind == "chunk" else box.level.blocks[dim]
        count = -(-n // length)
        if kind == "block" and stage is not None:
            count = plan.stages[stage].counts[dim]
        pixels = box.sides[side] * length / n * (abs(_SLANT[1]) if side == 0 else 1)
        step = 1
        while pixels * step < _FINEST[kind]:
            step *= 2
        found.extend((side, position * length / n) for position in range(step, count, step))
    return found


def _block_width(box: _Box) -> float:
    """Width of the borders of blocks: thin where thick ones would blacken the faces."""
    pixels = [
        side * box.level.blocks[dim] / box.level.shape[dim]
        for side, dim in zip(box.sides[1:], box.dims[1:], strict=True)
        if dim is not None
    ]
    return 1.3 if min(pixels) >= 16 else 0.6


def _side_names(plan: PyramidPlan, box: _Box) -> str:
    """Name and length of each side of level 0, along it."""
    places = []
    depth, height, width = box.dims
    if width is not None:
        x, y = box.at(0, 1, 0.5)
        places.append((width, x, y + 14, "middle", ""))
    if height is not None:
        x, y = box.at(0, 0.5, 0)
        places.append((height, x - 6, y, "middle", f' transform="rotate(-90 {x - 6:.1f} {y:.1f})"'))
    if depth is not None:
        x, y = box.at(0.5, 1, 1)
        places.append((depth, x + 5, y + 10, "start", ""))
    return "".join(
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT}{turn}>'
        f"{escape(plan.dims[dim])} {box.level.shape[dim]:,}</text>"
        for dim, x, y, anchor, turn in places
    )


def _draw_stage(plan: PyramidPlan, number: int, left: float, right: float, tallest: float) -> str:
    """Draw a frame around the levels that are computed inside one block."""
    tasks = stage_tasks(plan, number)
    text = f"stage {number}: {tasks:,} task{'s' * (tasks > 1)}"
    if right - left < 7 * len(text):
        text = f"stage {number}"
    return (
        f'<rect x="{left:.1f}" y="6" width="{right - left:.1f}" height="{tallest + 2 * _MARGIN + 14:.1f}" rx="5" '
        f'stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 3"/>'
        f'<text x="{left + 6:.1f}" y="20" {_FONT}>{text}</text>'
    )


def _title(plan: PyramidPlan) -> str:
    return f"The {len(plan.levels)} level{'s' * (len(plan.levels) > 1)} of the pyramid of {plan.name!r}"


def _description(plan: PyramidPlan) -> str:
    box = _boxes(plan)[0]
    drawn = [plan.dims[dim] for dim in box.dims if dim is not None]
    kept = [f"{dim} of {n:,}" for dim, n in zip(plan.dims, plan.levels[0].shape, strict=True) if dim not in drawn]
    words = [
        f"Boxes side by side, to one scale in samples, of the dimension{'s' * (len(drawn) > 1)} {', '.join(drawn)}"
    ]
    if kept:
        words[0] += f"; not drawn: {', '.join(kept)}"
    words += [
        f"{level.name}: {_times(level.shape)} samples, in blocks of {_times(level.blocks)}, "
        f"in chunks of {_times(level.chunks)}"
        for level in plan.levels
    ]
    for number, stage in enumerate(plan.stages):
        names = ", ".join(plan.levels[level].name for level in stage.written)
        tasks = stage_tasks(plan, number)
        words.append(f"Stage {number} computes {names} in {tasks:,} task{'s' * (tasks > 1)}")
    if plan.stages:
        words.append("Shaded in each level is the part that one block of its stage computes")
    return ". ".join(words) + "."


def _times(numbers: tuple[int, ...]) -> str:
    return " x ".join(map(str, numbers))


def _line(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _closed(points: Sequence[Point]) -> str:
    return _line(points) + "Z"
